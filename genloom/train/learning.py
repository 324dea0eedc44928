"""Learning from ratings: a challenger trained on a stored model, through the one loop, resumable to the same bits."""

import difflib
import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import torch

from genloom.model import Model, open_model
from genloom.networks import lora
from genloom.objectives.kto import KTO
from genloom.objectives.preference import Preference
from genloom.objectives.rehearsal import Rehearsal, Rehearsed
from genloom.settings import made, overridden, table
from genloom.store.files import write_atomic
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Run, Workspace
from genloom.train import checkpoint, run, tuning
from genloom.train.dial import RESERVE, Wishes
from genloom.train.events import Event, Finished, Stage, Warned
from genloom.train.job import Job, read_job
from genloom.train.lessons import Drawn, Lessons, Sides, looked_up
from genloom.train.log import Log
from genloom.train.loop import Plan, State, working_copy
from genloom.train.optimizers import Rates
from genloom.train.packing import Packed
from genloom.types import Batch, Objective

METHODS = ("dpo", "kto", "weighted")
DATA = "ratings"  # what the job of such a run says its data are
ADAPTED_FROM = 20_000_000  # parameters; smaller models learn with all their weights
ROWS = 8  # lessons a step
READ_AGAIN = 256  # symbols of a row of text at most
EPOCHS = 4  # readings of the lessons at most, where only the time was given
SETTABLE = ("rows", "plan", "adapter", "learning")
RATES = {
    "adapter": Rates("adamw", adapter=5e-4),
    "full": Rates("adamw", matrix=3e-4, table=3e-4, vector=3e-4),
}

Batches = Callable[[int], Any]  # the batch of a step


