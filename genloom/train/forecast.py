"""What a run will cost and give, by rules that were fitted to runs made here (docs/scaling.md)."""

from dataclasses import dataclass
from math import log2

import psutil

from genloom import plugins
from genloom.model import Design
from genloom.settings import made
from genloom.train.loop import Plan

CHECKS = 5  # looks at held-out text during a run
CHECK_BYTES = 24_000  # of text each time
FINAL_BYTES = 200_000  # and at the end
ERROR = 0.05  # an allowance for other text: twice the largest error seen on the built-in one


@dataclass(frozen=True)
class Law:
    """Bits per byte as a share of what n-gram counts reach: it falls with each doubling of size and of reading."""

    start: float = 0.915  # the share at 160,000 parameters and 600,000 tokens
    by_size: float = 0.0028
    by_reading: float = 0.0124
    by_both: float = 0.001  # larger networks gain more from reading
    epochs: float = 16.0  # what is read so often teaches half as much as fresh text
    least: float = 0.6  # no forecast goes below this

    def share(self, parameters: int, tokens: int, symbols: int) -> float:
        sizes = log2(max(parameters, 1) / 160_000)
        reads = log2(max(tokens / (1 + tokens / (self.epochs * symbols)), 1) / 600_000)
        gain = self.by_size * sizes + (self.by_reading + self.by_both * max(sizes, 0.0)) * reads
        return max(self.start - gain, self.least)


LAWS = {("ngram", "autoregressive"): Law()}  # by network and objective; the others have no rule yet


def bits_per_byte(design: Design, parameters: int, tokens: int, symbols: int, floor: float) -> float | None:
    """Expected bits per byte on held-out text, from what n-gram counts reach there; None where no rule is known.

    `parameters` of the network, `tokens` to be read, `symbols` of training text.
    """
    law = LAWS.get((design.network, design.objective))
    return floor * law.share(parameters, tokens, symbols) if law and floor else None


def misfit(parameters: int, tokens: int) -> float:
    """Doublings between a size and the best for so many tokens, a twentieth of them (Hoffmann et al. 2022)."""
    return abs(log2(max(tokens, 1) / (20 * max(parameters, 1))))


def looking_seconds(token_seconds: float, held_bytes: int) -> float:
    """How long all looks at held-out text take: windows overlap by half, reading costs a third of training."""
    looked = CHECKS * min(CHECK_BYTES, held_bytes) + min(FINAL_BYTES, held_bytes)
    return 2 * looked * token_seconds / 3


def check_memory(design: Design, plan: Plan, rows: int, parameters: int, symbols: int, room: int) -> int:
    """The bytes that a run takes. Raises ValueError where there is room for fewer."""
    needed = memory(design, plan, rows, parameters, symbols)
    if needed > room:
        raise ValueError(
            f"This run needs about {needed / 1e9:,.1f} GB of memory, and there are {room / 1e9:.1f} GB. "
            "Close other programs or ask for fewer parameters (--params) or rows (--set rows=…)."
        )
    return needed


def memory(design: Design, plan: Plan, rows: int, parameters: int, symbols: int) -> int:
    """Bytes: weights, gradients, optimizer and working copy; what a step keeps for its backward pass; n-gram tables."""
    module = plugins.find("network", design.network)
    config = made(module.Config, design.network_settings, "network")
    each = 2 if plan.precision == "bfloat16" else 4
    inside = module.kept(config, design.length) if hasattr(module, "kept") else 0
    kept = rows * design.length * (inside * each + 4096 * 4)
    tables = module.tables(config, symbols) if hasattr(module, "tables") else 0
    return int(18 * parameters + kept + tables + psutil.Process().memory_info().rss)
