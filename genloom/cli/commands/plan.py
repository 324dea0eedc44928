"""`genloom plan`: what a training run on many devices needs, takes and costs."""

from pathlib import Path
from typing import Annotated, Literal

from genloom.api.planning import DEFAULT_DEVICES, describe_plan, plan_run
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import amount_range, finite_float
from genloom.cli.options.workspace import CommonOptions

Amount = Annotated[int, amount_range(1, 10**15)]


@describe_like(plan_run)
def run(
    job: Path | None = None,
    /,
    *,
    params: Annotated[int, amount_range(1, 10**13)] | None = None,
    tokens: Amount | None = None,
    devices: str = DEFAULT_DEVICES,
    strategy: Literal["ddp", "fsdp"] | None = None,
    context_length: Annotated[int, amount_range(2, 10**7)] | None = None,
    batch_tokens: Amount | None = None,
    utilization: Annotated[float, finite_float(lambda n: 0 < n <= 1, "a number above 0, at most 1")] | None = None,
    prices: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Plan a training run on many devices: memory of each, steps, days, communication, price and expected loss.

    Nothing is trained. Exits with 1 if the run fits into the memory of the devices in no way.

    Parameters
    ----------
    job
        Job to plan, the job.toml of a run or a model. [default: a transformer with --params parameters]
    params
        Number of parameters, e.g. 7B.
    tokens
        Number of tokens to train on, e.g. 140B. [default: as many as the job says]
    devices
        Number and kind of the devices, by the table of prices, e.g. 64xH100.
    """
    workspace, console = common.open()
    plan = plan_run(
        workspace,
        job,
        params=params or 0,
        tokens=tokens or 0,
        devices=devices,
        strategy=strategy or "",
        context_length=context_length or 0,
        batch_tokens=batch_tokens or 0,
        utilization=utilization or 0.0,
        prices=prices,
    )
    console.print_lines(describe_plan(plan))
    console.print_result(plan.to_json())
    return 0 if plan.choice.is_fitting else 1
