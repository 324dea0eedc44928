"""Learning from ratings: a challenger trained on a stored model, through the one loop, resumable to the same bits."""

import difflib
import json
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from genloom.model import Model, open_model
from genloom.networks import lora
from genloom.networks.precision import for_reading
from genloom.noise import training_noise
from genloom.objectives.kto import KTO
from genloom.objectives.policy import Policy
from genloom.objectives.preference import Preference
from genloom.settings import made, overridden, table
from genloom.store.files import write_atomic
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Run, Workspace
from genloom.train import checkpoint, documents, forecast, run, samples, tuning
from genloom.train.attempts import Attempting, Practice
from genloom.train.dial import RESERVE, Wishes
from genloom.train.events import Event, Finished, Stage, Warned
from genloom.train.job import Job, read_job
from genloom.train.lessons import Drawn, Lessons, Sides, looked_up
from genloom.train.log import Log
from genloom.train.loop import Plan, State, working_copy
from genloom.train.optimizers import Rates
from genloom.train.rehearsing import READ_AGAIN, rehearsing, what_it_knows
from genloom.types import Batch, Objective, Parts

METHODS = ("dpo", "kto", "weighted", "policy")
DATA = "ratings"  # what the job of such a run says its data are
ADAPTED_FROM = 20_000_000  # parameters; smaller models learn with all their weights
ROWS = 8  # lessons a step
ATTEMPTS = 16  # a step of practice
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
    sift: bool = True  # leave out pairs that a judge fitted to the others contradicts
    rehearsal: float = 5.0  # weight of reading again what the model was trained on, where that is here
    group: int = 4  # of policy: attempts at a prompt, each judged against the others
    advantage: Literal["grpo", "rloo"] = "grpo"
    rewards: tuple[str, ...] = ("model",)  # of policy: the reward model, machine checks, or both

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = difflib.get_close_matches(self.method, METHODS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown method {self.method!r}.{hint} Choose {', '.join(METHODS)}.")
        if self.group < 2:
            raise ValueError(f"learning.group is {self.group}: an attempt is judged against others, so 2 or more.")

    def objective(self, base: Objective[Batch], reference: Parts) -> Objective[Any]:
        """The objective around `base`; `reference` is empty where the batches know what it thinks."""
        beta = self.beta * getattr(base, "nats", 1.0)  # it is the price of a nat
        match self.method:
            case "dpo":
                return Preference(base, reference, beta, self.anchor, self.per_unit, self.flipped)
            case "kto":
                return KTO(base, reference, beta, self.anchor)
            case "policy":
                return Policy(base, reference, beta)
            case _:
                return base


@dataclass(frozen=True)
class Request:
    """What to learn, and on which model."""

    base: str  # the champion, as a ref
    name: str  # of the model whose next version the challenger is
    lessons: Lessons | Practice
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
    job = replace(job, row_length=min(READ_AGAIN, model.design.length))
    known = yield from what_it_knows(folder, workspace, model, job, settings_of(job).rehearsal)
    model, drawn = ready(model, job, request.lessons, look=False)
    model, batches = rehearsing(model, drawn, known, settings_of(job).rehearsal)
    yield Stage("Measuring this machine")

    def step_seconds(precision: str) -> float:
        return tuning.step_seconds(at(job, precision), model, cast(Any, batches))

    asked = "plan.precision" in request.overrides
    half = all(for_reading(part) == "bfloat16" for part in model.parts.values())  # faster beyond doubt
    choices = (job.plan.precision,) if asked else ("bfloat16",) if half else ("float32", "bfloat16")
    seconds = {precision: step_seconds(precision) for precision in choices}
    job = at(job, min(seconds, key=lambda precision: seconds[precision]))
    took = seconds[job.plan.precision]
    epoch = len(request.lessons) * group_of(job) / job.rows  # in steps
    looking = took / 4 * epoch  # a step reads forwards and twice as long backwards
    left = (request.wishes.minutes or 5.0) * 60 * (1 - RESERVE) - looking - (time.perf_counter() - begun)
    steps = request.wishes.steps or max(min(int(left / took), ceil(EPOCHS * epoch)), 1)
    kept = documents.kept(job) if not samples.fixed(model.codec.space) else kept_of(model, job, batches)
    contract = tuning.promised(job, tuning.parameters(model, base, job), steps, took, kept)
    yield contract
    return replace(job, plan=tuning.scheduled(job.plan, steps, request.overrides), contract=contract.facts())


def first_job(design: Any, base: ModelFolder, request: Request, weights: str) -> Job:
    """The job before anything is measured."""
    plan = Plan(steps=1, decay=0.8, rates=RATES[weights], seed=request.wishes.seed)
    rows = ATTEMPTS if request.method == "policy" else ROWS
    tables = Job(request.name, DATA, request.lessons.digest, design, plan, rows).tables()
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    tables["learning"] = table(Settings(request.method))
    if weights == "adapter":
        tables["adapter"] = {"method": "lora", **table(lora.Config())}
    job = Job.of(overridden(tables, request.overrides))
    if job.rows % group_of(job):
        raise ValueError(f"rows is {job.rows}, and attempts come in groups: set a multiple of {group_of(job)}.")
    return job


def group_of(job: Job) -> int:
    """How many rows of a step are about one prompt."""
    settings = settings_of(job)
    return settings.group if settings.method == "policy" else 1


def settings_of(job: Job) -> Settings:
    return made(Settings, job.learning, "learning")


def settings_asked(method: str, overrides: Mapping[str, str]) -> Settings:
    """What a request says of its learning, before there is a job; ValueError for a setting that is none."""
    own = {path: text for path, text in overrides.items() if path.startswith("learning.")}
    return made(Settings, overridden({"learning": table(Settings(method))}, own)["learning"], "learning")


def kept_of(model: Model, job: Job, batches: Batches) -> int:
    """Bytes that a step keeps of each row of samples for its backward pass."""
    few: Any = batches(0).rows(slice(0, 2))
    parts, turn = dict(model.parts.items()), model.objective.turns[0]
    if prepare := getattr(model.objective, "prepare", None):
        few = prepare(parts, few, turn, training_noise(job.plan.seed, 0, 0, len(few)), len(few))
    return forecast.kept_of_samples(model.objective, parts, few, job.plan)


def at(job: Job, precision: str) -> Job:
    return replace(job, plan=replace(job.plan, precision=precision))


def ready(base: Model, job: Job, lessons: Lessons | Practice, look: bool = True) -> tuple[Model, Drawn | Attempting]:
    """The base made ready to learn, with the objective of the method, and the batches that it learns from.

    Dropout stays off. Before its first step the learner is its own reference: an adapter adds nothing yet. Where the
    loss is exact, the reference is asked once about every rated answer (unless `look` says not to); else it stays
    beside the learner, so that both see the same noise.
    """
    settings, plan = settings_of(job), replace(job.plan, compiled=False)
    model = tuning.learner(base, job)
    model.parts.eval()
    if isinstance(lessons, Lessons) and getattr(base.objective, "exact", False):
        sides = Sides.of(settings.method, lessons, model.design.length)
        unknown = np.zeros((len(sides.answers()), len(sides.lessons)), np.float32)
        parts = dict(working_copy(model.parts, plan).items())
        known = looked_up(base.objective, parts, sides) if look else unknown
        return taught_by(model, settings, {}), Drawn(sides, job.rows, plan.seed, known)
    before = dict(working_copy(deepcopy(model.parts).requires_grad_(False), plan).items())
    if isinstance(lessons, Lessons):
        sides = Sides.of(settings.method, lessons, model.design.length)
        return taught_by(model, settings, before), Drawn(sides, job.rows, plan.seed)
    model = taught_by(model, settings, {})
    ways = settings.group, plan.seed, settings.advantage
    return model, Attempting(lessons, model, base.objective, before, job.rows, *ways)


def taught_by(model: Model, settings: Settings, reference: Parts) -> Model:
    base = model.objective
    if getattr(base, "z_loss", 0.0):  # ratings compare likelihoods, and nothing beside them
        base = replace(cast(Any, base), z_loss=0.0)
    return replace(model, objective=settings.objective(base, reference))


def assembled(
    folder: Path, workspace: Workspace, job: Job, lessons: Lessons | Practice
) -> Generator[Event, None, tuple[Model, Batches, State]]:
    """The model at its first step, its batches and its state, all functions of the job and the lessons."""
    base = open_model(workspace, job.base["ref"])
    if base.folder is None or base.folder.digest != job.base["digest"]:
        raise ValueError(
            f"This run learns on {job.base['ref']}, and the one that is here is another model: its digest differs. "
            "Restore the one that the run began with, or learn again."
        )
    assert lessons.digest == job.digest, "a run is gone on with by its own lessons"
    known = yield from what_it_knows(folder, workspace, base, job, settings_of(job).rehearsal)
    model, drawn = ready(base, job, lessons)
    model, batches = rehearsing(model, drawn, known, settings_of(job).rehearsal)
    return model, batches, State.fresh(model.parts, model.objective, job.plan)


def carry_out(workspace: Workspace, of: Run, job: Job, request: Request) -> Generator[Event]:
    """Take the steps that are left and store the challenger as the next version."""
    yield Stage("Asking the champion about the rated answers")
    torch.manual_seed(job.plan.seed)
    model, batches, state = yield from assembled(of.folder, workspace, job, request.lessons)
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
        "memory_bytes": log.memory,
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
