"""Exact unlearning of ratings: retrain from before their first use, and prove it by the digest of a second run."""

import json
import tempfile
from collections.abc import Collection, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.learn.training_data import build_training_data, fit_reward_model, list_used_events, split_preferences
from genloom.model import load_for_scoring
from genloom.old_names import upgrade_rater
from genloom.rate.preferences import build_preferences
from genloom.rate.promotion import promote_version
from genloom.rate.ratings import withdraw_entries
from genloom.store import mirror
from genloom.store.ledger import Event as Entry
from genloom.store.ledger import Ledger, NewEvent, open_ledger
from genloom.store.lineage import RatingsTraining, find_trained_versions, list_trainings
from genloom.store.workspace import Workspace
from genloom.text_format import format_count
from genloom.train.events import Event, RunResult, Status
from genloom.train.job import Job, read_job
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.config import get_preference_config
from genloom.train.preference.dataset import PreferenceDataset
from genloom.train.preference.rollouts import RolloutEnvironment
from genloom.train.preference.stage import RATINGS_DATA
from genloom.train.run import TrainRequest, train_model

PROOF_SUFFIX = ".proof"  # of the temporary model of the second run


@dataclass(frozen=True)
class UnlearnRatingsResult:
    """The withdrawn ratings, the affected versions, and the proof."""

    withdrawn_events: tuple[str, ...]  # ledger entries, also those that were withdrawn before
    base_version: str  # the version from before their first use; the active one if the model was not trained on them
    tainted_versions: tuple[str, ...]  # versions of all models trained on them, or based on one that was
    new_version: str  # retrained on the rest; "" if nothing is left, or nothing was trained on them
    proof: str  # the weights digest of both runs; "" without a new version
    active_tainted_versions: tuple[str, ...] = ()  # tainted versions that are still in use: of other models


def unlearn_ratings(
    workspace: Workspace, ledger: Ledger, model: str, rater: str = "", item: str = ""
) -> Generator[Event | UnlearnRatingsResult]:
    """Withdraw the ratings of a rater, or about an output (its id or SHA-256), and retrain without them.

    The version from before their first use is trained again, with the settings of that round, on all other ratings. A
    second run, from a ledger that never had the withdrawn ratings, must give the same weights bit for bit; their digest
    is the proof. Versions trained on them, in rounds or by earlier unlearning, are listed and no longer in use. Raises
    GenloomError if there is nothing to unlearn, and if the runs differ.
    """
    ids = frozenset(entry.id for entry in find_entries(ledger, rater, item))
    if not ids:
        if item:
            raise GenloomError("learn.unknown_item", name=item)
        raise GenloomError("learn.no_ratings_of", name=rater)
    if is_forgotten(workspace, ledger, model, ids):
        raise GenloomError("learn.already_forgotten", name=rater or item, model=model)
    withdraw_entries(ledger, ids)
    active_version = workspace.get_model(model)
    training = next((each for each in list_trainings(ledger) if each.model == model and each.used & ids), None)
    if training is None:
        yield record_result(workspace, ledger, ids, active_version.ref)
        return
    base_folder = workspace.get_model(training.base)
    is_tainted = active_version.ref in find_trained_versions(workspace, ledger, ids)
    reason = f"forgets {format_count(len(ids), 'rating')}"
    if is_tainted:
        promote_version(workspace, ledger, model, base_folder.version, "person", reason)
    job = load_job(workspace, training)
    yield Status(f"Retraining {base_folder.ref} without them")
    with tempfile.TemporaryDirectory() as folder:
        remaining_data, used = load_remaining_data(workspace, ledger, model, base_folder.ref, job)
        untouched_data, _ = load_remaining_data(
            workspace, copy_ledger(ledger, ids, Path(folder)), model, base_folder.ref, job
        )
    if remaining_data is None or untouched_data is None:
        yield record_result(workspace, ledger, ids, base_folder.ref)
        return
    new_version = yield from run_learning(workspace, rebuild_train_request(job, base_folder.ref, model, remaining_data))
    yield Status("Retraining once more from a ledger that never had them")
    digests = [find_weights_digest(workspace, new_version)]
    proof_version = yield from run_learning(
        workspace, rebuild_train_request(job, base_folder.ref, f"{model}{PROOF_SUFFIX}", untouched_data)
    )
    digests.append(find_weights_digest(workspace, proof_version))
    mirror.remove_path(workspace.get_model(proof_version).folder.parent)
    if digests[0] != digests[1]:
        raise GenloomError("learn.runs_differ", version=new_version)
    result = record_result(workspace, ledger, ids, base_folder.ref, new_version, digests[0], used)
    if is_tainted and active_version.ref == new_version:  # it had learned the same without them
        promote_version(workspace, ledger, model, active_version.version, "person", reason)
        result = replace(result, active_tainted_versions=find_active(workspace, result.tainted_versions))
    yield result


