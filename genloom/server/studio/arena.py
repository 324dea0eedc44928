"""`/api/arena`: blind choices between pairs that are made ahead; a choice is in the ledger before it is answered."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from genloom.rate.ratings import Winner
from genloom.rate.session import Trial
from genloom.server.access import CurrentUser, User, build_unknown_id_error, require_scope
from genloom.server.errors import APIError
from genloom.server.files import build_file_response
from genloom.server.jobs.jobs import Jobs
from genloom.server.jobs.pairs import PairPlan, plan_pairs, suggest_prompts
from genloom.server.jobs.store import Job
from genloom.server.studio.output_rows import describe_display, find_row, get_path, guess_mime
from genloom.server.studio.services import CurrentJobs
from genloom.server.studio.shapes.teaching import Arena, Chosen, NewChoice, Undone
from genloom.server.studio.teach import count_missing
from genloom.trust.outgoing import sign_blind

router = APIRouter()
Count = Annotated[int, Query(ge=1, le=20)]


@dataclass(frozen=True)
class Session:
    """A rater's session: its pairs, and those that are decided."""

    job: Job
    plan: PairPlan
    trials: list[Trial]
    decided: dict[str, str]  # by pair: the entry of the ledger, "" for a skip

    @property
    def open_trials(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.event not in self.decided]


@router.get("/api/arena/{model}", response_model=Arena)
@require_scope("rate")
async def get_arena(model: str, user: CurrentUser, jobs: CurrentJobs, count: Count = 3) -> Any:
    """Return the next pairs of the newest session of a model, as far as they are made."""
    name = (await asyncio.to_thread(jobs.workspace.model, model)).name
    session = await asyncio.to_thread(find_session, jobs, user, name)
    missing = await asyncio.to_thread(count_missing, jobs.workspace, name)
    if session is None:
        suggested = await asyncio.to_thread(
            lambda: suggest_prompts(jobs.workspace, jobs.index, jobs.workspace.model(name), user)
        )
        empty = {"pairs": [], "answered": 0, "total": 0, "can_undo": False}
        return {**empty, "missing": missing, "suggested_prompts": suggested}
    ready = [trial for trial in session.open_trials if trial.prompt in session.plan.pairs][:count]
    is_making = session.job.state in ("queued", "running")
    progress = {"job": session.job.id, "done": len(session.plan.pairs), "total": len(session.plan.tasks)}
    return {
        "pairs": [await build_pair(jobs, user, session, trial) for trial in ready],
        "making": progress if is_making else None,
        "answered": len(session.decided),
        "total": len(session.trials),
        "can_undo": bool(session.decided),
        "missing": missing,
        "suggested_prompts": [],
    }


