"""The one training loop: it knows phases and losses, not which kind of model it trains."""

import time
from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from genloom.capabilities import BatchPreparing, StepwiseNetwork
from genloom.errors import GenloomError
from genloom.networks.dropout import set_dropout_keys
from genloom.noise import build_training_noise
from genloom.train.optimizers import Optimizer, OptimizerConfig, classify_parameters
from genloom.train.parallel.blocks import checkpoint_blocks
from genloom.train.parallel.rows import RowReader
from genloom.train.parallel.strategy import ONE_PROCESS, Parallel, get_local
from genloom.train.post_hoc_ema import POWERS, compute_decay
from genloom.train.privacy import NoiseKey, PrivacyConfig, add_clipped, add_noise
from genloom.types import Batch, Loss, Objective, Parts, Phase, TrainingBatch

MAX_CONSECUTIVE_SKIPS = 25  # skipped steps in a row that stop training
TRIM_TO_MULTIPLE_OF = 32  # positions of a micro-batch


@dataclass(frozen=True)
class TrainConfig:
    """Length, learning rates and precision of a run.

    The schedule is warm-up, stable, cooldown; a run can be extended from any point before its cooldown.
    """

    steps: int = 1000
    warmup: int = 10
    cooldown: float = 0.6  # share of the steps, at the end, over which the learning rate falls linearly to zero
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    max_grad_norm: float = 1.0  # 0: no clipping
    ema_decay: float = 0.0  # 0: no moving average of the weights
    post_hoc_ema: int = 0  # how often averages are stored, of which the best width is chosen at the end; 0: never
    grad_accum_steps: int = 1  # micro-batches per batch; the result is the same
    precision: str = "float32"  # or "bfloat16": of forward and backward; weights and optimizer stay float32
    activation_checkpointing: bool = False  # each block of a network is computed twice, and keeps only its input
    torch_compile: bool = False  # compiling takes half a minute and makes each step faster
    seed: int = 0
    max_seconds: float = 0.0  # of the steps and the last evaluation, after which a slow run ends; 0: no limit
    closing_steps: float = 0.0  # the time of the last evaluation, in steps
    max_steps: int = 0  # of a run with a time limit that is faster than forecast; 0: as many as planned
    private: PrivacyConfig = field(default_factory=PrivacyConfig)

    @property
    def num_averages(self) -> int:
        """The number of averages of the weights that training keeps."""
        return bool(self.ema_decay) + len(POWERS) * bool(self.post_hoc_ema)

    @property
    def cooldown_start(self) -> int:
        return self.steps - round(self.steps * self.cooldown)

    def end_at(self, steps: int, step: int) -> "TrainConfig":
        """Return the plan of a run that is at `step` and ends at another one; its learning rate does not jump."""
        steps = max(steps, 1)
        plan = replace(self, steps=steps)
        if step <= min(plan.cooldown_start, self.cooldown_start) or step >= steps:
            return plan
        lr_scale = min(1.0, (self.steps - step) / max(self.steps - self.cooldown_start, 1))
        return replace(plan, cooldown=min((steps - step) / lr_scale / steps, 1.0))

    def compute_lr_scale(self, step: int) -> float:
        """Return the factor on the peak learning rate at a step."""
        warmup_scale = min(1.0, (step + 1) / max(self.warmup, 1))
        return warmup_scale * min(1.0, (self.steps - step) / max(self.steps - self.cooldown_start, 1))