def find_entries(ledger: Ledger, rater: str, item: str) -> Generator[Entry]:
    """Yield the ratings and choices by the rater or about the output, also withdrawn ones."""
    for entry in ledger.iter_entries(["rating", "choice"]):
        body = entry.body
        outputs = {body.get("output"), body.get("a"), body.get("b")}
        digests = body["sha256"] if isinstance(body["sha256"], list) else [body["sha256"]]
        if body["rater"] in {rater, upgrade_rater(rater)} or (item and item in {*outputs, *digests}):
            yield entry


def is_forgotten(workspace: Workspace, ledger: Ledger, model: str, ids: frozenset[str]) -> bool:
    """Return whether these ratings were unlearned already, and the active version was not trained on them."""
    is_recorded = any(
        entry.body["model"] == model and ids <= set(entry.body.get("withdrawn_events", ()))
        for entry in ledger.iter_entries(["forgetting"])
    )
    return is_recorded and workspace.get_model(model).ref not in find_trained_versions(workspace, ledger, ids)


def record_result(
    workspace: Workspace,
    ledger: Ledger,
    ids: frozenset[str],
    base_version: str,
    new_version: str = "",
    proof: str = "",
    used: Collection[str] = (),
) -> UnlearnRatingsResult:
    """Record the unlearning in the ledger, and return what it affected."""
    model = base_version.partition("/")[0]
    body = {"withdrawn_events": sorted(ids), "base_version": base_version, "new_version": new_version, "proof": proof}
    # From here on the new version counts as trained without them, so the tainted versions are listed again afterwards.
    tainted_versions = [v for v in find_trained_versions(workspace, ledger, ids) if v != new_version]
    ledger.append("forgetting", {"model": model, **body, "tainted_versions": tainted_versions, "used": sorted(used)})
    tainted = tuple(find_trained_versions(workspace, ledger, ids))
    return UnlearnRatingsResult(
        tuple(sorted(ids)), base_version, tainted, new_version, proof, find_active(workspace, tainted)
    )


def find_active(workspace: Workspace, versions: Collection[str]) -> tuple[str, ...]:
    """Return the versions that are in use."""
    return tuple(folder.ref for folder in workspace.list_active_models() if folder.ref in versions)


def load_job(workspace: Workspace, training: RatingsTraining) -> Job:
    """Return the job of a training on ratings."""
    folder = workspace.get_run(training.run).folder if training.run else workspace.get_model(training.version).folder
    return read_job(folder / "job.toml")


def load_remaining_data(
    workspace: Workspace, ledger: Ledger, model: str, base_version: str, job: Job
) -> tuple[PreferenceDataset | RolloutEnvironment | None, list[str]]:
    """Return the training data that are left (None: nothing), for the method of the round, and their ledger entries."""
    config, preferences = get_preference_config(job), build_preferences(workspace, ledger, model)
    train_preferences, _ = split_preferences(preferences, config.method)
    if not (train_preferences.pairs or train_preferences.unpaired):
        return None, []
    used = list_used_events(preferences, config.method)
    champion = load_for_scoring(workspace, base_version)
    _, train_preferences, _, reward_model = fit_reward_model(workspace, champion, preferences, config)
    training_data = build_training_data(
        workspace, champion, train_preferences, config.method, config.rewards, reward_model
    )
    return training_data, used


def copy_ledger(ledger: Ledger, excluded_ids: Collection[str], folder: Path) -> Ledger:
    """Copy the ratings and withdrawals of the ledger, without some entries and their withdrawals."""
    new_ledger = open_ledger(folder, f"sqlite:///{folder / 'ledger.sqlite'}")
    new_ledger.append_all(
        [
            NewEvent(entry.kind, entry.body, entry.id)
            for entry in ledger.iter_entries(["rating", "choice", "withdrawal"])
            if entry.id not in excluded_ids and entry.body.get("event") not in excluded_ids
        ]
    )
    return new_ledger


def rebuild_train_request(
    job: Job, base_version: str, model: str, training_data: PreferenceDataset | RolloutEnvironment
) -> TrainRequest:
    budget = Budget(steps=job.plan.steps, seed=job.plan.seed)
    overrides = {"plan.precision": job.plan.precision, "batch_size": str(job.batch_size)}
    overrides |= {f"learning.{key}": _to_toml(value) for key, value in job.learning.items() if key != "method"}
    method = get_preference_config(job).method
    return TrainRequest(RATINGS_DATA, model, base_version, method, budget, overrides, preferences=training_data)


def _to_toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


def run_learning(workspace: Workspace, request: TrainRequest) -> Generator[Event, None, str]:
    ref = ""
    for event in train_model(workspace, request):
        yield event
        if isinstance(event, RunResult):
            ref = event.ref
    return ref


def find_weights_digest(workspace: Workspace, ref: str) -> str:
    """Return the digest of the trained weights: the adapter's, or all."""
    files = workspace.get_model(ref).card["files"]
    digests = [metadata["sha256"] for name, metadata in sorted(files.items())
             if name == "weights.safetensors" or name.endswith("adapter_model.safetensors")]  # fmt: skip
    assert digests, ref
    return digests[0]
