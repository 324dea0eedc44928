"""Samples that another run has encoded already, taken over instead of being encoded again."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from genloom import __version__
from genloom.model import Design
from genloom.store.dataset import Dataset
from genloom.store.files import digest, write_atomic
from genloom.train import sealed
from genloom.types import Codec

NAME = "train.key"


def key_of(dataset: Dataset, codec: Codec, design: Design) -> str:
    """A digest of all that encoded samples depend on: the data, the codec, what reads the prompts, and this code."""
    with tempfile.TemporaryDirectory() as aside:
        codec.save(Path(aside))
        files = {str(path.relative_to(aside)): digest(path) for path in Path(aside).rglob("*") if path.is_file()}
    facts = [__version__, dataset.digest, design.codec, files, design.prompts, dict(design.prompts_settings)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def offer(folder: Path, key: str) -> None:
    """Say what the samples in this folder are of; written before they are sealed."""
    write_atomic(folder / NAME, key)


def taken(folder: Path, key: str) -> bool:
    """Link the samples of another run in the same place into this one's folder; False where none has them whole."""
    for path in sorted(folder.parent.glob(f"*/{NAME}"), reverse=True):
        other = path.parent
        try:
            known = sealed.told(other) if other != folder and path.read_text() == key else {}
            if known and all(digest(other / name) == sha for name, sha in known.items()):
                for name in known:
                    (folder / name).unlink(missing_ok=True)
                    os.link(other / name, folder / name)
                return True
        except OSError:  # it is being removed, or no links can be made here: encoding again is slower and no less right
            continue
    return False
