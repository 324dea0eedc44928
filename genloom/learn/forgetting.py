"""Taking back what was learned from somebody: learned anew from before the first use, and proved by digest."""

import json
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.learn.round import halves, known_from, taught
from genloom.model import open_to_read
from genloom.rate.preferences import preferences
from genloom.rate.promotion import promote
from genloom.rate.ratings import withdraw
from genloom.rate.wording import counted
from genloom.store.ledger import Event as Entry
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.train.attempts import Practice
from genloom.train.dial import Wishes
from genloom.train.events import Event, Finished, Stage
from genloom.train.job import Job, read_job
from genloom.train.learning import Request, learn_model, settings_of
from genloom.train.lessons import Lessons

PROOF = ".proof"  # what the model of the second run is called while it is there


@dataclass(frozen=True)
class Forgotten:
    """What was taken back, and the proof."""

    withdrawn: tuple[str, ...]  # entries of the ledger
    before: str  # the version from before their first use
    tainted: tuple[str, ...]  # versions that learned from them, or stand on one that did
    made: str  # learned anew from what is left; "" where that is too little or nothing was learned
    proof: str  # the digest that both runs have of all that was learned; "" where nothing was made


def forget(
    workspace: Workspace, ledger: Ledger, model: str, rater: str = "", item: str = ""
) -> Generator[Event | Forgotten]:
    """Withdraw the ratings of a rater, or about an output (its id or SHA-256), and learn anew without them.

    The version from before their first use learns again, with the settings of that round, from all other ratings. A
    second run, from a ledger that never held those withdrawn, has to give the same weights to the last bit; the digest
    of both is the proof. Versions that learned from them are named and not in use any more.
    Raises ValueError where there is nothing to forget, and where both runs differ.
    """
    entries = list(about(ledger, rater, item))
    if not entries:
        raise ValueError(f"The ledger holds nothing of {rater or item!r}. genloom ratings lists what it holds.")
    ids = {entry.id for entry in entries}
    for entry in entries:
        withdraw(ledger, entry.id)
    rounds = [entry for entry in ledger.events(["round"]) if entry.body["model"] == model]
    first = next((entry for entry in rounds if ids & set(entry.body["used"])), None)
    if first is None:
        yield Forgotten(tuple(sorted(ids)), workspace.model(model).ref, (), "", "")
        return
    before = first.body["champion"]
    tainted = stained(rounds, first)
    back = workspace.model(before)
    if workspace.model(model).ref in tainted:
        promote(workspace, ledger, model, back.version, "person", f"forgets {counted(len(ids), 'rating')}")
    job = read_job(workspace.run(first.body["run"]).folder / "job.toml")
    yield Stage(f"Learning anew on {before}, without them")
    with tempfile.TemporaryDirectory() as folder:
        left = lessons_left(workspace, ledger, model, before, job)
        never = lessons_left(workspace, copied(ledger, ids, Path(folder)), model, before, job)
    if left is None or never is None:
        yield Forgotten(tuple(sorted(ids)), before, tainted, "", "")
        return
    one = yield from learned(workspace, request_of(job, before, model, left))
    yield Stage("And once more, from a ledger that never held them")
    digests = [weights(workspace, one)]
    other = yield from learned(workspace, request_of(job, before, f"{model}{PROOF}", never))
    digests.append(weights(workspace, other))
    shutil.rmtree(workspace.model(other).folder.parent)
    if digests[0] != digests[1]:
        raise ValueError(f"{one} and the run that never saw them differ: this machine does not repeat its sums.")
    told = Forgotten(tuple(sorted(ids)), before, tainted, one, digests[0])
    ledger.append("forgetting", {"model": model, **vars(told)})
    yield told


def about(ledger: Ledger, rater: str, item: str) -> Generator[Entry]:
    """The ratings and choices of the rater, or about the output."""
    gone = {entry.body["event"] for entry in ledger.events(["withdrawal"])}
    for entry in ledger.events(["rating", "choice"]):
        body = entry.body
        outputs = {body.get("output"), body.get("a"), body.get("b")}
        digests = body["sha256"] if isinstance(body["sha256"], list) else [body["sha256"]]
        if entry.id not in gone and (body["rater"] == rater or (item and item in {*outputs, *digests})):
            yield entry


def stained(rounds: list[Entry], first: Entry) -> tuple[str, ...]:
    """The challenger of the first round that used them, those of all rounds that did, and what stands on them."""
    found = [first.body["challenger"]]
    used = set(first.body["used"])
    for entry in rounds:
        if entry.seq > first.seq and (entry.body["champion"] in found or used & set(entry.body["used"])):
            found.append(entry.body["challenger"])
    return tuple(found)


def lessons_left(workspace: Workspace, ledger: Ledger, model: str, before: str, job: Job) -> Lessons | Practice | None:
    """What there is to learn from, by the method of the round; None where nothing is left."""
    settings, prefs = settings_of(job), preferences(workspace, ledger, model)
    train, _ = halves(prefs, settings.method)
    if not (train.pairs or train.opinions):
        return None
    champion = open_to_read(workspace, before)
    _, train, _, rewarding = known_from(workspace, champion, prefs, settings)
    return taught(workspace, champion, train, settings.method, settings.rewards, rewarding)


def copied(ledger: Ledger, without: set[str], folder: Path) -> Ledger:
    """A new ledger that never held some entries, nor anything said of them."""
    fresh = open_ledger(folder, f"sqlite:///{folder / 'ledger.sqlite'}")
    for entry in ledger.events(["rating", "choice", "withdrawal"]):
        if entry.id not in without and entry.body.get("event") not in without:
            fresh.append(entry.kind, entry.body, entry.id)
    return fresh


def request_of(job: Job, before: str, model: str, lessons: Lessons | Practice) -> Request:
    wishes = Wishes(steps=job.plan.steps, seed=job.plan.seed)
    overrides = {"plan.precision": job.plan.precision, "rows": str(job.rows)}
    overrides |= {f"learning.{key}": _toml(value) for key, value in job.learning.items() if key != "method"}
    return Request(before, model, lessons, settings_of(job).method, wishes, overrides)


def _toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


def learned(workspace: Workspace, request: Request) -> Generator[Event, None, str]:
    ref = ""
    for event in learn_model(workspace, request):
        yield event
        if isinstance(event, Finished):
            ref = event.ref
    return ref


def weights(workspace: Workspace, ref: str) -> str:
    """The digest of what was learned: the adapter, or all weights."""
    files = workspace.model(ref).card["files"]
    found = [facts["sha256"] for name, facts in sorted(files.items())
             if name == "weights.safetensors" or name.endswith("adapter_model.safetensors")]  # fmt: skip
    assert found, ref
    return found[0]
