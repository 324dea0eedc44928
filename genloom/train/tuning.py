"""Tuning a stored model on data of one's own: what is learned, what it takes, and what may be forgotten."""

import difflib
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import psutil
import torch

from genloom import plugins
from genloom.likelihood import BITS, Told, key_of, measured
from genloom.model import (
    Design,
    Model,
    check,
    complete,
    merged_model,
    objective_of,
    open_model,
    parts_of,
    space_of,
    stacked_up,
    write_adapter,
    write_model,
)
from genloom.networks import lora
from genloom.settings import made, overridden, table
from genloom.store.dataset import Dataset
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train import forecast, samples
from genloom.train.dial import RESERVE, Wishes
from genloom.train.documents import Written, encoded
from genloom.train.events import TOKENS, Contract, Event, Stage, Unit, Warned
from genloom.train.job import Job
from genloom.train.loop import Plan, State, train
from genloom.train.material import Batches, Pool, called, pooled
from genloom.train.optimizers import Rates
from genloom.types import Batch

METHODS = ("lora", "full")
ADAPTER = "default"  # its name in the network while it learns
SETTABLE = {  # the rest of a job is the base's
    "lora": ("rows", "row_length", "unprompted", "plan", "adapter"),
    "full": ("rows", "row_length", "unprompted", "plan", "objective"),
}
LONG = 2.0  # seconds of a step which chance changes little
STILL = Rates("adamw", matrix=0.0, table=0.0, vector=0.0, adapter=0.0)  # to time steps that change nothing
RATES = {
    "lora": Rates("adamw", adapter=5e-4),
    "full": Rates("adamw", matrix=5e-5, table=5e-5, vector=5e-5),
}


