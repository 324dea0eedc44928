"""A training run from a data set to a stored model: started, watched, killed, resumed, extended."""

import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from genloom.likelihood import Measured, Told, key_of, measured
from genloom.model import Model, best_device, complete, objective_of, parts_of, prompts_of, space_of, write_model
from genloom.store import files
from genloom.store.dataset import Dataset
from genloom.store.files import write_atomic
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Run, Workspace
from genloom.train import checkpoint, forecast, tuning
from genloom.train.dial import Wishes, planned
from genloom.train.events import TOKENS, Checked, Event, Finished, Stage, Stepped, Unit, Warned
from genloom.train.forecast import CHECKS
from genloom.train.job import Job, read_job
from genloom.train.log import Log, Pace
from genloom.train.loop import Plan, Progress, State, train
from genloom.train.material import Batches, Material, called, prepared
from genloom.train.sealed import discard_damaged
from genloom.train.speed import uncompilable
from genloom.types import Batch

SAVING_SHARE = 0.05  # of the time at most, however large the state


@dataclass(frozen=True)
class Request:
    data: str  # a data set, or with `resume` the name or id of a run
    name: str = ""  # of the model; like the data set where empty
    base: str = ""  # a model to tune; none: a new one is trained
    method: str = "lora"  # of tuning, or "full"
    wishes: Wishes = field(default_factory=Wishes)
    overrides: Mapping[str, str] = field(default_factory=dict)
    resume: bool = False
    steps: int = 0  # 0: as many as the dial finds, or as the run still has
    threads: int = 0  # 0: as many as torch takes
    save_seconds: float = 30.0
    save_steps: int = 0  # also save after so many steps; 0: by time alone

    def __post_init__(self) -> None:
        wishes = self.wishes
        numbers = {
            "minutes": wishes.minutes,
            "params": wishes.params,
            "tokens": wishes.tokens,
            "steps": self.steps,
            "threads": self.threads,
            "save-steps": self.save_steps,
            "seed": wishes.seed,
        }
        for name, value in numbers.items():
            if not 0 <= value < 2**63:
                raise ValueError(f"--{name} {value} makes no sense: give a number above 0, or leave it away.")


def train_model(workspace: Workspace, request: Request) -> Generator[Event]:
    """Train and yield what happens; close the iterator to stop, which saves.

    Raises ValueError for what a person can mend: an unknown name, too little text, a misspelt setting, a full disk.
    """
    if request.threads:
        torch.set_num_threads(request.threads)
    if request.resume:
        run = resumable(workspace, request.data)
        with held(run):
            job, note = resumed(run, request)
            if note:
                yield Stage(note)
            yield from carry_out(workspace, run, job, request)
        return
    dataset = workspace.dataset(request.data)
    run = workspace.run(workspace.new_run(request.name or dataset.name).name)
    with held(run):
        job = yield from begun(workspace, run, dataset, request)
        yield from carry_out(workspace, run, job, request)


def begun(workspace: Workspace, run: Run, dataset: Dataset, request: Request) -> Generator[Event, None, Job]:
    """The job of a new run, stored; where that fails or is stopped, nothing of the run stays."""
    try:
        wishes = replace(request.wishes, steps=request.steps or request.wishes.steps)
        if request.base:
            asked = request.base, request.method
            job = yield from tuning.planned(run.folder, workspace, dataset, run.name, asked, wishes, request.overrides)
        else:
            job = yield from planned(run.folder, workspace, dataset, run.name, wishes, request.overrides)
        job = replace(job, design=complete(job.design))
        job.save(run.folder / "job.toml")
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return job


def held(run: Run) -> AbstractContextManager[None]:
    """Keep every other process from the run: two that write its checkpoints would spoil each other's."""
    busy = f"The run {run.id} is being trained by another process. Wait for it, or stop it first."
    return files.locked(run.folder, busy)


def resumable(workspace: Workspace, name_or_id: str) -> Run:
    """The newest run of the name that has a job; one killed before that left nothing to go on with."""
    run = workspace.run(name_or_id)
    known = [r for r in workspace.runs() if name_or_id in (r.id, r.name) and (r.folder / "job.toml").exists()]
    if not known:
        raise ValueError(
            f"The run {run.id} was stopped before training began, so there is nothing to resume. "
            f"Start again: genloom train {run.name}"
        )
    return known[-1]


