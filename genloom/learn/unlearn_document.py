"""Taking a training document back: the model trained again as if it had never been there, and proved by digest."""

import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from genloom.learn.unlearn_ratings import find_weights_digest
from genloom.rate.promotion import promote
from genloom.store.dataset import Dataset
from genloom.store.dataset_removal import has_document, remove_documents
from genloom.store.ledger import Ledger
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train.events import Event, RunResult, Status
from genloom.train.job import Job, read_job
from genloom.train.run import TrainRequest, train_model


@dataclass(frozen=True)
class UnlearnDocumentResult:
    """What was taken back, and the proof."""

    item: str
    old_data_folder: str  # where the older versions of the data set lie, which hold the document still
    data_digest: str  # the digest of the data set without it
    tainted_versions: tuple[str, ...]  # versions of all models that saw the document, or stand on one that did
    new_version: str  # trained again without it, and in use now
    proof: str  # the digest of the weights, of this run and of another one
    active_tainted_versions: tuple[str, ...]  # versions of other models that saw it and are in use still


def is_known_document(workspace: Workspace, item: str) -> bool:
    """Whether the newest version of any data set holds the document, or a model of this workspace saw it."""
    return any(has_document(dataset, item) for dataset in workspace.list_datasets()) or bool(
        find_tainted_models(workspace, item)
    )


def unlearn_document(
    workspace: Workspace, ledger: Ledger, name: str, item: str
) -> Generator[Event | UnlearnDocumentResult]:
    """Train the model again by its own job and seed on its data without the document (its id), and put it into use.

    A second run in a workspace of its own, which never held the document, has to give the same weights to the last bit.
    All that learned from it is named: later rounds of learning are not repeated, since they are about what the older
    versions wrote. Raises ValueError where there is nothing to forget, and where both runs differ.
    """
    tainted_models = find_tainted_models(workspace, item)
    own_versions = [folder for folder in tainted_models if folder.name == name]
    if not own_versions:
        tainted_names = ", ".join(sorted({folder.name for folder in tainted_models})) or "no model"
        raise ValueError(f"No version of {name!r} saw the document {item}; {tainted_names} did.")
    first_version = own_versions[0]
    job = read_job(first_version.folder / "job.toml")
    require_repeatable(first_version, job, {folder.ref for folder in tainted_models})
    yield Status(f"The data set {job.data} without the document")
    old_dataset = workspace.get_dataset(job.data, job.digest)
    new_dataset = remove_documents(workspace, old_dataset, [item])
    yield Status(f"Training {name} again, as {first_version.ref} was")
    new_job = replace(job, digest=new_dataset.digest)
    new_version = yield from run_training(workspace, new_job)
    yield Status("And once more, where the document never was")
    with tempfile.TemporaryDirectory() as folder:
        proof_workspace = build_proof_workspace(workspace, Path(folder), new_dataset, new_job)
        proof_version = yield from run_training(proof_workspace, new_job)
        proof = find_weights_digest(proof_workspace, proof_version)
    if find_weights_digest(workspace, new_version) != proof:
        raise ValueError(f"{new_version} and the run that never saw it differ: this machine does not repeat its sums.")
    promote(workspace, ledger, name, workspace.get_model(new_version).version, "person", f"forgets the document {item}")
    tainted_versions = tuple(folder.ref for folder in tainted_models)
    active_tainted_versions = tuple(
        folder.ref for folder in workspace.list_active_models() if folder.ref in tainted_versions
    )
    result = UnlearnDocumentResult(
        item,
        str(old_dataset.folder.parent),
        new_dataset.digest,
        tainted_versions,
        new_version,
        proof,
        active_tainted_versions,
    )
    ledger.append("forgetting", {"model": name, "before": old_dataset.digest, **vars(result), "old_data_folder": ""})
    yield result


def find_tainted_models(workspace: Workspace, item: str) -> list[ModelFolder]:
    """The models whose training data hold the document, and those that stand on one of them."""
    has_item: dict[tuple[str, str], bool] = {}
    tainted_models: dict[str, ModelFolder] = {}
    models = sorted(
        workspace.list_models(), key=lambda folder: folder.created
    )  # a base is older than what stands on it
    for folder in models:
        data = folder.card.get("data") or {}
        dataset_key = str(data.get("name", "")), str(data.get("digest", ""))
        if dataset_key not in has_item:
            has_item[dataset_key] = is_in_dataset(workspace, *dataset_key, item)
        if has_item[dataset_key] or folder.parent_ref in tainted_models:
            tainted_models[folder.ref] = folder
    return list(tainted_models.values())


def is_in_dataset(workspace: Workspace, name: str, digest: str, item: str) -> bool:
    try:
        return has_document(workspace.get_dataset(name, digest), item)
    except ValueError:
        return False  # imported, or its data are not here any more


def require_repeatable(folder: ModelFolder, job: Job, tainted_refs: set[str]) -> None:
    """Raises ValueError where the run cannot be repeated without what saw the document."""
    for source_ref in (job.base.get("ref", ""), str(job.design.codec_settings.get("model", ""))):
        if source_ref in tainted_refs:
            raise ValueError(
                f"{folder.ref} was made with {source_ref}, which saw the document too. Forget it there first: "
                f"genloom forget {source_ref.partition('/')[0]} --item …; then make {folder.name} anew from that."
            )


def run_training(workspace: Workspace, job: Job) -> Generator[Event, None, str]:
    run = workspace.create_run(job.name)
    job.save(run / "job.toml")
    ref = ""
    for event in train_model(workspace, TrainRequest(run.name, should_resume=True)):
        yield event
        if isinstance(event, RunResult):
            ref = event.ref
    return ref


def build_proof_workspace(workspace: Workspace, root: Path, dataset: Dataset, job: Job) -> Workspace:
    """A workspace with the data set and what the job stands on, and nothing else."""
    shutil.copytree(dataset.folder, root / "data" / dataset.name / dataset.digest)
    for ref in filter(None, (job.base.get("ref"), job.design.codec_settings.get("model"))):
        while ref:
            folder = workspace.get_model(str(ref))
            shutil.copytree(folder.folder, root / "models" / folder.name / str(folder.version), dirs_exist_ok=True)
            ref = folder.parent_ref
    return Workspace(root)
