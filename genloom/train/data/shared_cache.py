"""Samples that another run has encoded already, taken over instead of being encoded again."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from genloom import __version__
from genloom.model import Design
from genloom.store.dataset import Dataset
from genloom.store.files import hash_file, write_atomic
from genloom.train.data import cache
from genloom.types import Codec

KEY_FILE = "train.key"


def compute_cache_key(dataset: Dataset, codec: Codec, design: Design) -> str:
    """A digest of all that encoded samples depend on: the data, the codec, what reads the prompts, and this code."""
    with tempfile.TemporaryDirectory() as temp_folder:
        codec.save(Path(temp_folder))
        files = {
            str(path.relative_to(temp_folder)): hash_file(path)
            for path in Path(temp_folder).rglob("*")
            if path.is_file()
        }
    key_parts = [
        __version__,
        dataset.digest,
        design.codec,
        files,
        design.text_encoder,
        dict(design.text_encoder_settings),
    ]
    return hashlib.sha256(json.dumps(key_parts, sort_keys=True).encode()).hexdigest()


def publish(folder: Path, key: str) -> None:
    """Say what the samples in this folder are of; written before they are sealed."""
    write_atomic(folder / KEY_FILE, key)


def restore(folder: Path, key: str) -> bool:
    """Link the samples of another run in the same place into this one's folder; False where none has them whole."""
    for path in sorted(folder.parent.glob(f"*/{KEY_FILE}"), reverse=True):
        other_folder = path.parent
        try:
            digests = cache.read_digests(other_folder) if other_folder != folder and path.read_text() == key else {}
            if digests and all(hash_file(other_folder / name) == sha for name, sha in digests.items()):
                for name in digests:
                    (folder / name).unlink(missing_ok=True)
                    os.link(other_folder / name, folder / name)
                return True
        except OSError:  # it is being removed, or no links can be made here: encoding again is slower and no less right
            continue
    return False