def resumed(run: Run, request: Request) -> tuple[Job, str]:
    """The job of a run to go on with, its plan changed to `request.steps` where that is asked; and a word about it."""
    path = run.folder / "job.toml"
    job = read_job(path)
    done = run.folder / "done.json"
    if request.steps in (0, job.plan.steps):
        if done.exists():
            raise ValueError(
                f"The run {run.id} is finished: its model is {json.loads(done.read_text())['model']}. "
                f"To train it further, say how far: --steps {2 * job.plan.steps}"
            )
        return job, ""
    states, plan = run.folder / "state", replace(job.plan, steps=request.steps)
    # Later states have learned at falling rates, which a run of the new length would not have done there.
    start = checkpoint.newest(states, job.plan.decay_from)
    if not start and checkpoint.newest(states, job.plan.steps):
        raise ValueError(
            f"The run {run.id} has no state left from before its learning rate began to fall, so it cannot be given "
            f"other steps. Begin a new one: genloom train {job.data} --steps {plan.steps}"
        )
    if start >= plan.steps:
        raise ValueError(
            f"The run {run.id} has learned for {start:,} steps at the full rate already: choose --steps above {start}."
        )
    if start > plan.decay_from:  # a run of the new length would decay already; this one does from here on
        plan = replace(plan, decay=(plan.steps - start) / plan.steps)
    checkpoint.rewind(states, start)
    checkpoint.keep(states, start)
    done.unlink(missing_ok=True)
    job = replace(job, plan=plan, contract=stretched(job.contract, plan.steps / job.plan.steps, plan.steps))
    job.save(path)
    where = "as it was before its decay" if start else "from the beginning"
    return job, f"Going on from step {start:,} towards {plan.steps:,}, with the learning rate {where}"


def stretched(contract: Mapping[str, Any], ratio: float, steps: int) -> dict[str, Any]:
    """The contract of a run that was given more or fewer steps; what quality to expect was not forecast for it."""
    kept = {key: value for key, value in contract.items() if key != "bits_per_byte"}
    scaled = {key: type(kept[key])(kept[key] * ratio) for key in ("tokens", "samples", "seconds") if key in kept}
    return {**kept, **scaled, "steps": steps}


def carry_out(workspace: Workspace, run: Run, job: Job, request: Request) -> Iterator[Event]:
    """Train what is left of a job, then check, store and report."""
    dataset = workspace.dataset(job.data, job.digest)
    if job.plan.compiled and (why := uncompilable()):
        yield Warned(f"torch.compile does not work here, so the networks run without it: {why}")
        job = replace(job, plan=replace(job.plan, compiled=False))
    if damaged := discard_damaged(run.folder):
        yield Warned(damaged)
    material: Material | tuning.Written
    if job.base:
        base = tuning.base_model(workspace, job)
        material = yield from tuning.prepared(run.folder, dataset, base)
        model, batches, state = tuning.assembled(material, base, job)
    else:
        material = yield from prepared(run.folder, workspace, dataset, job.design)
        model, batches, state = assembled(material, job)
    held = material.held_out(material.check)
    loaded = checkpoint.load(state, run.folder / "state")
    if loaded is not None:
        yield from (Warned(text) for text in loaded.warnings)
    log = Log(run.folder / "progress.jsonl", state.step)
    yield Stage(f"Training {job.name} from step {state.step:,} to {job.plan.steps:,}")
    yield from steps(run.folder / "state", log, model, batches, job, state, request, held, material.unit)
    yield Stage(f"Checking on held-out {called(dataset.medium)} and storing the model")
    best = replace(model, parts=state.best.eval())
    looking = time.perf_counter()
    found = known(best, material)
    log.seconds += time.perf_counter() - looking
    fact = {
        "seconds": round(log.seconds, 1),
        "memory_bytes": log.memory,
        key_of(material.measure): None if found is None else found.value,
        **(tuning.kept_knowledge(workspace, best, job) if job.base else {}),
        f"{material.unit.key}_per_second": round(state.step * job.amount / max(log.seconds, 1e-9)),
        "steps": state.step,
        "skipped_steps": state.skipped,
    }
    made = stored(workspace, job, run, state.step)
    if made is None:
        making = workspace.new_model(job.name)
        with making as folder:
            card = card_of(dataset, job, run, fact, best)
            if job.base:
                tuning.write(workspace, best, folder, job, card)
            else:
                write_model(best, folder, job.tables(), card)
        made = making.made
    write_atomic(run.folder / "done.json", json.dumps({"model": made.ref}))
    yield Finished(made.ref, run.id, found, log.seconds, job.contract, fact)


