"""A model as it lies on disk: one immutable version with its card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.store import manifest


@dataclass(frozen=True)
class ModelFolder:
    """`card.json job.toml weights.safetensors codec/`, and for people `CARD.md samples/`.

    A model that was tuned by an adapter has `adapter/` in place of weights: it needs the base that its job names.
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
        return any(inside.startswith("adapter/") for inside in self.card["files"])

    @property
    def parent(self) -> str:
        """The model that it was tuned on, as a ref; "" for one trained from nothing."""
        match self.card.get("parents"):
            case [{"ref": str(ref)}, *_]:
                return ref
        return ""

    def verify(self) -> None:
        """Compare every file with its recorded digest; ValueError names the first that is damaged."""
        manifest.verify(self.folder, self.card)


def is_essential(inside: str) -> bool:
    """Whether a file of the folder makes the model what it is, so that the digest covers it."""
    return inside in ("weights.safetensors", "job.toml") or inside.startswith(("codec/", "adapter/"))


def open_model_folder(name: str, folder: Path) -> ModelFolder:
    """The version in `folder`; ValueError if its card is damaged."""
    card = manifest.read(folder / "card.json")
    return ModelFolder(name, int(folder.name), folder, card)