def planned(
    folder: Path,
    workspace: Workspace,
    dataset: Dataset,
    name: str,
    asked: tuple[str, str],
    wishes: Wishes,
    overrides: Mapping[str, str],
) -> Generator[Event, None, Job]:
    """Yield what is being done and at last the contract; return the job. `asked` is the base and the method.

    Raises ValueError for what a person can mend: an unknown base or method, too little data, wishes that exclude each
    other, a setting that is the base's.
    """
    begun = time.perf_counter()
    ref, method = asked
    check_wishes(method, wishes, overrides)
    if not dataset.size("train"):
        raise ValueError(
            f"The data set {dataset.name!r} has no training {called(dataset.medium)}. Collect more, then train."
        )
    base = workspace.model(ref)
    model = open_model(workspace, base.ref)
    if dataset.medium != model.design.medium:
        raise ValueError(
            f"{base.ref} makes {called(model.design.medium)}, and {dataset.name!r} holds {called(dataset.medium)}. "
            "Choose data or a model of the other kind."
        )
    job = first_job(model, base, dataset, name, method, wishes.seed, overrides)
    model = learner(model, job)
    yield Stage(f"Encoding the {called(dataset.medium)}")
    material = yield from prepared(folder, dataset, model)
    job = material.shaped(job)
    for warning in material.warnings(job, model):
        yield Warned(warning)
    yield Stage(f"Measuring what {job.base['ref']} knows before")
    looking = time.perf_counter()
    model.parts.eval()
    held = material.held_out(material.final)
    before = measured(model, held).value if len(held) else None
    general = next(iter(kept_knowledge(workspace, model, job).values()), None)
    model.parts.train()
    looking = time.perf_counter() - looking
    yield Stage("Measuring this machine")
    if "plan.precision" not in overrides:
        job = replace(job, plan=replace(job.plan, precision=faster_precision(job, model, material)))
    seconds = step_seconds(job, model, material.batches(job, model))
    end = begun + (wishes.minutes or 5.0) * 60 * (1 - RESERVE) - 2 * looking  # after the run, and all looks within it
    steps = wishes.steps or -(-wishes.tokens // job.amount) or max(int((end - time.perf_counter()) / seconds), 1)
    enough = ceil(material.epochs * material.size(job, model) / job.rows)
    if steps > enough and not (wishes.steps or wishes.tokens):
        steps = enough
        yield Warned(
            f"The {called(dataset.medium)} will be read {material.epochs} times over, which takes less than the time "
            "you gave; reading so little more often would teach it by heart. If that is what you want, say --steps."
        )
    kept = material.kept(job, model)
    contract = replace(
        promised(job, parameters(model, base, job), steps, seconds, kept, material.unit, material.measure),
        before=before,
        general_before=general,
    )
    yield contract
    return replace(job, plan=scheduled(job.plan, steps, overrides), contract=contract.facts())


def scheduled(plan: Plan, steps: int, overrides: Mapping[str, str]) -> Plan:
    """The plan for so many steps; a warm-up that nobody has set is a twentieth of them."""
    return replace(plan, steps=steps, warmup=plan.warmup if "plan.warmup" in overrides else max(steps // 20, 1))


def check_wishes(method: str, wishes: Wishes, overrides: Mapping[str, str]) -> None:
    """Raises ValueError for wishes that tuning cannot meet."""
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"Unknown method {method!r}.{hint} Choose lora (an adapter) or full (all weights).")
    if sum(bool(w) for w in (wishes.minutes, wishes.tokens, wishes.steps)) > 1:
        raise ValueError("Choose one of --minutes, --tokens and --steps: each of them says how long to train.")
    if wishes.params:
        raise ValueError("A tuned model has the size of its base: leave --params away.")
    for path in overrides:
        if path.split(".")[0] == "adapter" and method == "full":
            raise ValueError(f"{path} is a setting of an adapter: choose --method lora for it.")
        if path.split(".")[0] not in SETTABLE[method]:
            known = ", ".join(SETTABLE[method])
            raise ValueError(f"{path} is the base's and stays as it is. Tuning lets you set: {known}.")


def first_job(
    model: Model, base: ModelFolder, dataset: Dataset, name: str, method: str, seed: int, overrides: Mapping[str, str]
) -> Job:
    """The job before anything is measured."""
    plan = Plan(steps=1, decay=0.8, rates=RATES[method], seed=seed)
    tables = Job(name, dataset.name, dataset.digest, model.design, plan, 1).tables()
    if objective := overrides.get("objective.name"):  # another one around the same networks, with settings of its own
        tables["objective"] = {}
        tables["plan"] |= getattr(plugins.find("objective", objective), "PLAN", {})
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    if method == "lora":
        tables["adapter"] = {"method": method, **table(lora.Config())}
    tables["rows"] = 0  # not known yet
    tables = overridden(tables, overrides)
    rows = tables.pop("rows")
    job = Job.of({**tables, "rows": rows or 1})
    check(job.design)
    if job.row_length > job.design.length:
        raise ValueError(
            f"{base.ref} reads {job.design.length} symbols at once, so row_length {job.row_length} is too long."
        )
    return job if rows else replace(job, rows=0)


def learner(model: Model, job: Job) -> Model:
    """The base as it was opened, made ready to learn: with a new adapter, or with all its weights free.

    Its objective may be another one than the base had.
    """
    torch.manual_seed(job.plan.seed)
    if complete(job.design) != complete(model.design):
        model = around(merged_model(model) if model.adapters else model, job.design)
    if job.adapter:
        if len(model.parts) != 1:
            raise ValueError(
                f"A model of {len(model.parts)} networks cannot be tuned by an adapter: use --method full."
            )
        settings = {key: value for key, value in job.adapter.items() if key != "method"}
        for network in model.parts.values():
            lora.attach(network, made(lora.Config, settings, "adapter"), ADAPTER)
    elif model.adapters:
        model = merged_model(model)
    return replace(model, name=job.name, folder=None, parts=model.parts.train().requires_grad_(True))


def around(model: Model, design: Design) -> Model:
    """The model with another objective around its networks; what a network has more for it starts afresh.

    Raises ValueError where the networks that the objective asks for are not those of the model.
    """
    objective = objective_of(design, space_of(design, model.codec))
    parts = parts_of(design, objective)
    known = model.parts.state_dict()
    wanted = {name: tensor.shape for name, tensor in parts.state_dict().items()}
    if unfit := [name for name, tensor in known.items() if wanted.get(name) != tensor.shape]:
        raise ValueError(
            f"The objective {design.objective!r} needs other networks than {model.ref} has ({unfit[0]} does not fit). "
            "Train a new model for it."
        )
    parts.load_state_dict(known, strict=False)
    if taught_by := getattr(objective, "taught_by", None):  # the model as it was stays at hand while it is learned from
        objective = taught_by(dict(model.parts.items()))
    return replace(model, objective=objective, parts=parts.to(model.device), design=design)


def prepared(folder: Path, dataset: Dataset, model: Model) -> Generator[Event, None, Written | Pool]:
    """What the data set is for the model, encoded if it is not yet. ValueError where it cannot hold a conversation."""
    if samples.fixed(model.codec.space):
        return (yield from pooled(folder, dataset, model.codec, model.design))
    return Written(model.codec, encoded(folder, dataset, model), dataset)


def base_model(workspace: Workspace, job: Job) -> Model:
    """The model that a run tunes. ValueError where it is not here, or is another one."""
    ref = job.base["ref"]
    try:
        model = open_model(workspace, ref)
    except ValueError as error:
        raise ValueError(f"This run tunes {ref}, which cannot be opened: {error}") from None
    if model.folder is None or model.folder.digest != job.base["digest"]:
        raise ValueError(
            f"This run tunes {ref}, and the {ref} that is here is another model: its digest differs. "
            "Restore the one that the run began with, or start again."
        )
    return model


def assembled(material: Written | Pool, base: Model, job: Job) -> tuple[Model, Batches, State]:
    """The model at its first step, its batches and its state, all functions of the job."""
    model = learner(base, job)
    return model, material.batches(job, model), State.fresh(model.parts, model.objective, job.plan)


def step_seconds(job: Job, model: Model, batches: Batches) -> float:
    """The fastest of two steps after a first, which also fills tables; of long ones, one. The model stays as it is."""
    plan = replace(job.plan, steps=3, rates=STILL)
    times, before = [], time.perf_counter()
    for _ in train(model.objective, batches, plan, State.fresh(model.parts, model.objective, plan)):
        times.append(time.perf_counter() - before)
        if len(times) > 1 and times[-1] > LONG:
            break
        before = time.perf_counter()
    return min(times[1:])


def faster_precision(job: Job, model: Model, material: Written | Pool) -> str:
    one = replace(job, rows=1)
    batches = material.batches(one, model)
    timed = {
        p: step_seconds(replace(one, plan=replace(job.plan, precision=p)), model, batches)
        for p in ("float32", "bfloat16")
    }
    return min(timed, key=lambda p: timed[p])


def promised(
    job: Job,
    counts: Mapping[str, int],
    steps: int,
    seconds: float,
    kept: int,
    unit: Unit = TOKENS,
    measure: str = BITS,
) -> Contract:
    """What the run will take; `kept` bytes a row. Raises ValueError where there is less memory than it takes."""
    total = counts["parameters"]
    trained = counts.get("trained", total)
    frozen = 6 * (total - trained)  # in both precisions
    memory = forecast.memory(job.plan, trained, kept * job.rows) + frozen
    free = psutil.virtual_memory().available
    if memory > free:
        raise ValueError(
            f"This run needs about {memory / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. "
            "Close other programs, choose --method lora, or cut the steps into pieces (--set plan.pieces=4)."
        )
    return Contract(
        parameters=total,
        steps=steps,
        amount=steps * job.amount,
        seconds=round(steps * seconds, 1),
        memory_bytes=memory,
        speed=round(job.amount / seconds),
        expected=None,
        error=forecast.ERROR,
        floor=None,
        trained=counts.get("trained"),
        unit=unit,
        measure=measure,
    )


def parameters(model: Model, base: ModelFolder, job: Job) -> dict[str, int]:
    """How many the model has in all, and where an adapter learns, how many of them do."""
    trained = sum(p.numel() for p in model.parts.parameters())
    return (
        {"parameters": int(base.card["parameters"]) + trained, "trained": trained}
        if job.adapter
        else {"parameters": trained}
    )


def kept_knowledge(workspace: Workspace, model: Model, job: Job) -> dict[str, float]:
    """What the model knows of data in general, which tuning may make it forget; empty where none is at hand.

    Of symbols that is a little of everything; of samples, what is held out of the data that the base learned.
    """
    if not samples.fixed(model.codec.space):
        held: Sequence[Told] | Batch = [general()]
    else:
        held = held_by_base(workspace, model, job)
    if not len(held):
        return {}
    found = measured(model, held)
    return {f"general_{key_of(found.name)}": found.value}


def held_by_base(workspace: Workspace, model: Model, job: Job) -> Batch | tuple[()]:
    """Held-out samples of the data set that the base was trained on, where that is here."""
    learned = workspace.model(job.base["ref"]).card.get("data") or {}
    try:
        dataset = workspace.dataset(learned.get("name", ""), learned.get("digest", ""))
    except ValueError:
        return ()
    return samples.held_out(dataset, model.codec, model.prompts, Pool.check)


def write(workspace: Workspace, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
    """Fill a model folder with what was learned, an adapter or all weights, and say what it was learned on.

    Where as many adapters stand on each other as can be opened, they become one whole model again.
    """
    base = workspace.model(job.base["ref"])
    card = {**card, **parameters(model, base, job), "parents": [dict(job.base)]}
    if job.adapter and not stacked_up(workspace, base):
        write_adapter(model, ADAPTER, base, folder, job.tables(), card)
    else:
        write_model(merged_model(model) if job.adapter else model, folder, job.tables(), card)


def general() -> str:
    """A little of everything, written for Genloom: what surprises a model more than before, it has forgotten."""
    return Path(__file__).with_name("general.txt").read_text(encoding="utf-8")
