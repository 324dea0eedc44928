"""The one training loop: it knows turns and losses, never which kind of model it trains."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genloom.networks.dropout import seeded
from genloom.noise import training_noise
from genloom.train.optimizers import Optimizer, Rates, kinds
from genloom.types import Learned, Loss, Objective, Parts, Turn

GIVE_UP_AFTER = 25  # steps in a row that had to be skipped


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn. Warm-up, stable, decay: before the decay a run can be given more steps."""

    steps: int = 1000
    warmup: int = 10
    decay: float = 0.6  # the share of steps, at the end, over which the rate falls in a line to zero
    rates: Rates = field(default_factory=Rates)
    clip: float = 1.0  # largest norm of the gradient; 0: no bound
    average: float = 0.0  # how slowly averaged weights follow; 0: none are kept
    pieces: int = 1  # gradient accumulation: parts a batch is cut into; the same result
    precision: str = "float32"  # of forward and backward: or "bfloat16"; weights and optimizer stay float32
    compiled: bool = False  # by torch.compile, which takes half a minute and makes each step faster
    seed: int = 0

    @property
    def decay_from(self) -> int:
        return self.steps - round(self.steps * self.decay)

    def scale(self, step: int) -> float:
        """The share of the full learning rate at a step."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        return rise * min(1.0, (self.steps - step) / max(self.steps - self.decay_from, 1))


@dataclass
class State:
    """All that a run needs to go on exactly where it stopped. No RNG: it follows from the step."""

    parts: nn.ModuleDict
    average: nn.ModuleDict | None
    optimizers: dict[str, Optimizer]
    step: int = 0
    skipped: int = 0
    compiled: bool = False  # a compiler adds in another order, so that the last bits depend on it

    @classmethod
    def fresh(cls, parts: nn.ModuleDict, objective: Objective[Any], plan: Plan) -> "State":
        kind_of = kinds(parts)
        named = dict(parts.named_parameters())
        optimizers = {
            turn.name: Optimizer(
                {n: p for n, p in named.items() if n.split(".", 1)[0] in turn.trains},
                kind_of,
                plan.rates,
                getattr(torch, plan.precision),
            )
            for turn in objective.turns
        }
        average = deepcopy(parts).requires_grad_(False) if plan.average else None
        return cls(parts, average, optimizers, compiled=plan.compiled)

    @property
    def best(self) -> nn.ModuleDict:
        """The weights to use and keep: the averaged ones where there are any."""
        return self.parts if self.average is None else self.average

    def tensors(self) -> dict[str, Tensor]:
        flat = {f"parts/{n}": t for n, t in self.parts.state_dict().items()}
        if self.average is not None:
            flat |= {f"average/{n}": t.detach() for n, t in self.average.named_parameters()}
        for name, optimizer in self.optimizers.items():
            flat |= {f"optimizers/{name}/{n}": t for n, t in optimizer.state().items()}
        return flat

    def load(self, flat: Mapping[str, Tensor], step: int, skipped: int) -> None:
        def below(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in flat.items() if n.startswith(prefix)}

        self.parts.load_state_dict(below("parts/"))
        if self.average is not None:
            self.average.load_state_dict(self.parts.state_dict())  # for what is no parameter and so never averaged
            for n, p in self.average.named_parameters():
                p.data.copy_(flat[f"average/{n}"])
        for name, optimizer in self.optimizers.items():
            optimizer.load(below(f"optimizers/{name}/"))
        self.step, self.skipped = step, skipped


@dataclass(frozen=True)
class Progress:
    step: int
    losses: dict[str, float]  # by turn, a unit (a token, a picture)
    metrics: dict[str, float] = field(default_factory=dict)
    skipped: bool = False  # a loss or gradient was not finite, so no weight changed


def train(
    objective: Objective[Learned], batch_at: Callable[[int], Learned], plan: Plan, state: State
) -> Iterator[Progress]:
    """Train and yield after every step. Stop by not asking for the next."""
    device = next(state.parts.parameters()).device
    working = working_copy(state.parts, plan)
    parts: Parts = dict(working.items())
    bad_in_a_row = 0
    while state.step < plan.steps:
        batch = batch_at(state.step).map(lambda t: t.to(device))
        torch.manual_seed(((plan.seed << 32) ^ state.step) % 2**63)  # for networks that draw without being told rows
        for part in parts.values():
            if begin := getattr(part, "begin", None):
                begin(state.step)
        losses, metrics, skipped = {}, {}, False
        before = copies(state.tensors()) if len(objective.turns) > 1 else {}
        for turn in objective.turns:
            for name, part in state.parts.items():
                part.requires_grad_(name in turn.trains)
                parts[name].requires_grad_(name in turn.trains)
            optimizer = state.optimizers[turn.name]
            optimizer.zero()
            losses[turn.name], news = gradients(objective, parts, state.parts, batch, turn, plan, state.step)
            metrics |= news
            if not finite(losses[turn.name], clipped(list(optimizer.params.values()), plan.clip)):
                skipped = True
                break
            optimizer.step(plan.scale(state.step))
            refresh(parts, state.parts)
        if skipped and before:  # an earlier turn has changed its parts: no half a step
            state.load(before, state.step, state.skipped)
            refresh(parts, state.parts)
        if state.average is not None and not skipped:
            # The first steps are forgotten fast, or the average of a short run would be mostly its beginning.
            follow(state.average, state.parts, min(plan.average, (state.step + 1) / (state.step + 10)))
        state.step += 1
        state.skipped += skipped
        bad_in_a_row = bad_in_a_row + 1 if skipped else 0
        if bad_in_a_row == GIVE_UP_AFTER:
            raise ValueError(
                f"Training stopped: {GIVE_UP_AFTER} steps in a row gave numbers that are not finite. "
                "The weights are as they were before. "
                "Lower the learning rates (--set plan.rates.matrix=…) or look at the data."
            )
        yield Progress(state.step, losses, metrics, skipped)


def gradients(
    objective: Objective[Learned],
    parts: Parts,
    masters: nn.ModuleDict,
    batch: Learned,
    turn: Turn,
    plan: Plan,
    step: int,
) -> tuple[float, dict[str, float]]:
    """Fill the gradients of the mean loss a unit over the whole batch, piece by piece; return it and the metrics."""
    rows, total, units = len(batch), 0.0, 0.0
    metrics: dict[str, float] = {}
    size = -(-rows // plan.pieces)
    if prepare := getattr(objective, "prepare", None):  # what belongs to the whole batch and not to a piece of it
        batch = prepare(parts, batch, turn, training_noise(plan.seed, step, 0, rows), size)
    for first in range(0, rows, size):
        piece = batch.rows(slice(first, first + size)) if plan.pieces > 1 else batch
        noise = training_noise(plan.seed, step, first, len(piece))
        seeded(parts, noise)
        loss = objective.loss(parts, piece, turn, noise)
        weighted, counted = reduced(loss, piece.weight)
        weighted.backward()
        seeded(parts, None)
        hand_over(parts, masters)
        total, units = total + weighted.item(), units + counted.item()
        for name, value in loss.metrics.items():
            metrics[name] = metrics.get(name, 0.0) + value.item() * len(piece) / rows
    grads = [p.grad for p in masters.parameters() if p.grad is not None]
    torch._foreach_div_(grads, max(units, 1e-12))
    return total / max(units, 1e-12), metrics


def reduced(loss: Loss, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """The weighted sum of the rows and of their units: their quotient is the mean, whatever pieces they come in."""
    if weight is None:
        return loss.per_sample.sum(), loss.units.sum()
    return (loss.per_sample * weight).sum(), (loss.units * weight).sum()


def working_copy(masters: nn.ModuleDict, plan: Plan) -> nn.ModuleDict:
    """The parts that compute: the masters themselves, or a copy of lower precision, refreshed after every step."""
    if plan.precision not in ("float32", "bfloat16"):
        raise ValueError(f"Unknown precision {plan.precision!r}: choose float32 or bfloat16.")
    working = masters if plan.precision == "float32" else deepcopy(masters).to(torch.bfloat16)
    if plan.compiled:
        torch.compiler.reset()  # it keeps few programs of a module, and those of earlier runs are of no more use
        # Copies that share what is in them: masters also look at held-out text, whose every length would be compiled.
        working = nn.ModuleDict({name: copy(part) for name, part in working.items()})
        for part in working.values():
            part.compile(dynamic=False)
    return working


def shared(part: nn.Module, master: nn.Module) -> bool:
    """Whether the part computes with the master's own weights."""
    return all(own is theirs for own, theirs in zip(part.parameters(), master.parameters(), strict=True))


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def hand_over(parts: Parts, masters: nn.ModuleDict) -> None:
    """Add the working copy's gradients to the masters', in float32; nothing to do when they are the same."""
    for name, part in parts.items():
        if shared(part, masters[name]):
            continue
        for own, master in zip(part.parameters(), masters[name].parameters(), strict=True):
            if own.grad is not None:
                master.grad = own.grad.float() if master.grad is None else master.grad.add_(own.grad)
                own.grad = None


@torch.no_grad()
def refresh(parts: Parts, masters: nn.ModuleDict) -> None:
    for name, part in parts.items():
        if not shared(part, masters[name]):
            torch._foreach_copy_(list(part.parameters()), list(masters[name].parameters()))


@torch.no_grad()
def follow(slow: nn.ModuleDict, fast: nn.ModuleDict, smooth: float) -> None:
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1 - smooth)


def clipped(params: list[nn.Parameter], bound: float) -> float:
    """Scale the gradients down to the bound; return their norm before."""
    norm = torch.nn.utils.clip_grad_norm_(params, bound or float("inf"))
    return norm.item()


def finite(*values: float) -> bool:
    return all(abs(v) < float("inf") for v in values)
