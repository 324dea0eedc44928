"""What a run will cost and give, by rules that were fitted to runs made here (docs/scaling.md)."""

from dataclasses import dataclass
from math import log2

import psutil
import torch
from torch import Tensor

from genloom import plugins
from genloom.model import Design
from genloom.noise import training_noise
from genloom.settings import made
from genloom.train.loop import Plan
from genloom.types import Batch, Objective, Parts

CHECKS = 5  # looks at held-out data during a run
ERROR = 0.05  # an allowance: the largest error on six small collections (docs/scaling.md)
MUCH = 6_000_000  # symbols from which on texts differ in how fast they are learned, so that a short run has to tell
PILOT = 612_000  # tokens of that run
PILOT_SIZE = 160_000  # parameters of its network


@dataclass(frozen=True)
class Law:
    """Bits per byte as a share of what n-gram counts reach: it falls with each doubling of size and of reading."""

    start: float = 0.949  # the share at 160,000 parameters and 600,000 tokens
    by_size: float = 0.0029
    by_reading: float = 0.0129
    by_both: float = 0.001  # larger networks gain more from reading
    epochs: float = 16.0  # what is read so often teaches half as much as fresh text
    least: float = 0.5  # no forecast goes below this
    error: float = ERROR

    def share(self, parameters: int, tokens: int, symbols: int) -> float:
        sizes = log2(max(parameters, 1) / PILOT_SIZE)
        reads = log2(max(tokens / (1 + tokens / (self.epochs * symbols)), 1) / PILOT)
        gain = self.by_size * sizes + (self.by_reading + self.by_both * max(sizes, 0.0)) * reads
        return max(self.start - gain, self.least)


def law_of(design: Design, symbols: int, gain: float | None = None) -> Law | None:
    """The rule for so many symbols of training text; None where none is known.

    `gain` is the share of the counts' bits that a network of PILOT_SIZE saved after PILOT tokens of this text.
    """
    if (design.codec, design.network, design.objective) != ("bytes", "ngram", "autoregressive"):
        return None
    if symbols <= MUCH:
        return Law()
    told = USUAL if gain is None else gain
    fall = 0.013 + 0.28 * told
    return Law(1 - told, 0.23 * fall, fall, 0.08 * fall, error=0.12 if gain is None else 0.08)


USUAL = 0.045  # the gain of such a network where nobody has tried it


def misfit(parameters: int, tokens: int) -> float:
    """Doublings between a size and the best for so many tokens, a twentieth of them (Hoffmann et al. 2022)."""
    return abs(log2(max(tokens, 1) / (20 * max(parameters, 1))))


def looking_seconds(unit_seconds: float, looked: int) -> float:
    """How long all looks at held-out data take that read so much in all: a third of training on as much."""
    return looked * unit_seconds / 3


def check_memory(plan: Plan, parameters: int, kept: int, room: int) -> int:
    """The bytes that a run takes. Raises ValueError where there is room for fewer."""
    needed = memory(plan, parameters, kept)
    if needed > room:
        raise ValueError(
            f"This run needs about {needed / 1e9:,.1f} GB of memory, and there are {room / 1e9:.1f} GB. "
            "Close other programs or ask for fewer parameters (--params) or rows (--set rows=…)."
        )
    return needed


def memory(plan: Plan, parameters: int, kept: int) -> int:
    """Bytes: weights, gradients, optimizer, working copy and averages; and what a step keeps, or saving writes."""
    averages = 4 * parameters if plan.average else 0
    saving = (8 if plan.rates.family == "muon" else 12) * parameters + averages  # all of a checkpoint at once
    return int(18 * parameters + averages + max(kept, saving) + psutil.Process().memory_info().rss)


def kept_of_symbols(design: Design, plan: Plan) -> int:
    """Bytes that a step keeps of each sequence for its backward pass, by the network's own count."""
    module = plugins.find("network", design.network)
    config = made(module.Config, design.network_settings, "network")
    inside = module.kept(config, design.length) if hasattr(module, "kept") else 0
    return design.length * (inside * each(plan) + 4096 * 4)


def kept_of_samples(objective: Objective[Batch], parts: Parts, batch: Batch, plan: Plan) -> int:
    """Bytes that a step keeps of each sample for its backward pass, counted while a few are read."""
    own = {p.untyped_storage().data_ptr() for part in parts.values() for p in part.parameters()}
    most = 0
    for turn in objective.turns:
        kept: dict[int, int] = {}

        def keep(t: Tensor, kept: dict[int, int] = kept) -> Tensor:
            place = t.untyped_storage()
            if place.data_ptr() not in own:
                kept[place.data_ptr()] = place.nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            loss = objective.loss(parts, batch, turn, training_noise(plan.seed, 0, 0, len(batch)))
        most = max(most, sum(kept.values()))
        del loss
    return most // len(batch) * each(plan) // 4


def each(plan: Plan) -> int:
    """Bytes of a number in a forward pass."""
    return 2 if plan.precision == "bfloat16" else 4