@dataclass(frozen=True)
class Settings:
    """How ratings are learned from; the objectives say more (genloom.objectives.preference, kto)."""

    method: str = "dpo"
    beta: float = 0.1
    anchor: float = 0.1
    per_unit: bool = False  # by the mean over an answer's symbols and not by their sum: length alone wins nothing
    flipped: float = 0.1  # share of ratings that are believed to be the wrong way round
    rehearsal: float = 5.0  # weight of reading again what the model was trained on, where that is here

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = difflib.get_close_matches(self.method, METHODS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown method {self.method!r}.{hint} Choose {', '.join(METHODS)}.")

    def objective(self, base: Objective[Batch]) -> Objective[Any]:
        match self.method:
            case "dpo":
                return Preference(base, {}, self.beta, self.anchor, self.per_unit, self.flipped)
            case "kto":
                return KTO(base, {}, self.beta, self.anchor)
            case _:
                return base


@dataclass(frozen=True)
class Request:
    """What to learn, and on which model."""

    base: str  # the champion, as a ref
    name: str  # of the model whose next version the challenger is
    lessons: Lessons
    method: str = "dpo"
    wishes: Wishes = field(default_factory=Wishes)  # minutes or steps, and the seed
    overrides: Mapping[str, str] = field(default_factory=dict)
    save_seconds: float = 30.0
    judged: frozenset[str] = frozenset()  # runs that are over, their challengers judged: asked again, a new one begins


def learn_model(workspace: Workspace, request: Request) -> Generator[Event]:
    """Learn and yield what happens, at last the challenger; a run of the same request that was broken off is gone on.

    Raises ValueError for what a person can mend: an unknown model or method, a setting that is the base's.
    """
    base = workspace.model(request.base)
    begun = unfinished(workspace, base, request)
    if begun is not None:
        with run.held(begun):
            yield Stage(f"Going on with {begun.id}")
            yield from carry_out(workspace, begun, read_job(begun.folder / "job.toml"), request)
        return
    fresh = workspace.run(workspace.new_run(request.name).name)
    with run.held(fresh):
        try:
            request.lessons.save(fresh.folder)
            job = yield from planned(fresh.folder, workspace, base, request)
            job.save(fresh.folder / "job.toml")
        except BaseException:
            shutil.rmtree(fresh.folder, ignore_errors=True)
            raise
        yield from carry_out(workspace, fresh, job, request)


def unfinished(workspace: Workspace, base: ModelFolder, request: Request) -> Run | None:
    """The newest run of the same lessons, base and settings, where its challenger was not judged."""
    for known in reversed(workspace.runs()):
        path = known.folder / "job.toml"
        if known.name != request.name or known.id in request.judged or not path.is_file():
            continue
        job = read_job(path)
        asked = first_job(job.design, base, request, "full" if not job.adapter else "adapter")
        same = (job.digest, job.base, job.learning) == (request.lessons.digest, asked.base, asked.learning)
        if job.data == DATA and same and job.plan.seed == request.wishes.seed:
            return known
    return None


def planned(folder: Path, workspace: Workspace, base: ModelFolder, request: Request) -> Generator[Event, None, Job]:
    """The job, with as many steps as the time allows; yields what is being done and at last the contract."""
    begun = time.perf_counter()
    for path in request.overrides:
        if path.split(".")[0] not in SETTABLE:
            raise ValueError(f"{path} is the base's and stays as it is. Learning lets you set: {', '.join(SETTABLE)}.")
    model = open_model(workspace, base.ref)
    size = sum(weight.numel() for weight in (*model.parts.parameters(), *model.parts.buffers()))
    weights = "adapter" if size >= ADAPTED_FROM and lora.targets(next(iter(model.parts.values()))) else "full"
    job = first_job(model.design, base, request, weights)
    sides = sides_of(model, job, request.lessons)
    job = replace(job, row_length=min(READ_AGAIN, model.design.length))
    model, text = learner(model, job), known_text(folder, workspace, base, model, job)
    unknown = np.zeros((len(sides.answers()), len(sides.lessons)), np.float32)
    model, batches = rehearsing(model, Drawn(sides, job.rows, job.plan.seed, unknown), text, job)
    yield Stage("Measuring this machine")

    def step_seconds(precision: str) -> float:
        return tuning.step_seconds(at(job, precision), model, cast(Any, batches))

    choices = (job.plan.precision,) if "plan.precision" in request.overrides else ("float32", "bfloat16")
    seconds = {precision: step_seconds(precision) for precision in choices}
    job = at(job, min(seconds, key=lambda precision: seconds[precision]))
    took = seconds[job.plan.precision]
    looking = took / 4 * len(sides.lessons) / job.rows  # a step reads forwards and twice as long backwards
    left = (request.wishes.minutes or 5.0) * 60 * (1 - RESERVE) - looking - (time.perf_counter() - begun)
    steps = request.wishes.steps or max(min(int(left / took), ceil(EPOCHS * len(sides.lessons) / job.rows)), 1)
    contract = tuning.promised(job, tuning.parameters(model, base, job), steps, took)
    yield contract
    told = {key: value for key, value in asdict(contract).items() if value is not None}
    return replace(job, plan=replace(job.plan, steps=steps, warmup=max(steps // 20, 1)), contract=told)


def first_job(design: Any, base: ModelFolder, request: Request, weights: str) -> Job:
    """The job before anything is measured."""
    plan = Plan(steps=1, decay=0.8, rates=RATES[weights], seed=request.wishes.seed)
    tables = Job(request.name, DATA, request.lessons.digest, design, plan, ROWS).tables()
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    tables["learning"] = table(Settings(request.method))
    if weights == "adapter":
        tables["adapter"] = {"method": "lora", **table(lora.Config())}
    job = Job.of(overridden(tables, request.overrides))
    settings_of(job)
    return job


def settings_of(job: Job) -> Settings:
    return made(Settings, job.learning, "learning")


def at(job: Job, precision: str) -> Job:
    return replace(job, plan=replace(job.plan, precision=precision))


def learner(model: Model, job: Job) -> Model:
    """The base made ready to learn, with the objective of the method; dropout stays off, as the reference has none."""
    ready = tuning.learner(model, job)
    ready.parts.eval()
    return replace(ready, objective=settings_of(job).objective(model.objective))


def sides_of(model: Model, job: Job, lessons: Lessons) -> Sides:
    return Sides.of(settings_of(job).method, lessons, model.design.length)


def known_text(folder: Path, workspace: Workspace, base: ModelFolder, model: Model, job: Job) -> Packed | None:
    """What the base was trained on, in rows; None where that is not here or nothing shall be read again.

    A network that has counted that text knows it by heart, and would only learn to trust its counts.
    """
    data = base.card.get("data")
    counted = any(hasattr(part, "fit") for part in model.parts.values())
    if counted or not (data and settings_of(job).rehearsal):
        return None
    try:
        dataset = workspace.dataset(data["name"], data["digest"])
    except ValueError:
        return None
    return tuning.packed(tuning.encoded(folder, dataset, model), model, job)


def rehearsing(model: Model, lessons: Drawn, text: Packed | None, job: Job) -> tuple[Model, Batches]:
    """The model and the batches of a run that also reads text again, where there is some."""
    if text is None:
        return model, lessons
    base = getattr(model.objective, "base", model.objective)
    objective: Any = Rehearsal(model.objective, base, settings_of(job).rehearsal)
    # Lessons can be fewer than the rows of a step; both have to have as many.
    return replace(model, objective=objective), lambda step: Rehearsed(
        lessons(step), text(step).rows(slice(0, lessons.rows))
    )


def assembled(folder: Path, workspace: Workspace, job: Job) -> tuple[Model, Batches, State]:
    """The model at its first step, its batches and its state, all functions of the job and the lessons."""
    base = open_model(workspace, job.base["ref"])
    if base.folder is None or base.folder.digest != job.base["digest"]:
        raise ValueError(
            f"This run learns on {job.base['ref']}, and the one that is here is another model: its digest differs. "
            "Restore the one that the run began with, or learn again."
        )
    objective = base.objective
    model = learner(base, job)
    sides = sides_of(model, job, Lessons.read(folder, job.digest))
    # Before its first step the learner is its own reference: an adapter adds nothing yet.
    parts = dict(working_copy(model.parts, replace(job.plan, compiled=False)).items())
    lessons = Drawn(sides, job.rows, job.plan.seed, looked_up(objective, parts, sides))
    text = known_text(folder, workspace, base.folder, model, job)
    model, batches = rehearsing(model, lessons, text, job)
    return model, batches, State.fresh(model.parts, model.objective, job.plan)


def carry_out(workspace: Workspace, of: Run, job: Job, request: Request) -> Iterator[Event]:
    """Take the steps that are left and store the challenger as the next version."""
    yield Stage("Asking the champion about the rated answers")
    torch.manual_seed(job.plan.seed)
    model, batches, state = assembled(of.folder, workspace, job)
    loaded = checkpoint.load(state, of.folder / "state")
    if loaded is not None:
        yield from (Warned(text) for text in loaded.warnings)
    log = Log(of.folder / "progress.jsonl", state.step)
    yield Stage(f"Learning from ratings, step {state.step} to {job.plan.steps}")
    saving = run.Request(of.id, save_seconds=request.save_seconds)
    yield from run.steps(of.folder / "state", log, model, cast(Any, batches), job, state, saving, ())
    best = replace(model, parts=state.best.eval())
    fact = {
        "seconds": round(log.seconds, 1),
        "memory_bytes": psutil.Process().memory_info().rss,
        "steps": state.step,
        "skipped_steps": state.skipped,
    }
    challenger = run.stored(workspace, job, of, state.step)
    if challenger is None:
        making = workspace.new_model(job.name)
        with making as folder:
            tuning.write(workspace, best, folder, job, card_of(workspace, job, of, fact))
        challenger = making.made
    write_atomic(of.folder / "done.json", json.dumps({"model": challenger.ref}))
    yield Finished(challenger.ref, of.id, None, log.seconds, job.contract, fact)


def card_of(workspace: Workspace, job: Job, of: Run, fact: Mapping[str, Any]) -> dict[str, Any]:
    """What the challenger is and where it came from; the data are those of its base."""
    data = workspace.model(job.base["ref"]).card.get("data")
    return {
        **({"data": data} if data else {}),
        "ratings": {"digest": job.digest},
        "run": of.id,
        "forecast": dict(job.contract),
        "fact": dict(fact),
        "machine": checkpoint.machine(),
    }
