"""A model on disk: one immutable version with its card."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.store import files, manifest, mirror
from genloom.store.atomic_folder import StagedFolder

RUNTIME_FOLDER = "runtime"


@dataclass(frozen=True)
class ModelFolder:
    """A folder with `card.json job.toml weights.safetensors codec/`, and for people `CARD.md samples/`.

    Large weights may be split into several files, `weights-1.safetensors` and so on. A model that was tuned with an
    adapter has `adapter/` instead of weights and needs the base model that its job names. One that a library of its own
    runs has `runtime/` instead, with the files of that library.
    """

    name: str
    version: int
    folder: Path
    card: dict[str, Any]

    @property
    def ref(self) -> str:
        """The name of the version, e.g. `notes/3`."""
        return f"{self.name}/{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 over weights or adapter, codec and job; equal models have equal digests."""
        return str(self.card["digest"])

    @property
    def codec_digest(self) -> str:
        """SHA-256 over the codec: token ids mean the same to models with equal ones."""
        entries = {path: entry for path, entry in self.card["files"].items() if path.startswith("codec/")}
        return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()

    @property
    def has_learned_roles(self) -> bool:
        """Whether it was imported, or tuned on conversations; the codecs of all other models have role tokens, too.

        The cards of earlier versions do not say so of models that were tuned from another.
        """
        if self.runtime:
            return False
        has_roles = self.card.get("has_learned_roles", self.card.get("parents"))
        return bool(self.card.get("source") or self.card.get("chat") or has_roles)

    @property
    def created(self) -> str:
        """The time of creation in ISO 8601, UTC."""
        return str(self.card["created"])

    @property
    def is_adapter(self) -> bool:
        """Whether it holds an adapter for another model instead of weights."""
        return any(relative_path.startswith("adapter/") for relative_path in self.card["files"])

    @property
    def runtime(self) -> str:
        """The name of what runs the model, such as "kokoro"; "" for one that is made of Genloom's networks."""
        return str((self.card.get("runtime") or {}).get("name", ""))

    @property
    def runtime_folder(self) -> Path:
        """The files of what runs the model."""
        mirror.fetch_files(self.folder)
        return self.folder / RUNTIME_FOLDER

    @property
    def parent_ref(self) -> str:
        """The ref of the model that it was tuned from; "" for a model trained from scratch.

        Its own ref is that of a model of another workspace, as with a built-in model, and no parent here.
        """
        match self.card.get("parents"):
            case [{"ref": str(ref)}, *_] if ref != self.ref:
                return ref
        return ""

    @property
    def weights(self) -> list[Path]:
        """The files with its weights."""
        mirror.fetch_files(self.folder)
        return [
            self.folder / relative_path
            for relative_path in sorted(self.card["files"])
            if is_weights_file(relative_path)
        ]

    def verify_sizes(self) -> None:
        """Compare every file's size with the recorded one; ValueError names the first damaged file."""
        manifest.verify_sizes(self.folder, self.card)

    def verify(self) -> None:
        """Compare every file's digest with the recorded one; ValueError names the first damaged file."""
        manifest.verify_digests(self.folder, self.card)


def is_essential_file(relative_path: str) -> bool:
    """Return whether a file of the folder defines the model, so that the digest covers it."""
    return (
        is_weights_file(relative_path)
        or relative_path == "job.toml"
        or relative_path.startswith(("codec/", "adapter/", f"{RUNTIME_FOLDER}/"))
    )


def is_weights_file(relative_path: str) -> bool:
    return relative_path.startswith("weights") and relative_path.endswith(".safetensors")


def open_model_folder(name: str, folder: Path) -> ModelFolder:
    """Open the version in `folder`; ValueError if its card is damaged."""
    card = manifest.read_manifest(folder / "card.json")
    return ModelFolder(name, int(folder.name), folder, card)


def list_versions(parent: Path) -> list[int]:
    """List the numbers of the complete versions in a model's folder."""
    folders = [f for f in parent.iterdir() if f.name.isascii() and f.name.isdigit()] if parent.is_dir() else []
    return sorted(int(f.name) for f in folders if (f / "card.json").exists())  # also if that is no file: it is damaged


def create_version(parent: Path, name: str, list_known: Callable[[], list[int]]) -> StagedFolder[ModelFolder]:
    """Create the version after all known ones."""

    def finish(draft: Path) -> ModelFolder:
        manifest.finalize_manifest(draft, "card.json", is_essential_file, {"name": name})
        number = max(list_known(), default=0) + 1
        while not files.commit_folder(draft, parent / str(number), is_numbered=True):  # another process took the number
            number += 1
        return open_model_folder(name, parent / str(number))

    return StagedFolder(parent, finish)
