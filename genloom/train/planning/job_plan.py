"""Plans of runs on several devices, from a job or from a number of parameters and tokens."""

from dataclasses import replace
from typing import TYPE_CHECKING

from genloom.model import Design
from genloom.objectives.cross_entropy import MIN_FUSED_VOCAB
from genloom.train.loop import TrainConfig
from genloom.train.planning.cluster_plan import ClusterPlan, RunSize, choose_batch_positions, plan_strategies
from genloom.train.planning.device_memory import STRATEGIES, Strategy
from genloom.train.planning.devices import Devices
from genloom.train.planning.forecast import PublishedLaw, find_scaling_law
from genloom.train.planning.network_sizes import (
    NetworkSizes,
    count_positions,
    design_network,
    find_space,
    measure_sizes,
)

if TYPE_CHECKING:
    from genloom.train.job import Job

_PUBLISHED_SOURCE = (
    "the law of Hoffmann et al. 2022 with the numbers of Besiroglu et al. 2024, fitted to {low_size:g} to "
    "{high_size:g} million parameters and {low_data:g} to {high_data:g} billion tokens of web text"
)
_OWN_SOURCE = "Genloom's law of n-gram networks over bytes (docs/scaling.md)"


def plan_parameters(
    parameters: int,
    tokens: int,
    devices: Devices,
    strategy: Strategy | None = None,
    context_length: int = 0,
    batch_tokens: int = 0,
) -> ClusterPlan:
    """Return the plan of a transformer with about this many parameters; 0: the usual context and batch."""
    design = design_network(parameters, *((context_length,) if context_length else ()))
    plan = TrainConfig(precision=choose_precision(devices))
    sizes = measure_sizes(design, find_space(design), plan.optimizer)
    batch = batch_tokens or min(choose_batch_positions(parameters), max(tokens, design.context_length))
    rows = max(batch // design.context_length, 1)
    run = RunSize(sizes, plan, tokens, rows * design.context_length, design.context_length)
    return build_plan(run, devices, strategy, *predict_published_loss(design, sizes, tokens))


def plan_job(
    job: "Job", devices: Devices, strategy: Strategy | None = None, tokens: int = 0, batch_tokens: int = 0
) -> ClusterPlan:
    """Return the plan of a job's run; `tokens` and `batch_tokens` replace its length and its batch, 0: they do not."""
    space = find_space(job.design)
    sizes = measure_sizes(job.design, space, job.plan.optimizer)
    if strategy is None and job.parallel.devices > 1:
        strategy = next((each for each in STRATEGIES if each == job.parallel.strategy), None)
    row_positions = job.tokens_per_row or count_positions(space)
    rows = max(batch_tokens // row_positions, 1) if batch_tokens else job.batch_size
    positions = tokens or job.plan.steps * job.batch_size * row_positions
    run = RunSize(sizes, job.plan, positions, rows * row_positions, row_positions)
    if (law := find_scaling_law(job.design, estimate_dataset_tokens(job))) and (floor := job.estimate.get("floor")):
        ratio = law.predict_ratio(sizes.parameters, positions, estimate_dataset_tokens(job))
        return build_plan(run, devices, strategy, floor * ratio, "bits per byte", law.error, _OWN_SOURCE)
    return build_plan(run, devices, strategy, *predict_published_loss(job.design, sizes, positions))


def estimate_dataset_tokens(job: "Job") -> int:
    """Return the tokens of the data that the job's own estimate was made for; 0: it names none."""
    epochs = job.estimate.get("epochs")
    return round(job.estimate.get("tokens", 0) / epochs) if epochs else 0


def predict_published_loss(design: Design, sizes: NetworkSizes, tokens: int) -> tuple[float | None, str, float, str]:
    """Return the loss of a transformer over subwords, its unit, relative error and source; None outside of the law."""
    law = PublishedLaw()
    source = _PUBLISHED_SOURCE.format(
        low_size=law.min_parameters / 1e6,
        high_size=law.max_parameters / 1e6,
        low_data=law.min_tokens / 1e9,
        high_data=law.max_tokens / 1e9,
    )
    is_language_model = (design.network, design.objective) == ("transformer", "autoregressive")
    is_known = is_language_model and sizes.vocab_size >= MIN_FUSED_VOCAB and law.is_valid(sizes.parameters, tokens)
    loss = law.predict_loss(sizes.parameters, tokens) if is_known else None
    return loss, "nats per token", law.error, source


def build_plan(
    run: RunSize,
    devices: Devices,
    strategy: Strategy | None,
    loss: float | None,
    loss_unit: str,
    loss_error: float,
    loss_source: str,
) -> ClusterPlan:
    """Return the plan with the strategies of a run."""
    strategies = tuple(plan_strategies(run, devices, strategy))
    return ClusterPlan(run, devices, strategies, loss, loss_unit, loss_error, loss_source)


def choose_precision(devices: Devices) -> str:
    """Return the precision of a plan without a job: bfloat16 but on processors."""
    return "float32" if devices.kind.name == "cpu" else "bfloat16"


def with_utilization(devices: Devices, utilization: float) -> Devices:
    """Return the devices with another share of their operations that training reaches."""
    return replace(devices, kind=replace(devices.kind, utilization=utilization))
