"""A model as it lies on disk: one immutable version with its card."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.store import files, manifest
from genloom.store.atomic_folder import StagedFolder


@dataclass(frozen=True)
class ModelFolder:
    """`card.json job.toml weights.safetensors codec/`, and for people `CARD.md samples/`.

    Large weights may be cut into several files, `weights-1.safetensors` and so on. A model that was tuned by an adapter
    has `adapter/` in place of weights: it needs the base that its job names.
    """

    name: str
    version: int
    folder: Path
    card: dict[str, Any]

    @property
    def ref(self) -> str:
        """How the version is named everywhere: `notes/3`."""
        return f"{self.name}/{self.version}"

    @property
    def digest(self) -> str:
        """What the model is: SHA-256 over weights or adapter, codec and job; equal models have equal digests."""
        return str(self.card["digest"])

    @property
    def created(self) -> str:
        """When it was written, as an ISO 8601 time in UTC."""
        return str(self.card["created"])

    @property
    def is_adapter(self) -> bool:
        """Whether it holds an adapter on another model, and no weights of its own."""
        return any(relative_path.startswith("adapter/") for relative_path in self.card["files"])

    @property
    def parent_ref(self) -> str:
        """The model that it was tuned on, as a ref; "" for one trained from nothing."""
        match self.card.get("parents"):
            case [{"ref": str(ref)}, *_]:
                return ref
        return ""

    @property
    def weights(self) -> list[Path]:
        """The files that hold its own weights."""
        return [
            self.folder / relative_path
            for relative_path in sorted(self.card["files"])
            if is_weights_file(relative_path)
        ]

    def verify_sizes(self) -> None:
        """Compare the size of every file with the recorded one; ValueError names the first that is damaged."""
        manifest.verify_sizes(self.folder, self.card)

    def verify(self) -> None:
        """Compare every file with its recorded digest; ValueError names the first that is damaged."""
        manifest.verify_digests(self.folder, self.card)


def is_essential_file(relative_path: str) -> bool:
    """Whether a file of the folder makes the model what it is, so that the digest covers it."""
    return (
        is_weights_file(relative_path)
        or relative_path == "job.toml"
        or relative_path.startswith(("codec/", "adapter/"))
    )


def is_weights_file(relative_path: str) -> bool:
    return relative_path.startswith("weights") and relative_path.endswith(".safetensors")


def open_model_folder(name: str, folder: Path) -> ModelFolder:
    """The version in `folder`; ValueError if its card is damaged."""
    card = manifest.read_manifest(folder / "card.json")
    return ModelFolder(name, int(folder.name), folder, card)


def list_versions(parent: Path) -> list[int]:
    """The numbers of the complete versions that lie in a model's folder."""
    folders = parent.iterdir() if parent.is_dir() else ()
    return sorted(int(f.name) for f in folders if f.name.isascii() and f.name.isdigit() and (f / "card.json").is_file())


def create_version(parent: Path, name: str, list_known: Callable[[], list[int]]) -> StagedFolder[ModelFolder]:
    """Fill a folder that becomes the version after all that are known."""

    def finish(draft: Path) -> ModelFolder:
        manifest.finalize(draft, "card.json", is_essential_file, {"name": name})
        number = max(list_known(), default=0) + 1
        while not files.commit(draft, parent / str(number)):  # another process was quicker
            number += 1
        return open_model_folder(name, parent / str(number))

    return StagedFolder(parent, finish)