@dataclass
class TrainState:
    """Everything that a run needs to resume exactly. No RNG state: noise is a function of the step."""

    parts: nn.ModuleDict
    ema: nn.ModuleDict | None
    optimizers: dict[str, Optimizer]
    step: int = 0
    skipped_steps: int = 0
    is_compiled: bool = False  # compiled code sums in another order, so the last bits depend on it
    averages: tuple[nn.ModuleDict, ...] = ()  # by the widths of post-hoc EMA
    noise_key: NoiseKey = NoiseKey()  # of private training; it is in no checkpoint
    parallel: Parallel = ONE_PROCESS

    @classmethod
    def from_parts(
        cls, parts: nn.ModuleDict, objective: Objective[Any], plan: TrainConfig, parallel: Parallel = ONE_PROCESS
    ) -> "TrainState":
        """Return the state at step 0; of networks that are shared out, this process keeps its share in place."""
        kind_by_name = classify_parameters(parts)
        ema = deepcopy(parts).requires_grad_(False) if plan.ema_decay else None
        averages = tuple(deepcopy(parts).requires_grad_(False) for _ in POWERS) if plan.post_hoc_ema else ()
        if plan.activation_checkpointing:
            for part in parts.values():
                checkpoint_blocks(part)
        for networks in (parts, ema, *averages):
            if networks is not None:
                parallel.distribute(networks, plan)
        params_by_name = dict(parts.named_parameters())
        optimizers = {
            phase.name: Optimizer(
                {n: p for n, p in params_by_name.items() if n.split(".", 1)[0] in phase.trained},
                kind_by_name,
                plan.optimizer,
                getattr(torch, plan.precision),
                parallel,
            )
            for phase in objective.phases
        }
        return cls(parts, ema, optimizers, is_compiled=plan.torch_compile, averages=averages, parallel=parallel)

    @property
    def eval_parts(self) -> nn.ModuleDict:
        """The weights to evaluate and store: the averaged ones, if there are any."""
        return self.parts if self.ema is None else self.ema

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that this process holds."""
        self.parallel.reshard(self.parts, *([] if self.ema is None else [self.ema]), *self.averages)
        tensors = {f"parts/{n}": t for n, t in self.parts.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"average/{n}": t.detach() for n, t in self.ema.named_parameters()}
        for i, average in enumerate(self.averages):
            tensors |= {f"post_hoc_averages/{i}/{n}": t.detach() for n, t in average.named_parameters()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"optimizers/{name}/{n}": t for n, t in optimizer.state_dict().items()}
        return tensors

    def load_tensors(self, tensors: Mapping[str, Tensor], step: int, skipped_steps: int) -> None:
        def select_prefix(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        self.parts.load_state_dict(select_prefix("parts/"))
        if self.ema is not None:
            self.ema.load_state_dict(self.parts.state_dict())  # buffers are not averaged
            for n, p in self.ema.named_parameters():
                p.data.copy_(tensors[f"average/{n}"])
        for i, average in enumerate(self.averages):
            average.load_state_dict(self.parts.state_dict())
            for n, p in average.named_parameters():
                p.data.copy_(tensors[f"post_hoc_averages/{i}/{n}"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(select_prefix(f"optimizers/{name}/"))
        self.step, self.skipped_steps = step, skipped_steps


@dataclass(frozen=True)
class StepResult:
    step: int
    losses: dict[str, float]  # by phase, per term (a token, a sample)
    metrics: dict[str, float] = field(default_factory=dict)
    is_skipped: bool = False  # a loss or gradient was not finite; no weight changed


def train(
    objective: Objective[TrainingBatch],
    batch_fn: Callable[[int], TrainingBatch],
    plan: TrainConfig,
    state: TrainState,
    end_step: Callable[[int], TrainConfig] | None = None,
) -> Iterator[StepResult]:
    """Train and yield after every step; to stop, close the iterator.

    `end_step` is called after a step, and returns the plan of the next ones, with another length or learning rate.
    """
    parallel, device = state.parallel, next(state.parts.parameters()).device
    compute_parts = compute_copy(state.parts, parallel.plan_copy(plan))
    reader = RowReader(batch_fn, parallel.row_group, isinstance(objective, BatchPreparing), device.type == "cuda")
    parts: Parts = dict(compute_parts.items())
    consecutive_skips = 0
    while state.step < plan.steps:
        step_started_at = time.perf_counter()
        batch, rows, batch_size = reader.read(state.step)
        batch = batch.map(lambda t: t.to(device))
        torch.manual_seed(((plan.seed << 32) ^ state.step) % 2**63)  # for networks whose noise is not keyed by row
        for part in parts.values():
            if isinstance(part, StepwiseNetwork):
                part.begin_step(state.step)
        losses, metrics, is_skipped = {}, {}, False
        snapshot = clone_tensors(state.to_tensors()) if len(objective.phases) > 1 else {}
        for phase in objective.phases:
            parallel.reshard(state.parts)
            for name, part in state.parts.items():
                part.requires_grad_(name in phase.trained)
                parts[name].requires_grad_(name in phase.trained)
            optimizer = state.optimizers[phase.name]
            optimizer.zero_grad()
            accumulate = accumulate_private_gradients if plan.private.is_on else accumulate_gradients
            loss_sum, num_terms, phase_metrics = accumulate(
                objective, parts, state.parts, batch, rows, batch_size, phase, plan, state.step
            )
            parallel.group.begin_wait(time.perf_counter() - step_started_at)
            params = list(optimizer.params.values())
            loss_sum, num_terms, *values = parallel.reduce_gradients(
                params, [loss_sum, num_terms, *phase_metrics.values()]
            )
            step_started_at = time.perf_counter()
            losses[phase.name] = loss_sum / max(num_terms, 1e-12)
            metrics |= dict(zip(phase_metrics, values, strict=True))
            if plan.private.is_on:
                add_private_noise(params, plan.private, state)
            else:
                torch._foreach_div_(get_local([p.grad for p in params if p.grad is not None]), max(num_terms, 1e-12))
            if not is_finite(losses[phase.name], parallel.clip_grad_norm(params, plan.max_grad_norm)):
                is_skipped = True
                break
            optimizer.step(plan.compute_lr_scale(state.step))
            sync_weights(parts, state.parts)
        if is_skipped and snapshot:  # an earlier phase has changed its parts: undo it
            state.load_tensors(snapshot, state.step, state.skipped_steps)
            sync_weights(parts, state.parts)
        if state.ema is not None and not is_skipped:
            # A smaller decay at first; otherwise the average of a short run would be mostly its initial weights.
            parallel.reshard(state.ema)
            update_ema(state.ema, state.parts, min(plan.ema_decay, (state.step + 1) / (state.step + 10)))
        for power, average in zip(POWERS, state.averages, strict=False):
            parallel.reshard(average)
            update_ema(average, state.parts, compute_decay(state.step + 1, power))
        state.step += 1
        state.skipped_steps += is_skipped
        consecutive_skips = consecutive_skips + 1 if is_skipped else 0
        if consecutive_skips == MAX_CONSECUTIVE_SKIPS:
            raise GenloomError("train.diverged", steps=MAX_CONSECUTIVE_SKIPS)
        plan = end_step(state.step) if end_step else plan
        yield StepResult(state.step, losses, metrics, is_skipped)


def accumulate_gradients(
    objective: Objective[TrainingBatch],
    parts: Parts,
    masters: nn.ModuleDict,
    batch: TrainingBatch,
    rows: slice,
    batch_size: int,
    phase: Phase,
    plan: TrainConfig,
    step: int,
) -> tuple[float, float, dict[str, float]]:
    """Sum the gradients of these rows of a step, by micro-batch.

    Return the sums of the losses and of the terms, and the share of these rows in the metrics. `batch` holds the rows,
    or all `batch_size` rows of the step if the objective prepares them together. The noise is that of the rows.
    """
    total_loss, num_terms = 0.0, 0.0
    metrics: dict[str, float] = {}
    micro_batch_size = max(-(-(rows.stop - rows.start) // plan.grad_accum_steps), 1)
    if isinstance(objective, BatchPreparing):  # work on the whole batch, before it is split
        noise = build_training_noise(plan.seed, step, 0, len(batch))
        batch = objective.prepare_batch(parts, batch, phase, noise, micro_batch_size).select_rows(rows)
    for start in range(0, len(batch), micro_batch_size):
        is_split = micro_batch_size < len(batch)
        micro_batch = batch.select_rows(slice(start, start + micro_batch_size)) if is_split else batch
        if isinstance(micro_batch, Batch) and not plan.torch_compile:  # every length would be compiled
            micro_batch = micro_batch.trim_padding(TRIM_TO_MULTIPLE_OF)
        noise = build_training_noise(plan.seed, step, rows.start + start, len(micro_batch))
        set_dropout_keys(parts, noise)
        loss = objective.loss(parts, micro_batch, phase, noise)  # ty: ignore[invalid-argument-type]  a trimmed batch is of the same type
        loss_sum, term_sum = reduce_loss(loss, micro_batch.weight)
        loss_sum.backward()
        set_dropout_keys(parts, None)
        copy_grads(parts, masters)
        total_loss, num_terms = total_loss + loss_sum.item(), num_terms + term_sum.item()
        for name, value in loss.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value.item() * len(micro_batch) / batch_size
    return total_loss, num_terms, metrics


def accumulate_private_gradients(
    objective: Objective[TrainingBatch],
    parts: Parts,
    masters: nn.ModuleDict,
    batch: TrainingBatch,
    rows: slice,
    batch_size: int,
    phase: Phase,
    plan: TrainConfig,
    step: int,
) -> tuple[float, float, dict[str, float]]:
    """Sum the gradients of these rows, each of them clipped on its own; return their losses, and no metrics."""
    params = list(masters.parameters())
    sums, losses = [torch.zeros_like(param) for param in params], []
    row_plan = replace(plan, grad_accum_steps=1)
    for row in range(len(batch)):
        masters.zero_grad()
        row_batch, number = batch.select_rows(slice(row, row + 1)), slice(rows.start + row, rows.start + row + 1)
        loss, num_terms, _ = accumulate_gradients(
            objective, parts, masters, row_batch, number, batch_size, phase, row_plan, step
        )
        grads = [param.grad for param in params]
        torch._foreach_div_([grad for grad in grads if grad is not None], max(num_terms, 1e-12))
        if is_finite(add_clipped(sums, grads, plan.private.max_sample_norm)):
            losses.append(loss / max(num_terms, 1e-12))
    for param, total in zip(params, sums, strict=True):
        param.grad = total if param.requires_grad else None
    return sum(losses), float(len(losses)), {}


def add_private_noise(params: list[nn.Parameter], config: PrivacyConfig, state: TrainState) -> None:
    """Add the noise of a step to the sums of clipped gradients, and divide them by the average number of rows."""
    grads = [param.grad for param in params if param.grad is not None]
    assert len(grads) == len(params), "every trained parameter gets noise"
    add_noise(grads, config, state.noise_key.draw_noise(state.step))
    torch._foreach_div_(grads, max(config.rows, 1))


def reduce_loss(loss: Loss, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the weighted sums of the losses and of the terms; their quotient is the mean over all micro-batches."""
    if weight is None:
        return loss.per_sample.sum(), loss.num_terms.sum()
    return (loss.per_sample * weight).sum(), (loss.num_terms * weight).sum()


