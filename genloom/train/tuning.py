"""Tuning a stored model on documents and conversations: what is learned, what it takes, and what may be forgotten."""

import difflib
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, replace
from math import ceil, log2
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import torch

from genloom.codecs.roles import Speaking, roles_of
from genloom.likelihood import Told, bits_per_byte, size, surprise
from genloom.model import Model, merged_model, open_model, write_adapter, write_model
from genloom.networks import lora
from genloom.settings import made, overridden, table
from genloom.store.dataset import Dataset
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.train import forecast
from genloom.train.dial import RESERVE, Wishes
from genloom.train.events import Contract, Event, Stage, Warned
from genloom.train.job import Job
from genloom.train.loop import Plan, State, train
from genloom.train.optimizers import Rates
from genloom.train.packing import Documents, Packed, symbols_of, write_documents
from genloom.types import Tokens

METHODS = ("lora", "full")
ADAPTER = "default"  # its name in the network while it learns
SETTABLE = ("rows", "row_length", "plan", "adapter")  # the rest of a job is the base's
STEP_SYMBOLS = 1024  # a step, about
SHORTEST_ROW, LONGEST_ROW = 64, 1024  # unless a person says otherwise
EPOCHS = 4  # readings of the documents at most, where only the time was given (Muennighoff et al. 2023)
CHECK_BYTES, FINAL_BYTES = 4_000, 24_000  # of held-out text, during a run and before and after it
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

    Raises ValueError for what a person can mend: an unknown base or method, too little text, wishes that exclude each
    other, a setting that is the base's.
    """
    begun = time.perf_counter()
    ref, method = asked
    check(method, wishes, overrides)
    if not dataset.size("train"):
        raise ValueError(f"The data set {dataset.name!r} has no training text. Collect more, then train.")
    base = workspace.model(ref)
    model = open_model(workspace, base.ref)
    job = first_job(model, base, dataset, name, method, wishes.seed, overrides)
    model = learner(model, job)
    yield Stage("Encoding the documents")
    documents = encoded(folder, dataset, model)
    job = shaped(job, documents)
    batches = packed(documents, model, job)
    if batches.cut:
        longest = int(np.diff(documents.ends, prepend=0).max())
        yield Warned(
            f"{batches.cut:,} of {len(documents.ends):,} documents are longer than a row of {job.symbols} symbols and "
            f"are cut. To read them whole: --set row_length={min(longest, job.design.length)}"
        )
    yield Stage(f"Measuring what {job.base['ref']} knows before")
    looking = time.perf_counter()
    model.parts.eval()
    before = known(model, dataset)
    model.parts.train()
    looking = time.perf_counter() - looking
    yield Stage("Measuring this machine")
    if "plan.precision" not in overrides:
        job = replace(job, plan=replace(job.plan, precision=faster_precision(job, model, documents)))
    seconds = step_seconds(job, model, batches)
    end = begun + (wishes.minutes or 5.0) * 60 * (1 - RESERVE) - 2 * looking  # after the run, and all looks within it
    steps = wishes.steps or -(-wishes.tokens // job.tokens) or max(int((end - time.perf_counter()) / seconds), 1)
    enough = ceil(EPOCHS * len(batches.packs) / job.rows)
    if steps > enough and not (wishes.steps or wishes.tokens):
        steps = enough
        yield Warned(
            f"The documents will be read {EPOCHS} times over, which takes less than the time you gave; reading so "
            "little text more often would teach it by heart. If that is what you want, say --steps."
        )
    contract = replace(
        promised(job, parameters(model, base, job), steps, seconds),
        before=before["bits_per_byte"],
        general_before=before["general_bits_per_byte"],
    )
    yield contract
    plan = replace(job.plan, steps=steps, warmup=max(steps // 20, 1))
    return replace(job, plan=plan, contract={k: v for k, v in asdict(contract).items() if v is not None})


def check(method: str, wishes: Wishes, overrides: Mapping[str, str]) -> None:
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
        if (first := path.split(".")[0]) not in SETTABLE:
            raise ValueError(f"{path} is the base's and stays as it is. Tuning lets you set: {', '.join(SETTABLE)}.")
        if first == "adapter" and method == "full":
            raise ValueError(f"{path} is a setting of an adapter: choose --method lora for it.")


def first_job(
    model: Model, base: ModelFolder, dataset: Dataset, name: str, method: str, seed: int, overrides: Mapping[str, str]
) -> Job:
    """The job before anything is measured."""
    plan = Plan(steps=1, decay=0.8, rates=RATES[method], seed=seed)
    tables = Job(name, dataset.name, dataset.digest, model.design, plan, 1).tables()
    tables["base"] = {"ref": base.ref, "digest": base.digest}
    if method == "lora":
        tables["adapter"] = {"method": method, **table(lora.Config())}
    tables["rows"] = 0  # not known yet
    tables = overridden(tables, overrides)
    rows = tables.pop("rows")
    job = Job.of({**tables, "rows": rows or 1})
    if job.row_length > job.design.length:
        raise ValueError(
            f"{base.ref} reads {job.design.length} symbols at once, so row_length {job.row_length} is too long."
        )
    return job if rows else replace(job, rows=0)


def learner(model: Model, job: Job) -> Model:
    """The base as it was opened, made ready to learn: with a new adapter, or with all its weights free."""
    torch.manual_seed(job.plan.seed)
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


def encoded(folder: Path, dataset: Dataset, model: Model) -> Documents:
    """The documents as symbols, kept in the run's folder. ValueError where the base cannot hold a conversation."""
    if not (folder / "documents.ends").exists():
        codec = cast(Speaking, model.codec)
        if any("turns" in item.meta for item in dataset.documents("train")):
            roles_of(codec)
        write_documents((symbols_of(model.codec, item) for item in dataset.documents("train")), folder)
    return Documents.read(folder)


