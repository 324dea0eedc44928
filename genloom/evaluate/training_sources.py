"""The training data of a model, as far as it is still in the workspace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genloom.errors import format_message
from genloom.model import Model
from genloom.store.dataset import Dataset, Split
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Item


@dataclass(frozen=True)
class TrainingSources:
    """The data sets of a model and of its base models, its own first, and notes on what is missing."""

    datasets: tuple[Dataset, ...]
    missing: tuple[str, ...]

    @property
    def joined_names(self) -> str:
        return " and ".join(f"{dataset.name!r}" for dataset in self.datasets)

    def documents(self, split: Split) -> Iterator[Item]:
        """Return the documents of all data sets that are available."""
        return (item for dataset in self.datasets for item in dataset.iter_documents(split))

    def to_json(self) -> dict[str, list[str]]:
        """Return what was searched for copies, and what could not be."""
        searched_refs = [f"{dataset.name}@{dataset.digest[:12]}" for dataset in self.datasets]
        return {"searched": searched_refs, "not_searched": list(self.missing)}


def find_training_sources(workspace: Workspace, model: Model) -> TrainingSources:
    """Follow the model cards down to the model that was trained from scratch or imported."""
    found_datasets: dict[str, Dataset] = {}
    missing: list[str] = []
    for folder in _iter_lineage(workspace, model, missing):
        data = folder.card.get("data")
        if data is None:
            if not folder.parent_ref:  # else it was trained on ratings alone
                missing.append(format_message("evaluate.data_not_here", model=folder.ref))
            continue
        try:
            found_datasets.setdefault(data["digest"], workspace.get_dataset(data["name"], data["digest"]))
        except ValueError:
            missing.append(
                format_message("evaluate.data_missing", model=folder.ref, data=data["name"], digest=data["digest"][:12])
            )
    return TrainingSources(tuple(found_datasets.values()), tuple(dict.fromkeys(missing)))


@dataclass(frozen=True)
class SeenDocuments:
    """The documents of a split that models have learned from."""

    ids: frozenset[str]
    num_documents: int  # of the split
    models: tuple[str, ...]

    def describe(self, dataset: Dataset, split: Split) -> str:
        """Return a sentence on what is left out of the measurement."""
        return format_message(
            "evaluate.seen_left_out",
            models=" and ".join(self.models), data=dataset.name, split=split, count=len(self.ids),
            total=self.num_documents, share=len(self.ids) / self.num_documents,
        )  # fmt: skip


def find_seen_documents(workspace: Workspace, models: Sequence[Model], dataset: Dataset, split: Split) -> SeenDocuments:
    """Find the documents of a split whose content one of the models, or its base, has learned from."""
    own_ids = {number for ids in dataset.iter_ids(split) for number in ids}
    seen_ids: set[str] = set()
    seen_by = []
    for model in {model.ref: model for model in models}.values():
        others = [other for other in find_training_sources(workspace, model).datasets if other.digest != dataset.digest]
        ids = {number for other in others for ids in other.iter_ids("train") for number in own_ids.intersection(ids)}
        seen_by += [model.ref] if ids else []
        seen_ids |= ids
    return SeenDocuments(frozenset(seen_ids), len(own_ids), tuple(seen_by))


def _iter_lineage(workspace: Workspace, model: Model, missing: list[str]) -> Iterator[ModelFolder]:
    """Yield the folder of the model, then that of its base, and so on."""
    folder = model.folder
    while folder is not None:
        yield folder
        if not folder.parent_ref:
            return
        try:
            folder = workspace.get_model(folder.parent_ref)
        except ValueError:
            missing.append(format_message("evaluate.base_missing", base=folder.parent_ref, model=folder.ref))
            return