def compute_copy(masters: nn.ModuleDict, plan: TrainConfig) -> nn.ModuleDict:
    """Return the networks that compute: the masters themselves, or a copy of lower precision for `sync_weights`."""
    if plan.precision not in ("float32", "bfloat16"):
        raise GenloomError("train.unknown_precision", value=plan.precision)
    compute_parts = masters if plan.precision == "float32" else deepcopy(masters).to(torch.bfloat16)
    if plan.torch_compile:
        torch.compiler.reset()  # its cache per module is small, and the programs of earlier runs are useless
        # Shallow copies that share weights: the masters also evaluate, and every length would be compiled.
        compute_parts = nn.ModuleDict({name: copy(part) for name, part in compute_parts.items()})
        for part in compute_parts.values():
            part.compile(dynamic=False)
    return compute_parts


def has_shared_weights(part: nn.Module, master: nn.Module) -> bool:
    """Return whether the part computes with the master's own weights."""
    return all(
        param is master_param for param, master_param in zip(part.parameters(), master.parameters(), strict=True)
    )


def clone_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def copy_grads(parts: Parts, masters: nn.ModuleDict) -> None:
    """Add the gradients of a lower-precision copy to the masters', in float32."""
    for name, part in parts.items():
        if has_shared_weights(part, masters[name]):
            continue
        for param, master_param in zip(part.parameters(), masters[name].parameters(), strict=True):
            if param.grad is not None:
                master_param.grad = (
                    param.grad.float() if master_param.grad is None else master_param.grad.add_(param.grad)
                )
                param.grad = None


@torch.no_grad()
def sync_weights(parts: Parts, masters: nn.ModuleDict) -> None:
    for name, part in parts.items():
        if not has_shared_weights(part, masters[name]):
            torch._foreach_copy_(get_local(list(part.parameters())), get_local(list(masters[name].parameters())))


@torch.no_grad()
def update_ema(ema: nn.ModuleDict, parts: nn.ModuleDict, decay: float) -> None:
    torch._foreach_lerp_(get_local(list(ema.parameters())), get_local(list(parts.parameters())), 1 - decay)


def is_finite(*values: float) -> bool:
    return all(abs(v) < float("inf") for v in values)