def stored(workspace: Workspace, job: Job, run: Run, step: int) -> ModelFolder | None:
    """The model that this run stored at this step before it was killed, if it came so far."""
    for made in workspace.models():
        fact = made.card.get("fact", {})
        if made.name == job.name and made.card.get("run") == run.id and fact.get("steps") == step:
            return made
    return None


def assembled(material: Material, job: Job) -> tuple[Model, Batches, State]:
    """The model at its first step, its batches and its state, all functions of the job."""
    objective = objective_of(job.design, space_of(job.design, material.codec))
    torch.manual_seed(job.plan.seed)
    parts = parts_of(job.design, objective)
    model = Model(job.name, material.codec, objective, parts, job.design, prompts=prompts_of(job.design))
    batches = material.batches(job, model)
    count = sum(p.numel() for p in parts.parameters())
    for part in parts.values():
        material.fit(part)
    forecast.check_memory(job.plan, count, material.kept(job, model) * job.rows, psutil.virtual_memory().total)
    parts.to(best_device())
    return model, batches, State.fresh(parts, objective, job.plan)


def steps(
    states: Path,
    log: Log,
    model: Model,
    batches: Callable[[int], Batch],
    job: Job,
    state: State,
    request: Request,
    held: Sequence[Told] | Batch,
    unit: Unit = TOKENS,
) -> Iterator[Event]:
    """Take the steps, write progress, look at held-out data now and then, and save so that a kill loses little."""
    plan, before, begun = job.plan, log.seconds, time.perf_counter()
    checks = {max(round(plan.steps * (i + 1) / (CHECKS + 1)), 1) for i in range(CHECKS)} if len(held) else set()
    pace = Pace(job.amount)
    saved, took = time.perf_counter(), 0.0
    try:
        for progress in train(model.objective, batches, plan, state):
            pace.tick()
            log.seconds = before + time.perf_counter() - begun
            if progress.skipped:
                yield Warned(
                    f"Step {progress.step} gave numbers that are not finite; it was skipped and no weight changed."
                )
            event = stepped(progress, plan, pace, log.seconds, unit)
            decays = progress.step == plan.decay_from
            by_steps = bool(request.save_steps) and progress.step % request.save_steps == 0
            by_time = time.perf_counter() - saved > max(request.save_seconds, took / SAVING_SHARE)
            saves = decays or by_steps or by_time
            if saves or progress.step % 10 == 0 or progress.step == plan.steps:
                log.write(event)
            check = checked(progress.step, replace(model, parts=state.best), held) if progress.step in checks else None
            if check:
                log.write(check)
            if saves:  # after the log: what comes after a saved step is written again, what comes before it is not
                saving = time.perf_counter()
                checkpoint.save(state, states, keep=decays)
                saved = time.perf_counter()
                took = saved - saving
            yield event
            if check:
                yield check
                pace.rest()
    except GeneratorExit:
        checkpoint.save(state, states)
        raise
    checkpoint.save(state, states)
    log.seconds = before + time.perf_counter() - begun


def known(model: Model, material: Material | tuning.Written) -> Measured | None:
    """What the model knows of held-out data, where there are any."""
    held = material.held_out(material.final)
    return measured(model, held) if len(held) else None


def checked(step: int, model: Model, held: Sequence[Told] | Batch) -> Checked:
    """A look at held-out data, with the parts in evaluation mode meanwhile."""
    training = [part for part in model.parts.values() if part.training]
    model.parts.eval()
    found = measured(model, held)
    for part in training:
        part.train()
    return Checked(step, found)


def stepped(progress: Progress, plan: Plan, pace: Pace, seconds: float, unit: Unit) -> Stepped:
    left = (plan.steps - progress.step) * pace.step_seconds
    return Stepped(
        progress.step, plan.steps, progress.losses, progress.metrics, round(pace.speed), left, round(seconds, 3), unit
    )


def card_of(dataset: Dataset, job: Job, run: Run, fact: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """What a model is and where it came from."""
    return {
        "data": {"name": dataset.name, "digest": dataset.digest, "licences": dataset.manifest.get("licences", {})},
        "run": run.id,
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "forecast": dict(job.contract),
        "fact": dict(fact),
        "machine": checkpoint.machine(),
    }
