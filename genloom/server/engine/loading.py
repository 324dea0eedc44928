"""The loaded models: those used least lately leave when memory is needed for another."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.generate.continuous_batching import ContinuousBatch
from genloom.memory import give_back_memory, measure_memory
from genloom.model import Model, load_model
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace

Key = tuple[str, str, tuple[str, ...], str]  # ref, digest, adapters, precision

MEMORY_SHARE = 0.5  # of what is available at the start, for weights
LOADED_FACTOR = 2.5  # bytes of a loaded model per byte of its files, whose weights have 16 bits or 4


@dataclass(eq=False)
class LoadedModel:
    """A model in memory, the texts that it is writing, and how many requests use it."""

    key: Key
    model: Model
    num_bytes: int
    num_users: int = 0
    used_at: float = field(default_factory=time.monotonic)
    batch: ContinuousBatch | None = None

    def describe(self) -> dict[str, Any]:
        ref, _, adapters, precision = self.key
        idle_seconds = 0.0 if self.num_users else time.monotonic() - self.used_at
        return {
            "ref": ref,
            "adapters": list(adapters),
            "precision": self.model.precision or precision,
            "bytes": self.num_bytes,
            "active": self.num_users,
            "idle_seconds": round(idle_seconds, 1),
        }


class ModelShelf:
    """The models in memory within a budget of bytes. Loading is done beside the computation, in a thread."""

    def __init__(self, workspace: Workspace, notify: Callable[[], None], max_bytes: int = 0):
        self.workspace, self.notify = workspace, notify
        self.max_bytes = max_bytes or int(measure_memory().available * MEMORY_SHARE)
        self.models: dict[Key, LoadedModel] = {}
        self.errors: dict[Key, GenloomError | Exception] = {}
        self.loading: Key | None = None

    def resolve(self, ref: str, adapters: tuple[str, ...], precision: str) -> Key:
        """Return the key of a model as it is now in the workspace. Raise GenloomError for an unknown name."""
        folder = self.workspace.get_model(ref)
        return folder.ref, folder.digest, adapters, precision

    def take(self, key: Key) -> LoadedModel | None:
        """Return a model for one more user, who gives it back; None while it is being loaded.

        Raise the error of a model that cannot be loaded.
        """
        if (error := self.errors.pop(key, None)) is not None:
            raise error
        if (loaded := self.models.get(key)) is not None:
            loaded.num_users += 1
            return loaded
        if self.loading is None and self._make_room(key):
            self.loading = key
            threading.Thread(target=self._load, args=(key,), name="genloom-loading", daemon=True).start()
        return None

    def give_back(self, loaded: LoadedModel) -> None:
        loaded.num_users -= 1
        loaded.used_at = time.monotonic()

    def _make_room(self, key: Key) -> bool:
        """Remove idle models until another fits; return whether it does, or nothing more can be removed."""
        needed = LOADED_FACTOR * count_file_bytes(self.workspace, key)
        while self.models and sum(each.num_bytes for each in self.models.values()) + needed > self.max_bytes:
            idle = [each for each in self.models.values() if not each.num_users]
            if not idle:
                return False
            del self.models[min(idle, key=lambda each: each.used_at).key]
        return True

    def _load(self, key: Key) -> None:
        ref, _, adapters, precision = key
        try:
            model = load_model(self.workspace, ref, adapters, precision)
            self.models[key] = LoadedModel(key, model, count_model_bytes(model))
        except Exception as error:
            self.errors[key] = error
        give_back_memory()
        self.loading = None
        self.notify()


def count_file_bytes(workspace: Workspace, key: Key) -> int:
    """Return the bytes of the files of a model and its adapters."""
    folders = [workspace.get_model(ref.partition("=")[0]) for ref in (key[0], *key[2])]
    return sum(count_folder_bytes(folder) for folder in folders)


def count_folder_bytes(folder: ModelFolder) -> int:
    paths = folder.weights or list(Path(folder.folder).rglob("*.safetensors"))
    return sum(path.stat().st_size for path in paths)


def count_model_bytes(model: Model) -> int:
    """Return the bytes of a model's tensors, also of those that are quantised."""
    tensors = {t.data_ptr(): t.nbytes for t in (*model.parts.parameters(), *model.parts.buffers())}
    return sum(tensors.values()) + sum(int(getattr(part, "num_bytes", 0)) for part in model.parts.values())
