"""Taking a training document back: the model trained again as if it had never been there, and proved by digest."""

import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from genloom.learn.forgetting import weights
from genloom.rate.promotion import promote
from genloom.store.dataset import Dataset
from genloom.store.ledger import Ledger
from genloom.store.model_folder import ModelFolder
from genloom.store.removal import holds, without
from genloom.store.workspace import Workspace
from genloom.train.events import Event, Finished, Stage
from genloom.train.job import Job, read_job
from genloom.train.run import Request, train_model


@dataclass(frozen=True)
class Unseen:
    """What was taken back, and the proof."""

    item: str
    left: str  # where the older versions of the data set lie, which hold the document still
    data: str  # the digest of the data set without it
    tainted: tuple[str, ...]  # versions of all models that saw the document, or stand on one that did
    made: str  # trained again without it, and in use now
    proof: str  # the digest of the weights, of this run and of another one
    in_use: tuple[str, ...]  # versions of other models that saw it and are in use still


def documents_with(workspace: Workspace, item: str) -> bool:
    """Whether the newest version of any data set holds the document, or a model of this workspace saw it."""
    return any(holds(dataset, item) for dataset in workspace.datasets()) or bool(seen(workspace, item))


def unsee(workspace: Workspace, ledger: Ledger, name: str, item: str) -> Generator[Event | Unseen]:
    """Train the model again by its own job and seed on its data without the document (its id), and put it into use.

    A second run in a workspace of its own, which never held the document, has to give the same weights to the last bit.
    All that learned from it is named: later rounds of learning are not repeated, since they are about what the older
    versions wrote. Raises ValueError where there is nothing to forget, and where both runs differ.
    """
    tainted = seen(workspace, item)
    mine = [folder for folder in tainted if folder.name == name]
    if not mine:
        known = ", ".join(sorted({folder.name for folder in tainted})) or "no model"
        raise ValueError(f"No version of {name!r} saw the document {item}; {known} did.")
    first = mine[0]
    job = read_job(first.folder / "job.toml")
    check(first, job, {folder.ref for folder in tainted})
    yield Stage(f"The data set {job.data} without the document")
    old = workspace.dataset(job.data, job.digest)
    data = without(workspace, old, [item])
    yield Stage(f"Training {name} again, as {first.ref} was")
    again = replace(job, digest=data.digest)
    made = yield from trained(workspace, again)
    yield Stage("And once more, where the document never was")
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = beside(workspace, Path(folder), data, again)
        other = yield from trained(elsewhere, again)
        proof = weights(elsewhere, other)
    if weights(workspace, made) != proof:
        raise ValueError(f"{made} and the run that never saw it differ: this machine does not repeat its sums.")
    promote(workspace, ledger, name, workspace.model(made).version, "person", f"forgets the document {item}")
    refs = tuple(folder.ref for folder in tainted)
    in_use = tuple(folder.ref for folder in workspace.models_in_use() if folder.ref in refs)
    told = Unseen(item, str(old.folder.parent), data.digest, refs, made, proof, in_use)
    ledger.append("forgetting", {"model": name, "before": old.digest, **vars(told), "left": ""})
    yield told


def seen(workspace: Workspace, item: str) -> list[ModelFolder]:
    """The models whose training data hold the document, and those that stand on one of them."""
    known: dict[tuple[str, str], bool] = {}
    found: dict[str, ModelFolder] = {}
    models = sorted(workspace.models(), key=lambda folder: folder.created)  # a base is older than what stands on it
    for folder in models:
        data = folder.card.get("data") or {}
        which = str(data.get("name", "")), str(data.get("digest", ""))
        if which not in known:
            known[which] = held(workspace, *which, item)
        if known[which] or folder.parent in found:
            found[folder.ref] = folder
    return list(found.values())


def held(workspace: Workspace, name: str, digest: str, item: str) -> bool:
    try:
        return holds(workspace.dataset(name, digest), item)
    except ValueError:
        return False  # imported, or its data are not here any more


def check(first: ModelFolder, job: Job, tainted: set[str]) -> None:
    """Raises ValueError where the run cannot be repeated without what saw the document."""
    for other in (job.base.get("ref", ""), str(job.design.codec_settings.get("model", ""))):
        if other in tainted:
            raise ValueError(
                f"{first.ref} was made with {other}, which saw the document too. Forget it there first: "
                f"genloom forget {other.partition('/')[0]} --item …; then make {first.name} anew from that."
            )


def trained(workspace: Workspace, job: Job) -> Generator[Event, None, str]:
    run = workspace.new_run(job.name)
    job.save(run / "job.toml")
    ref = ""
    for event in train_model(workspace, Request(run.name, resume=True)):
        yield event
        if isinstance(event, Finished):
            ref = event.ref
    return ref


def beside(workspace: Workspace, root: Path, data: Dataset, job: Job) -> Workspace:
    """A workspace with the data set and what the job stands on, and nothing else."""
    shutil.copytree(data.folder, root / "data" / data.name / data.digest)
    for ref in filter(None, (job.base.get("ref"), job.design.codec_settings.get("model"))):
        while ref:
            folder = workspace.model(str(ref))
            shutil.copytree(folder.folder, root / "models" / folder.name / str(folder.version), dirs_exist_ok=True)
            ref = folder.parent
    return Workspace(root)
