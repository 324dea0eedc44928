"""Exact unlearning of a training document: retrain without it, and prove it by the digest of a second run."""

import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from genloom.errors import GenloomError
from genloom.learn.unlearn_ratings import find_weights_digest
from genloom.rate.promotion import promote_version
from genloom.store import mirror
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
    """The unlearned document, the affected versions, and the proof."""

    item: str
    old_data_folder: str  # the folder of the older data set versions, which still contain the document
    data_digest: str  # of the data set without it
    tainted_versions: tuple[str, ...]  # versions of all models trained on the document, or on top of one that was
    new_version: str  # retrained without it, and in use now
    proof: str  # the weights digest of both runs
    active_tainted_versions: tuple[str, ...]  # tainted versions of other models that are still in use


def is_known_document(workspace: Workspace, item: str) -> bool:
    """Return whether the newest version of any data set contains the document, or a model was trained on it."""
    return any(has_document(dataset, item) for dataset in workspace.list_datasets()) or bool(
        find_tainted_models(workspace, item)
    )


def unlearn_document(
    workspace: Workspace, ledger: Ledger, name: str, item: str
) -> Generator[Event | UnlearnDocumentResult]:
    """Retrain the model with its own job and seed on its data without the document (its id), and promote the result.

    A second run, in a separate workspace that never had the document, must give the same weights bit for bit. All
    tainted versions are listed; later rounds of learning are not repeated, since they rate outputs of those versions.
    Raises GenloomError if there is nothing to unlearn, and if the runs differ.
    """
    tainted_models = find_tainted_models(workspace, item)
    own_versions = [folder for folder in tainted_models if folder.name == name]
    if not own_versions:
        tainted_names = ", ".join(sorted({folder.name for folder in tainted_models})) or "no model"
        raise GenloomError("learn.document_not_used", model=name, item=item, tainted=tainted_names)
    first_version = own_versions[0]
    job = read_job(first_version.folder / "job.toml")
    require_repeatable(first_version, job, {folder.ref for folder in tainted_models})
    yield Status(f"Removing the document from the data set {job.data}")
    old_dataset = workspace.get_dataset(job.data, job.digest)
    new_dataset = remove_documents(workspace, old_dataset, [item])
    yield Status(f"Retraining {name} with the job of {first_version.ref}")
    new_job = replace(job, digest=new_dataset.digest)
    new_version = yield from run_training(workspace, new_job)
    yield Status("Retraining once more in a workspace without the document")
    with tempfile.TemporaryDirectory() as folder:
        proof_workspace = build_proof_workspace(workspace, Path(folder), new_dataset, new_job)
        proof_version = yield from run_training(proof_workspace, new_job)
        proof = find_weights_digest(proof_workspace, proof_version)
    if find_weights_digest(workspace, new_version) != proof:
        raise GenloomError("learn.runs_differ", version=new_version)
    promote_version(
        workspace, ledger, name, workspace.get_model(new_version).version, "person", f"forgets the document {item}"
    )
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
    """Return the models whose training data contain the document, and those trained on top of one of them."""
    has_item: dict[tuple[str, str], bool] = {}
    tainted_models: dict[str, ModelFolder] = {}
    models = sorted(workspace.list_models(), key=lambda folder: folder.created)  # a base comes before what builds on it
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
        return False  # imported, or its data were removed


def require_repeatable(folder: ModelFolder, job: Job, tainted_refs: set[str]) -> None:
    """Raise GenloomError if the run cannot be repeated without a model that was trained on the document."""
    for source_ref in (job.base.get("ref", ""), str(job.design.codec_settings.get("model", ""))):
        if source_ref in tainted_refs:
            raise GenloomError(
                "learn.tainted_base", version=folder.ref, source=source_ref, source_name=source_ref.partition("/")[0]
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
    """Build a workspace with the data set and the models that the job builds on, and nothing else."""
    mirror.fetch_files(dataset.folder)
    shutil.copytree(dataset.folder, root / "data" / dataset.name / dataset.digest)
    for ref in filter(None, (job.base.get("ref"), job.design.codec_settings.get("model"))):
        while ref:
            folder = workspace.get_model(str(ref))
            mirror.fetch_files(folder.folder)
            shutil.copytree(folder.folder, root / "models" / folder.name / str(folder.version), dirs_exist_ok=True)
            ref = folder.parent_ref
    return Workspace(root)
