"""`/api/teach` and `/api/receipts`: ratings so far, what is missing, and what rounds of learning changed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from genloom.api.ratings import Ratings
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.rate.gate import compute_win_interval
from genloom.rate.preferences import MIN_HELD_OUT, MIN_TRAIN, require_enough_preferences
from genloom.rate.report import receipt as receipts
from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.studio.models import describe_active, read_job_table
from genloom.server.studio.services import CurrentJobs, CurrentWorkspace, Name
from genloom.server.studio.shapes.shape import Page
from genloom.server.studio.shapes.teaching import Receipt, Round, Teach
from genloom.store.ledger import Event

router = APIRouter()
MAX_PROMPTS = 100_000  # of a user, among which those of examples are looked for


@router.get("/api/teach/{model}", response_model=Teach)
@require_scope("read")
def get_teach(model: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return the ratings of a model, what is missing to learn from them, and its rounds."""
    found = jobs.workspace.model(model)
    ratings = jobs.workspace.ratings(found.name)
    rounds = [build_round(jobs.workspace, entry) for entry in list_rounds(jobs.workspace, found.name)]
    pending = [*jobs.store.find(states=["running"], kinds=["learn"]), *jobs.store.list_queued()]
    job = next((each.id for each in pending if each.kind == "learn" and each.params["model"] == found.name), None)
    return {
        "model": found.name,
        "medium": str(read_job_table(found).get("medium") or "text"),
        **{key: value for key, value in describe_active(jobs.workspace, found.name).items() if key != "name"},
        "ratings": count_ratings(ratings, rounds[0]["at"] if rounds else ""),
        "is_enough": ratings.is_enough,
        "shortfall": ratings.shortfall,
        "job": job,
        "rounds": rounds,
    }


@router.get("/api/receipts", response_model=Page[Round])
@require_scope("read")
def list_receipts(workspace: CurrentWorkspace, model: Name = "") -> Any:
    """List the rounds of learning, newest first."""
    return Page[Any](data=[build_round(workspace, entry) for entry in list_rounds(workspace, model)])


@router.get("/api/receipts/{id}", response_model=Receipt)
@require_scope("read")
def get_receipt(id: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Return what a round changed, with which confidence, and at which cost."""
    entry = find_round(jobs.workspace, id)
    content, num_hidden = hide_examples(jobs, user, read_receipt(jobs.workspace, entry))
    return {
        "id": id,
        "run": entry.body["run"],
        "headline": receipts.format_headline(content),
        "outcome_text": receipts.format_outcome(content),
        "outcome": name_outcome(content),
        "text": receipts.to_text(content),
        "html": f"/api/receipts/{id}/html",
        "receipt": to_json(content),
        "hidden_examples": num_hidden,
    }


@router.get("/api/receipts/{id}/html")
@require_scope("read")
def get_receipt_page(id: str, user: CurrentUser, jobs: CurrentJobs) -> Response:
    """Send the page with charts of a round; it runs no script."""
    from genloom.rate.report.html import render_page

    page = render_page(hide_examples(jobs, user, read_receipt(jobs.workspace, find_round(jobs.workspace, id)))[0])
    return build_file_response(page.encode(), "text/html; charset=utf-8", "receipt.html", is_report=True)


def list_rounds(workspace: Workspace, model: str = "") -> list[Event]:
    """Return the rounds of a model, or of all, newest first."""
    entries = workspace.ledger.iter_entries(["round"])
    return [entry for entry in entries if model in ("", entry.body["model"])][::-1]


def find_round(workspace: Workspace, receipt: str) -> Event:
    for entry in list_rounds(workspace):
        if entry.body["receipt"] == receipt:
            return entry
    raise build_unknown_id_error("receipt", receipt)


def read_receipt(workspace: Workspace, entry: Event) -> receipts.Receipt:
    """Return the receipt that an entry of the ledger refers to; 404 if its run is gone."""
    try:
        path = workspace.store.get_run(entry.body["run"]).folder / "receipt.json"
        return receipts.from_json(path.read_bytes())
    except (OSError, GenloomError):
        raise build_unknown_id_error("receipt", entry.body["receipt"]) from None


def hide_examples(jobs: Jobs, user: User, content: receipts.Receipt) -> tuple[receipts.Receipt, int]:
    """Return the receipt without the examples whose prompts this user never gave, and how many these were.

    Prompts belong to those who wrote them: others see what a round proved, and not with whose words.
    """
    if user.is_local:
        return content, 0
    jobs.index.sync(waits=False)
    own = set(jobs.index.list_prompts(content.model.partition("/")[0], MAX_PROMPTS, user.id))
    examples = tuple(example for example in content.examples if example.prompt in own)
    return replace(content, examples=examples), len(content.examples) - len(examples)


def build_round(workspace: Workspace, entry: Event) -> dict[str, Any]:
    body = entry.body
    row: dict[str, Any] = {
        "receipt": body["receipt"],
        "at": entry.at,
        "champion": body["champion"],
        "challenger": body["challenger"],
        "outcome": "promoted" if body["promote"] else "kept",
        "headline": "",
        "method": "",
        "seconds": 0.0,
    }
    try:
        content = read_receipt(workspace, entry)
    except GenloomError:
        return row
    proof = next((m for m in content.decision.measures if m.is_proof and m.is_pairwise), None)
    low, high = compute_win_interval(proof) if proof else (0.0, 0.0)
    return row | {
        "outcome": name_outcome(content),
        "headline": receipts.format_headline(content),
        "method": str(content.method.get("method", "")),
        "seconds": content.cost.total,
        "win": {"rate": proof.challenger, "low": low, "high": high, "name": proof.name} if proof else None,
    }


def name_outcome(content: receipts.Receipt) -> str:
    if content.override_reason:
        return "overruled"
    if content.challenger == content.champion:
        return "no_training"
    return "promoted" if content.decision.should_promote else "kept"


def to_json(content: receipts.Receipt) -> Any:
    import json

    return json.loads(receipts.to_json(content))


def count_ratings(ratings: Ratings, last_round: str) -> dict[str, Any]:
    preferences = ratings.preferences
    raters = Counter((row["rater"], bool(row["machine"])) for row in ratings.rows)
    return {
        "total": len(ratings),
        "pairs": len(preferences.pairs),
        "unpaired": len(preferences.unpaired),
        "train": ratings.count_split("train"),
        "held_out": ratings.count_split("val"),
        "min_train": MIN_TRAIN,
        "min_held_out": MIN_HELD_OUT,
        "missing": get_missing(ratings),
        "can_try": not get_missing(ratings, is_trial=True),
        "since_last_round": sum(str(row["at"]) > last_round for row in ratings.rows),
        "contradictions": len(preferences.contradictions),
        "by_rater": [
            {"name": name, "count": count, "is_machine": is_machine}
            for (name, is_machine), count in raters.most_common()
        ],
        "unused": [
            {"reason": reason, "count": count} for reason, count in Counter(preferences.unused.values()).most_common()
        ],
    }


def get_missing(ratings: Ratings, is_trial: bool = False) -> int:
    """Return how many more ratings are needed at least; 0: there are enough."""
    try:
        require_enough_preferences(ratings.preferences, is_trial)
    except GenloomError as error:
        return max(int(_get_fields(error)["missing"]), 1)
    return 0


def count_missing(workspace: Workspace, model: str) -> int:
    return get_missing(workspace.ratings(model))


def _get_fields(error: GenloomError) -> Mapping[str, Any]:
    return {"missing": 1, **error.fields}
