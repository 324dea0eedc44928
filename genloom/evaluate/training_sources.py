"""The training data of a model, as far as it is still in the workspace."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from genloom.errors import format_message
from genloom.store.dataset import Dataset, Split
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Item


class StoredModel(Protocol):
    """A model, loaded or not, as far as its lineage goes."""

    @property
    def ref(self) -> str: ...

    @property
    def folder(self) -> ModelFolder | None: ...


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


def find_training_sources(workspace: Workspace, *models: StoredModel) -> TrainingSources:
    """Follow the cards of models down to the model that was trained from scratch or imported."""
    found_datasets: dict[str, Dataset] = {}
    missing: list[str] = []
    for folder in (folder for model in models for folder in _iter_lineage(workspace, model, missing)):
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
    """The documents of a split that models have learned from, and others that share much of their content."""

    ids: frozenset[str]
    shared_ids: frozenset[str]
    num_documents: int  # of the split
    models: tuple[str, ...]

    @property
    def excluded_ids(self) -> frozenset[str]:
        """The documents to leave out; those that only share content are left out if others remain."""
        all_ids = self.ids | self.shared_ids
        return all_ids if len(all_ids) < self.num_documents else self.ids

    def describe(self, dataset: Dataset, split: Split) -> list[str]:
        """Return sentences on what is left out of the measurement, or not new to the models."""
        fields = {
            "models": " and ".join(self.models),
            "data": dataset.name,
            "split": split,
            "total": self.num_documents,
        }
        num_seen, num_shared = len(self.ids), len(self.shared_ids)
        lines = []
        if num_seen:
            share = num_seen / self.num_documents
            lines.append(format_message("evaluate.seen_left_out", **fields, count=num_seen, share=share))
        if num_shared:
            counts = {"count": num_shared, "share": num_shared / self.num_documents}
            if self.shared_ids <= self.excluded_ids:
                lines.append(format_message("evaluate.shared_left_out", **fields, **counts))
            else:
                lines.append(format_message("evaluate.shared_kept", **fields, **counts))
        return lines


def find_seen_documents(
    workspace: Workspace,
    models: Sequence[StoredModel],
    dataset: Dataset,
    split: Split,
    find_shared: Callable[[Iterable[Item], Iterable[Item]], list[int]] | None = None,
) -> SeenDocuments:
    """Find the documents of a split that one of the models, or its base, has learned from.

    `find_shared` returns the numbers of documents that share much of their content with others.
    """
    own_list = [number for ids in dataset.iter_ids(split) for number in ids]
    own_ids = set(own_list)
    seen_ids: set[str] = set()
    shared_ids: set[str] = set()
    seen_by = []
    for model in {model.ref: model for model in models}.values():
        others = [other for other in find_training_sources(workspace, model).datasets if other.digest != dataset.digest]
        ids = {number for other in others for ids in other.iter_ids("train") for number in own_ids.intersection(ids)}
        documents = (item for other in others for item in other.iter_documents("train"))
        is_shared = find_shared is not None and others and own_list
        shared = {own_list[i] for i in find_shared(dataset.iter_documents(split), documents)} if is_shared else set()
        seen_by += [model.ref] if ids or shared else []
        seen_ids |= ids
        shared_ids |= shared
    return SeenDocuments(frozenset(seen_ids), frozenset(shared_ids - seen_ids), len(own_ids), tuple(seen_by))


def _iter_lineage(workspace: Workspace, model: StoredModel, missing: list[str]) -> Iterator[ModelFolder]:
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