def shaped(job: Job, documents: Documents) -> Job:
    """The job with rows that most documents fit into, and as many of them as make a step."""
    most = float(np.quantile(np.diff(documents.ends, prepend=0), 0.95)) if len(documents.ends) else 0.0
    fitting = 2 ** ceil(log2(max(most, 2)))
    length = job.row_length or min(max(fitting, SHORTEST_ROW), LONGEST_ROW, job.design.length)
    return replace(job, row_length=length, rows=job.rows or max(STEP_SYMBOLS // length, 1))


def packed(documents: Documents, model: Model, job: Job) -> Packed:
    """The batches of a run. Networks that cannot tell documents within a row apart get one a row."""
    space = model.codec.space
    assert isinstance(space, Tokens), "documents are made of symbols"
    causal = all(role.causal for role in model.objective.roles.values())
    together = causal and all(hasattr(part, "scores") for part in model.parts.values())
    return Packed(documents, job.rows, job.symbols, space.stop, job.plan.seed, alone=not together)


def assembled(folder: Path, workspace: Workspace, dataset: Dataset, job: Job) -> tuple[Model, Packed, State]:
    """The model at its first step, its batches and its state, all functions of the job."""
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
    model = learner(model, job)
    batches = packed(encoded(folder, dataset, model), model, job)
    return model, batches, State.fresh(model.parts, model.objective, job.plan)


def step_seconds(job: Job, model: Model, batches: Packed) -> float:
    """The fastest of two steps after a first, which also fills tables; the model stays as it is."""
    plan = replace(job.plan, steps=3, rates=STILL)
    times, before = [], time.perf_counter()
    for _ in train(model.objective, batches, plan, State.fresh(model.parts, model.objective, plan)):
        times.append(time.perf_counter() - before)
        before = time.perf_counter()
    return min(times[1:])


def faster_precision(job: Job, model: Model, documents: Documents) -> str:
    one = replace(job, rows=1)
    batches = packed(documents, model, one)
    timed = {
        p: step_seconds(replace(one, plan=replace(job.plan, precision=p)), model, batches)
        for p in ("float32", "bfloat16")
    }
    return min(timed, key=lambda p: timed[p])


def promised(job: Job, counts: Mapping[str, int], steps: int, seconds: float) -> Contract:
    """What the run will take. Raises ValueError where there is less memory than it takes."""
    total = counts["parameters"]
    trained = counts.get("trained", total)
    frozen = 6 * (total - trained)  # in both precisions
    design = replace(job.design, length=job.symbols)
    memory = forecast.memory(design, job.plan, job.rows, trained, 0) + frozen
    free = psutil.virtual_memory().available
    if memory > free:
        raise ValueError(
            f"This run needs about {memory / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. "
            "Close other programs, choose --method lora, or cut the steps into pieces (--set plan.pieces=4)."
        )
    return Contract(
        parameters=total,
        steps=steps,
        tokens=steps * job.tokens,
        seconds=round(steps * seconds, 1),
        memory_bytes=memory,
        tokens_per_second=round(job.tokens / seconds),
        bits_per_byte=None,
        error=forecast.ERROR,
        floor=None,
        trained=counts.get("trained"),
    )


def parameters(model: Model, base: ModelFolder, job: Job) -> dict[str, int]:
    """How many the model has in all, and where an adapter learns, how many of them do."""
    trained = sum(p.numel() for p in model.parts.parameters())
    return (
        {"parameters": int(base.card["parameters"]) + trained, "trained": trained}
        if job.adapter
        else {"parameters": trained}
    )


def known(model: Model, dataset: Dataset) -> dict[str, float | None]:
    """Bits per byte of held-out documents, where there are any, and of general text.

    Of conversations, they are of the answers, given what was asked.
    """
    texts = held_out(dataset, FINAL_BYTES)
    return {
        "bits_per_byte": bits_per_byte(surprise(model, texts)) if texts else None,
        "general_bits_per_byte": bits_per_byte(surprise(model, [general()])),
    }


def write(workspace: Workspace, model: Model, folder: Path, job: Job, card: Mapping[str, Any]) -> None:
    """Fill a model folder with what was learned, an adapter or all weights, and say what it was learned on."""
    base = workspace.model(job.base["ref"])
    card = {**card, **parameters(model, base, job), "parents": [dict(job.base)]}
    if job.adapter:
        write_adapter(model, ADAPTER, base, folder, job.tables(), card)
    else:
        write_model(model, folder, job.tables(), card)


def held_out(dataset: Dataset, limit: int) -> list[Told]:
    """Held-out documents up to about `limit` bytes of what is measured; the last text is cut, a conversation never."""
    chosen: list[Told] = []
    room = limit
    for item in dataset.documents("val"):
        if room <= 0:
            break
        told: Told = item.meta.get("turns") or item.value[:room]
        chosen.append(told)
        room -= size(told)
    return chosen


def general() -> str:
    """A little of everything, written for Genloom: what surprises a model more than before, it has forgotten."""
    return Path(__file__).with_name("general.txt").read_text(encoding="utf-8")
