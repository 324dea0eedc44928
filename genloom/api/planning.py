"""Plans of training runs on many devices: what they need, take and cost, before anyone pays."""

from pathlib import Path
from typing import TYPE_CHECKING

from genloom.errors import GenloomError
from genloom.store.files import expand_home
from genloom.text_format import format_bytes, format_count, format_duration, format_table

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.train.planning.cluster_plan import ClusterPlan, StrategyPlan

DEFAULT_DEVICES = "8xH100"
STRATEGY_NAMES = ("ddp", "fsdp")


def plan_run(
    workspace: "Workspace",
    job: str | Path | None = None,
    *,
    params: int = 0,
    tokens: int = 0,
    devices: str = DEFAULT_DEVICES,
    strategy: str = "",
    context_length: int = 0,
    batch_tokens: int = 0,
    utilization: float = 0.0,
    prices: str | Path | None = None,
) -> "ClusterPlan":
    """Plan a training run on many devices: memory of each, steps, days, communication, price and expected loss.

    Parameters
    ----------
    job
        Job to plan, the job.toml of a run or a model. None: a transformer with `params` parameters.
    params
        Number of parameters.
    tokens
        Number of tokens to train on. 0: as many as the job says.
    devices
        Number and kind of the devices, by the table of prices.
    strategy
        Parallel training: ddp (each device has all weights) or fsdp (each has a share). "": both; the fastest that fits
        is chosen.
    context_length
        Tokens of a sequence, of a plan without a job. 0: 2048.
    batch_tokens
        Tokens of a step on all devices. 0: as many as the job says, or half a million and more for large models.
    utilization
        Share of the devices' operations that training reaches. 0: that of the table of prices.
    prices
        TOML file of devices and prices, which replace those of the same name in the package and the workspace.

    Returns
    -------
    ClusterPlan
        The plan; `choice` is its best strategy, `strategies` are all.

    Raises
    ------
    GenloomError
        api.plan_without_size, api.plan_of_both: neither or both of a job and `params` are given; api.wrong_strategy;
        train.bad_devices, train.unknown_device, train.bad_prices; train.few_rows: the batch is too small for the
        devices; train.plan_codec: only data determine the sizes of the job's codec.
    """
    if job is not None and (params or context_length):
        raise GenloomError("api.plan_of_both")
    if job is None and not (params and tokens):
        raise GenloomError("api.plan_without_size")
    if strategy and strategy not in STRATEGY_NAMES:
        raise GenloomError("api.wrong_strategy", value=strategy, known=", ".join(STRATEGY_NAMES))
    if utilization and not 0 < utilization <= 1:
        raise GenloomError("api.wrong_utilization", value=utilization)
    from genloom.train.planning.devices import load_prices, parse_devices
    from genloom.train.planning.job_plan import plan_job, plan_parameters, with_utilization

    kinds = load_prices(workspace.folder, None if prices is None else expand_home(prices))
    chosen = parse_devices(devices, kinds)
    if utilization:
        chosen = with_utilization(chosen, utilization)
    chosen_strategy = next((name for name in STRATEGY_NAMES if name == strategy), None)
    if job is None:
        return plan_parameters(params, tokens, chosen, chosen_strategy, context_length, batch_tokens)
    from genloom.train.job import read_job

    return plan_job(read_job(expand_home(job)), chosen, chosen_strategy, tokens, batch_tokens)


def describe_plan(plan: "ClusterPlan") -> list[str]:
    """Return a plan as lines for people."""
    run, kind, chosen = plan.run, plan.devices.kind, plan.choice
    sizes, days = run.sizes, plan.seconds / 86400
    blocks = f", {format_count(sizes.blocks, 'block')} of width {sizes.width:,}" if sizes.blocks else ""
    speed = f"{kind.tflops:g} TFLOP/s, {kind.utilization:.0%} of them reached"
    shown = sorted(plan.strategies, key=lambda each: (each.layout.strategy, each.layout.has_checkpointing))
    length = f"{run.positions:,} tokens: {format_count(run.steps, 'step')} of {run.batch_positions:,}"
    lines = [
        f"Network     {sizes.parameters:,} parameters{blocks}",
        f"Devices     {plan.devices}: {kind.memory_gb:g} GB, {speed}",
        f"Length      {length}, in rows of {run.row_positions:,}",
        "",
        *format_table([_HEADER, *(_describe_strategy(each, each is chosen) for each in shown)]),
        "",
    ]
    if not chosen.is_fitting:
        lines.append(f"Problem     no strategy fits into {kind.memory_gb:g} GB: take more devices, or larger ones")
    duration = f"{days:.1f} days" if days >= 2 else format_duration(plan.seconds)
    price = "unknown: the table of prices has none" if plan.dollars is None else f"{plan.dollars:,.0f} dollars"
    is_hidden = chosen.step_seconds < chosen.compute_seconds + chosen.communication_seconds
    waiting = f"{chosen.communication_seconds:.3g} s{', while it computes' * is_hidden}"
    lines += [
        f"Time        {duration}, {chosen.step_seconds:.3g} s a step; {plan.utilization:.0%} model FLOPs utilization",
        f"Links       {format_bytes(chosen.sent_bytes)} sent by each device in a step ({waiting})",
        f"Price       {price}",
        f"Loss        {_describe_loss(plan)}",
    ]
    if plan.cache_bytes_per_text:
        cache = format_bytes(plan.cache_bytes_per_text)
        lines.append(f"KV cache    {cache} for a text of {sizes.context_length:,} tokens that the model writes")
    return lines


_HEADER = ("", "rows", "weights", "gradients", "optimizer", "gathered", "activations", "logits", "peak", "step")


def _describe_strategy(plan: "StrategyPlan", is_chosen: bool) -> tuple[str, ...]:
    layout, memory = plan.layout, plan.memory
    name = f"{'*' if is_chosen else ' '} {layout.strategy}{', checkpointing' * layout.has_checkpointing}"
    parts = (
        memory.weights + memory.averages,
        memory.gradients,
        memory.optimizer,
        memory.gathered,
        memory.activations,
        memory.logits,
        memory.total,
    )
    rows = f"{layout.rows} × {layout.micro_batches}"
    step = f"{plan.step_seconds:.3g} s" if plan.is_fitting else "does not fit"
    return (name, rows, *(format_bytes(part) for part in parts), step)


def _describe_loss(plan: "ClusterPlan") -> str:
    if plan.expected_loss is None:
        return f"unknown: the run is outside of {plan.loss_source}"
    return f"{plan.expected_loss:.3f} {plan.loss_unit}, ± {plan.loss_error:.0%}, by {plan.loss_source}"
