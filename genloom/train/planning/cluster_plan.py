"""The contract of a run on several devices, before anyone pays: memory, steps, time, communication, price and loss."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, log2, sqrt
from typing import Any

from genloom.errors import GenloomError
from genloom.train.loop import TrainConfig
from genloom.train.planning.device_memory import (
    STRATEGIES,
    Layout,
    MemoryEstimate,
    Strategy,
    count_cache_bytes,
    estimate_device_memory,
)
from genloom.train.planning.devices import Devices
from genloom.train.planning.forecast import count_bytes_per_element
from genloom.train.planning.network_sizes import NetworkSizes

USABLE_MEMORY = 0.9  # of a device's; the rest is for libraries, buffers of communication and fragments
BASE_BATCH_TOKENS = 1 << 19  # of a step for up to a billion parameters, as of GPT-2; grows with their square root
_CHECKPOINTING_WORK = 4 / 3  # the forward pass is computed twice


@dataclass(frozen=True)
class RunSize:
    """A network, and the length of its training."""

    sizes: NetworkSizes
    plan: TrainConfig
    positions: int  # that the run reads
    batch_positions: int  # of a step, on all devices
    row_positions: int  # of a sequence or a sample

    @property
    def steps(self) -> int:
        return ceil(self.positions / self.batch_positions)


@dataclass(frozen=True)
class StrategyPlan:
    """A run with one way to share its weights between the devices."""

    layout: Layout
    memory: MemoryEstimate
    compute_seconds: float  # of a step
    communication_seconds: float  # of a step; under fsdp while the device computes
    step_seconds: float
    sent_bytes: int  # by each device in a step
    is_fitting: bool  # whether the memory of a device suffices

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        facts = asdict(self)
        return facts | {"layout": asdict(self.layout), "memory": self.memory.to_json()}


def choose_batch_positions(parameters: int) -> int:
    """Return the tokens of a step: half a million, and more for models of billions; a power of two."""
    return 1 << round(log2(BASE_BATCH_TOKENS * sqrt(max(parameters / 1e9, 1.0))))


def plan_strategies(run: RunSize, devices: Devices, strategy: Strategy | None = None) -> list[StrategyPlan]:
    """Return the plan of each strategy, or of one, with and without checkpointing; the fastest that fits comes first.

    Raise GenloomError if a step has fewer rows than there are devices.
    """
    rows = run.batch_positions // run.row_positions
    if rows < devices.count:
        raise GenloomError("train.few_rows", rows=rows, devices=devices.count, batch=run.batch_positions)
    strategies: Sequence[Strategy] = (strategy,) if strategy else STRATEGIES
    if devices.count == 1:
        strategies = ("ddp",)
    plans = [
        plan_strategy(run, devices, each, has_checkpointing)
        for each in strategies
        for has_checkpointing in ((True,) if run.plan.activation_checkpointing else (False, True))
        if not has_checkpointing or run.sizes.blocks
    ]
    return sorted(
        plans, key=lambda plan: (not plan.is_fitting, plan.step_seconds if plan.is_fitting else plan.memory.total)
    )


def plan_strategy(run: RunSize, devices: Devices, strategy: Strategy, has_checkpointing: bool) -> StrategyPlan:
    """Return the plan of a strategy with the largest micro-batch that fits into a device, or of one row."""
    limit = USABLE_MEMORY * 1e9 * devices.kind.memory_gb
    device_rows = run.batch_positions // run.row_positions // devices.count
    is_fused = devices.kind.name != "cpu"

    def estimate(rows: int) -> tuple[Layout, MemoryEstimate]:
        micro_batches = ceil(device_rows / rows)
        layout = Layout(devices.count, strategy, rows, run.row_positions, micro_batches, has_checkpointing, is_fused)
        return layout, estimate_device_memory(run.sizes, run.plan, layout)

    rows = ceil(device_rows / run.plan.grad_accum_steps)
    while rows > 1 and estimate(rows)[1].total > limit:
        rows = ceil(rows / 2)
    layout, memory = estimate(rows)
    flops = run.sizes.flops_per_position * run.batch_positions / devices.count
    work = flops * (_CHECKPOINTING_WORK if has_checkpointing else 1)
    compute = work / (1e12 * devices.kind.tflops * devices.kind.utilization)
    sent = count_sent_bytes(run, layout)
    communication = sent / devices.bytes_per_second
    overlap = compute if strategy == "fsdp" else 0.0  # replicated gradients are sent after the backward pass
    step = compute + max(communication - overlap, 0.0)
    return StrategyPlan(layout, memory, compute, communication, step, sent, memory.total <= limit)


def count_sent_bytes(run: RunSize, layout: Layout) -> int:
    """Return the bytes that a device sends in a step, by rings over all devices.

    Replicated gradients are summed once a step in float32; sharded weights are gathered for the forward and the
    backward pass of every micro-batch, and their gradients summed in float32.
    """
    share = (layout.devices - 1) / layout.devices
    if layout.strategy == "ddp":
        return int(2 * share * 4 * run.sizes.parameters)
    gathered = 2 * count_bytes_per_element(run.plan) * run.sizes.parameters
    return int(share * layout.micro_batches * (gathered + 4 * run.sizes.parameters))


@dataclass(frozen=True)
class ClusterPlan:
    """The strategies of a run, of which the first is chosen, and what the run takes with it."""

    run: RunSize
    devices: Devices
    strategies: tuple[StrategyPlan, ...]
    expected_loss: float | None  # None: no law is known
    loss_unit: str
    loss_error: float  # relative
    loss_source: str  # of the law, and the runs that it was fitted to

    @property
    def choice(self) -> StrategyPlan:
        return self.strategies[0]

    @property
    def seconds(self) -> float:
        return self.run.steps * self.choice.step_seconds

    @property
    def dollars(self) -> float | None:
        """The price; None if that of the device is not known."""
        price = self.devices.kind.price_per_hour
        return self.devices.count * price * self.seconds / 3600 if price else None

    @property
    def utilization(self) -> float:
        """The share of the devices' operations that the model needs, with waiting: model FLOPs utilization."""
        flops = self.run.sizes.flops_per_position * self.run.batch_positions
        return flops / (self.devices.count * 1e12 * self.devices.kind.tflops * self.choice.step_seconds)

    @property
    def cache_bytes_per_text(self) -> int:
        """The bytes of the keys and values of a text of a whole context that the model writes, in bfloat16."""
        return count_cache_bytes(self.run.sizes, self.run.sizes.context_length)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "parameters": self.run.sizes.parameters,
            "sizes": asdict(self.run.sizes),
            "positions": self.run.positions,
            "batch_positions": self.run.batch_positions,
            "row_positions": self.run.row_positions,
            "steps": self.run.steps,
            "devices": {"count": self.devices.count, **asdict(self.devices.kind)},
            "strategies": [plan.to_json() for plan in self.strategies],
            "seconds": self.seconds,
            "days": self.seconds / 86400,
            "utilization": self.utilization,
            "flops": self.run.sizes.flops_per_position * self.run.positions,
            "dollars": self.dollars,
            "expected_loss": self.expected_loss,
            "loss_unit": self.loss_unit,
            "loss_error": self.loss_error,
            "loss_source": self.loss_source,
            "cache_bytes_per_text": self.cache_bytes_per_text,
        }
