"""What a model learned from, as far as it is still in the workspace."""

from collections.abc import Iterator
from dataclasses import dataclass

from genloom.model import Model
from genloom.store.dataset import Dataset, Split
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Item


@dataclass(frozen=True)
class Learned:
    """The data sets of a model and of those that it was tuned on, its own first, and in words what is not here."""

    datasets: tuple[Dataset, ...]
    gone: tuple[str, ...]

    @property
    def names(self) -> str:
        return " and ".join(f"{dataset.name!r}" for dataset in self.datasets)

    def documents(self, split: Split) -> Iterator[Item]:
        """The documents of all that are here."""
        return (item for dataset in self.datasets for item in dataset.documents(split))

    def report(self) -> dict[str, list[str]]:
        """What was searched for copies, and what could not be."""
        searched = [f"{dataset.name}@{dataset.digest[:12]}" for dataset in self.datasets]
        return {"searched": searched, "not_searched": list(self.gone)}


def learned_from(workspace: Workspace, model: Model) -> Learned:
    """Follows a model's cards down to what was trained from nothing, or imported."""
    here: dict[str, Dataset] = {}
    gone: list[str] = []
    for folder in _line(workspace, model, gone):
        data = folder.card.get("data")
        if data is None:
            if not folder.parent:  # else it learned from ratings alone
                gone.append(f"{folder.ref} was not trained here, so its training data cannot be searched")
            continue
        try:
            here.setdefault(data["digest"], workspace.dataset(data["name"], data["digest"]))
        except ValueError:
            told = f"{folder.ref} learned from {data['name']!r}, whose version {data['digest'][:12]} is not here"
            gone.append(f"{told}, so that cannot be searched")
    return Learned(tuple(here.values()), tuple(dict.fromkeys(gone)))


def _line(workspace: Workspace, model: Model, gone: list[str]) -> Iterator[ModelFolder]:
    """The model's folder, that of the model it was tuned on, and so on."""
    folder = model.folder
    while folder is not None:
        yield folder
        if not folder.parent:
            return
        try:
            folder = workspace.model(folder.parent)
        except ValueError:
            gone.append(
                f"{folder.parent}, on which {folder.ref} was tuned, is not here, so its data cannot be searched"
            )
            return
