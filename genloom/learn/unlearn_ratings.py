"""Exact unlearning of ratings: retrain from before their first use, and prove it by the digest of a second run."""

import json
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.learn.round import build_training_data, fit_reward_model, split_preferences
from genloom.model import load_for_scoring
from genloom.rate.preferences import build_preferences
from genloom.rate.promotion import promote
from genloom.rate.ratings import withdraw_rating
from genloom.store.ledger import Event as Entry
from genloom.store.ledger import Ledger, open_ledger
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

    withdrawn_events: tuple[str, ...]  # ledger entries
    base_version: str  # the version from before their first use
    tainted_versions: tuple[str, ...]  # versions trained on them, or on top of one that was
    new_version: str  # retrained on the rest; "" if nothing is left, or nothing was trained on them
    proof: str  # the weights digest of both runs; "" without a new version


def unlearn_ratings(
    workspace: Workspace, ledger: Ledger, model: str, rater: str = "", item: str = ""
) -> Generator[Event | UnlearnRatingsResult]:
    """Withdraw the ratings of a rater, or about an output (its id or SHA-256), and retrain without them.

    The version from before their first use is trained again, with the settings of that round, on all other ratings. A
    second run, from a ledger that never had the withdrawn ratings, must give the same weights bit for bit; their digest
    is the proof. Versions trained on them are listed and no longer in use. Raises GenloomError if there is nothing to
    unlearn, and if the runs differ.
    """
    entries = list(find_entries(ledger, rater, item))
    if not entries:
        raise GenloomError("learn.no_ratings_of", name=rater or item)
    ids = {entry.id for entry in entries}
    for entry in entries:
        withdraw_rating(ledger, entry.id)
    rounds = [entry for entry in ledger.iter_events(["round"]) if entry.body["model"] == model]
    first_round = next((entry for entry in rounds if ids & set(entry.body["used"])), None)
    if first_round is None:
        yield UnlearnRatingsResult(tuple(sorted(ids)), workspace.get_model(model).ref, (), "", "")
        return
    base_version = first_round.body["champion"]
    tainted_versions = find_tainted_versions(rounds, first_round)
    base_folder = workspace.get_model(base_version)
    if workspace.get_model(model).ref in tainted_versions:
        promote(workspace, ledger, model, base_folder.version, "person", f"forgets {format_count(len(ids), 'rating')}")
    job = read_job(workspace.get_run(first_round.body["run"]).folder / "job.toml")
    yield Status(f"Retraining {base_version} without them")
    with tempfile.TemporaryDirectory() as folder:
        remaining_data = load_remaining_data(workspace, ledger, model, base_version, job)
        untouched_data = load_remaining_data(
            workspace, copy_ledger(ledger, ids, Path(folder)), model, base_version, job
        )
    if remaining_data is None or untouched_data is None:
        yield UnlearnRatingsResult(tuple(sorted(ids)), base_version, tainted_versions, "", "")
        return
    new_version = yield from run_learning(workspace, rebuild_train_request(job, base_version, model, remaining_data))
    yield Status("Retraining once more from a ledger that never had them")
    digests = [find_weights_digest(workspace, new_version)]
    proof_version = yield from run_learning(
        workspace, rebuild_train_request(job, base_version, f"{model}{PROOF_SUFFIX}", untouched_data)
    )
    digests.append(find_weights_digest(workspace, proof_version))
    shutil.rmtree(workspace.get_model(proof_version).folder.parent)
    if digests[0] != digests[1]:
        raise GenloomError("learn.runs_differ", version=new_version)
    result = UnlearnRatingsResult(tuple(sorted(ids)), base_version, tainted_versions, new_version, digests[0])
    ledger.append("forgetting", {"model": model, **vars(result)})
    yield result


def find_entries(ledger: Ledger, rater: str, item: str) -> Generator[Entry]:
    """Yield the ratings and choices by the rater or about the output."""
    withdrawn_ids = {entry.body["event"] for entry in ledger.iter_events(["withdrawal"])}
    for entry in ledger.iter_events(["rating", "choice"]):
        body = entry.body
        outputs = {body.get("output"), body.get("a"), body.get("b")}
        digests = body["sha256"] if isinstance(body["sha256"], list) else [body["sha256"]]
        if entry.id not in withdrawn_ids and (body["rater"] == rater or (item and item in {*outputs, *digests})):
            yield entry


def find_tainted_versions(rounds: list[Entry], first_round: Entry) -> tuple[str, ...]:
    """Return the challengers of all rounds that used the ratings, or that started from such a challenger."""
    tainted_versions = [first_round.body["challenger"]]
    used_events = set(first_round.body["used"])
    for entry in rounds:
        if entry.seq > first_round.seq and (
            entry.body["champion"] in tainted_versions or used_events & set(entry.body["used"])
        ):
            tainted_versions.append(entry.body["challenger"])
    return tuple(tainted_versions)


def load_remaining_data(
    workspace: Workspace, ledger: Ledger, model: str, base_version: str, job: Job
) -> PreferenceDataset | RolloutEnvironment | None:
    """Return the training data that are left, for the method of the round; None if nothing is left."""
    config, preferences = get_preference_config(job), build_preferences(workspace, ledger, model)
    train_preferences, _ = split_preferences(preferences, config.method)
    if not (train_preferences.pairs or train_preferences.unpaired):
        return None
    champion = load_for_scoring(workspace, base_version)
    _, train_preferences, _, reward_model = fit_reward_model(workspace, champion, preferences, config)
    return build_training_data(workspace, champion, train_preferences, config.method, config.rewards, reward_model)


def copy_ledger(ledger: Ledger, excluded_ids: set[str], folder: Path) -> Ledger:
    """Copy the ledger without some entries and their withdrawals."""
    new_ledger = open_ledger(folder, f"sqlite:///{folder / 'ledger.sqlite'}")
    for entry in ledger.iter_events(["rating", "choice", "withdrawal"]):
        if entry.id not in excluded_ids and entry.body.get("event") not in excluded_ids:
            new_ledger.append(entry.kind, entry.body, entry.id)
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
