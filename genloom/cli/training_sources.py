"""What a model learned from, as far as it is still in the workspace."""

from collections.abc import Iterator
from dataclasses import dataclass

from genloom.model import Model
from genloom.store.dataset import Dataset, Split
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Item


@dataclass(frozen=True)
class TrainingSources:
    """The data sets of a model and of those that it was tuned on, its own first, and in words what is not here."""

    datasets: tuple[Dataset, ...]
    missing: tuple[str, ...]

    @property
    def joined_names(self) -> str:
        return " and ".join(f"{dataset.name!r}" for dataset in self.datasets)

    def documents(self, split: Split) -> Iterator[Item]:
        """The documents of all that are here."""
        return (item for dataset in self.datasets for item in dataset.iter_documents(split))

    def build_report(self) -> dict[str, list[str]]:
        """What was searched for copies, and what could not be."""
        searched_refs = [f"{dataset.name}@{dataset.digest[:12]}" for dataset in self.datasets]
        return {"searched": searched_refs, "not_searched": list(self.missing)}


def find_training_sources(workspace: Workspace, model: Model) -> TrainingSources:
    """Follows a model's cards down to what was trained from nothing, or imported."""
    found_datasets: dict[str, Dataset] = {}
    missing: list[str] = []
    for folder in _iter_lineage(workspace, model, missing):
        data = folder.card.get("data")
        if data is None:
            if not folder.parent_ref:  # else it learned from ratings alone
                missing.append(f"{folder.ref} was not trained here, so its training data cannot be searched")
            continue
        try:
            found_datasets.setdefault(data["digest"], workspace.get_dataset(data["name"], data["digest"]))
        except ValueError:
            reason = f"{folder.ref} learned from {data['name']!r}, whose version {data['digest'][:12]} is not here"
            missing.append(f"{reason}, so that cannot be searched")
    return TrainingSources(tuple(found_datasets.values()), tuple(dict.fromkeys(missing)))


def _iter_lineage(workspace: Workspace, model: Model, missing: list[str]) -> Iterator[ModelFolder]:
    """The model's folder, that of the model it was tuned on, and so on."""
    folder = model.folder
    while folder is not None:
        yield folder
        if not folder.parent_ref:
            return
        try:
            folder = workspace.get_model(folder.parent_ref)
        except ValueError:
            missing.append(
                f"{folder.parent_ref}, on which {folder.ref} was tuned, is not here, so its data cannot be searched"
            )
            return