@router.post("/api/arena/{model}/choices", response_model=Chosen)
@require_scope("rate")
def choose(model: str, body: NewChoice, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Record the better answer of a pair, or skip it; the same choice again changes nothing."""
    name = jobs.workspace.model(model).name
    session = require_session(jobs, user, name)
    trial = find_trial(session, body.pair)
    event, reveal = session.decided.get(trial.event, ""), None
    if body.winner == "skip":
        if trial.event not in session.decided:
            jobs.marks.add_act(user.id, session.plan.session, trial.event, "")
    else:
        first, second = order_pair(session.plan, trial)
        if not event:
            event = choose_event_id(jobs, user, session, trial)
            jobs.marks.add_act(user.id, session.plan.session, trial.event, event)
        jobs.workspace.choose(first, second, to_winner(body.winner), rater=jobs.get_rater(user), id=event)
        jobs.events.publish("rating.created", {"output": first, "event": event}, user.id)
        reveal = {"a": find_row(jobs, user, first)["model"], "b": find_row(jobs, user, second)["model"]}
    return {"event": event or None, "reveal": reveal, **count_answers(jobs, user, name)}


@router.post("/api/arena/{model}/undo", response_model=Undone)
@require_scope("rate")
async def undo_choice(model: str, user: CurrentUser, jobs: CurrentJobs) -> Any:
    """Take back the last choice or skip of the session; its pair is open again."""

    def undo() -> tuple[str, Session, Trial | None]:
        name = jobs.workspace.model(model).name
        session = require_session(jobs, user, name)
        acts = jobs.marks.list_acts(user.id, session.plan.session)
        if not acts:
            return name, session, None
        pair, event = acts[-1]
        if event and any(each.id == event for each in jobs.workspace.ledger.iter_entries(["choice"])):
            jobs.workspace.withdraw(event)
            jobs.events.publish("rating.withdrawn", {"output": "", "event": event}, user.id)
        jobs.marks.remove_last_act(user.id, session.plan.session)
        return name, session, find_trial(session, pair)

    name, session, trial = await asyncio.to_thread(undo)
    pair = None if trial is None else await build_pair(jobs, user, session, trial)
    return {"pair": pair, **await asyncio.to_thread(count_answers, jobs, user, name)}


@router.get("/api/arena/{model}/pairs/{pair}/{side}/{view}")
@require_scope("rate")
async def get_answer(
    model: str,
    pair: str,
    side: Literal["a", "b"],
    view: Literal["file", "shown", "thumbnail", "sound"],
    user: CurrentUser,
    jobs: CurrentJobs,
) -> Response:
    """Send an answer of a pair; its address and its name say nothing about the model."""

    def find() -> Mapping[str, Any]:
        session = require_session(jobs, user, jobs.workspace.model(model).name)
        first, second = order_pair(session.plan, find_trial(session, pair))
        return find_row(jobs, user, first if side == "a" else second)

    row = await asyncio.to_thread(find)
    questions = {"shown": "show", "thumbnail": "make_thumbnail", "sound": "render_sound"}
    if view == "file":
        path, mime = get_path(jobs, row), guess_mime(row["file"])
    else:
        found = await jobs.worker.ask(questions[view], output=row["id"])
        if found is None:
            raise build_unknown_id_error(view, pair)
        path, mime = Path(found["path"]), found["mime"]
    suffix = path.suffix or Path(row["file"]).suffix  # of a file in the bin
    content = await asyncio.to_thread(path.read_bytes)  # a file would be sent with its time in the headers
    data = await asyncio.to_thread(sign_blind, jobs.workspace.folder, content, suffix)
    return build_file_response(data, mime, f"{side}{suffix}")


def find_session(jobs: Jobs, user: User, model: str) -> Session | None:
    """Return the newest session of a user with a model; None before the first."""
    for job in jobs.store.find(owner=user.id, kinds=["arena"], limit=1000):
        if str(job.params["model"]).partition("/")[0] == model:
            jobs.index.sync(waits=False)
            plan = plan_pairs(jobs.workspace, jobs.index, job)
            recorded = {"", *(entry.id for entry in jobs.workspace.ledger.iter_entries(["choice"]))}
            acts = jobs.marks.list_acts(user.id, plan.session)
            decided = {pair: event for pair, event in acts if event in recorded}  # a killed server records no choice
            return Session(job, plan, plan.schedule(jobs.get_rater(user)), decided)
    return None


def require_session(jobs: Jobs, user: User, model: str) -> Session:
    session = find_session(jobs, user, model)
    if session is None:
        raise APIError("studio.no_session", status=404, model=model)
    return session


def find_trial(session: Session, pair: str) -> Trial:
    for trial in session.trials:
        if trial.event == pair and trial.prompt in session.plan.pairs:
            return trial
    raise build_unknown_id_error("pair", pair)


def order_pair(plan: PairPlan, trial: Trial) -> tuple[str, str]:
    """Return the outputs of a trial as they are shown."""
    first, second = plan.pairs[trial.prompt]
    return (second, first) if trial.is_swapped else (first, second)


def choose_event_id(jobs: Jobs, user: User, session: Session, trial: Trial) -> str:
    """Return the id of a choice: that of the trial, or after an undo the next one."""
    taken = {entry.id for entry in jobs.workspace.ledger.iter_entries(["choice"])}
    number, id = 1, trial.event
    while id in taken:
        number += 1
        id = f"{trial.event}-{number}"
    return id


def to_winner(winner: Literal["a", "b", "tie", "bad"]) -> Winner:
    return winner


def count_answers(jobs: Jobs, user: User, model: str) -> dict[str, int]:
    session = require_session(jobs, user, model)
    return {
        "answered": len(session.decided),
        "total": len(session.trials),
        "missing": count_missing(jobs.workspace, model),
    }


async def build_pair(jobs: Jobs, user: User, session: Session, trial: Trial) -> dict[str, Any]:
    sides = {}
    name = str(session.job.params["model"]).partition("/")[0]
    given = {}
    for side, id in zip("ab", order_pair(session.plan, trial), strict=True):
        row = await asyncio.to_thread(find_row, jobs, user, id)
        display = await describe_display(jobs, row["medium"], id)
        base = f"/api/arena/{name}/pairs/{trial.event}/{side}"
        text = None
        if row["is_text"]:
            record = await asyncio.to_thread(lambda id=id: jobs.workspace.output(id).record)
            text = str(record.get("written") or "")
        sides[side] = {
            "medium": row["medium"],
            "mime": display["mime"],
            "url": f"{base}/shown",
            "text": text,
            "thumbnail": f"{base}/thumbnail" if display["mime"].startswith("image/") else None,
            "sound": f"{base}/sound" if display["has_sound"] else None,
        }
    return {
        "id": trial.event,
        "prompt": session.plan.tasks[trial.prompt],
        "given": given,
        "position": session.trials.index(trial) + 1,
        "count": len(session.trials),
        **sides,
    }
