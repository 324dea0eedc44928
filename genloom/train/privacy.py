"""Differentially private training: its settings, its noise and its accountant.

Each document is taken into a step with a fixed probability, its gradient is clipped to one norm, and normal noise is
added to the sum (DP-SGD, Abadi et al. 2016, arXiv:1607.00133). Then (epsilon, delta) bounds what the weights can tell
of any one document: whether it was in the training data changes no probability by more than the factor exp(epsilon),
except with probability delta.
"""

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.store.files import write_atomic

ORDERS = (*(1 + n / 10 for n in range(1, 100)), *range(12, 64), 80, 96, 128, 256, 512)  # of Rényi divergence
KEY_FILE = "noise.key"  # in the run's folder; who has it can subtract the noise
MIN_ROWS = 32  # documents a step, by default and where there are enough: the noise of a step does not grow with them
MAX_NOISE, TOLERANCE = 1e4, 1e-3  # of the search for a noise multiplier
_WORD = 1 << 64


@dataclass(frozen=True)
class PrivacyConfig:
    """The table [plan.private] of a job: what private training promises, and how."""

    epsilon: float = 0.0  # the bound; 0: training is not private
    delta: float = 1e-5
    max_sample_norm: float = 1.0  # of the gradient of one document
    noise_multiplier: float = 0.0  # of the noise of a step, over `max_sample_norm`; chosen for epsilon
    documents: int = 0  # in the training data
    rows: int = 0  # documents a step, on average

    @property
    def is_on(self) -> bool:
        return self.epsilon > 0

    @property
    def sample_rate(self) -> float:
        """The probability of a document to be in a step."""
        return self.rows / max(self.documents, 1)

    def describe(self, steps: int) -> dict[str, Any]:
        """Return what the card of a model trained for so many steps says."""
        return {
            "epsilon": round(compute_epsilon(self, steps), 4),
            "delta": self.delta,
            "unit": "document",
            "noise_multiplier": self.noise_multiplier,
            "max_sample_norm": self.max_sample_norm,
            "sample_rate": round(self.sample_rate, 6),
            "steps": steps,
            "accountant": "RDP of the Poisson-sampled Gaussian mechanism, by opacus",
        }


@dataclass(frozen=True)
class NoiseKey:
    """The secret that draws the documents and the noise of every step of a run."""

    key: int = 0
    offset: int = 0

    def draw_noise(self, step: int) -> Noise:
        return Noise(self.key, ((self.offset + step) % _WORD,))


def check_config(config: PrivacyConfig) -> None:
    """Raise GenloomError (train.bad_privacy) for a number out of range."""
    ranges = {
        "epsilon": (0 <= config.epsilon <= 1000, "from 0 (not private) to 1000"),
        "delta": (0 < config.delta < 1, "above 0 and below 1"),
        "max_sample_norm": (0 < config.max_sample_norm < math.inf, "above 0"),
        "noise_multiplier": (0 <= config.noise_multiplier <= MAX_NOISE, f"from 0 (chosen) to {MAX_NOISE:,.0f}"),
    }
    for name, (is_valid, constraint) in ranges.items():
        if not is_valid:
            raise GenloomError("train.bad_privacy", name=name, value=getattr(config, name), constraint=constraint)


def compute_epsilon(config: PrivacyConfig, steps: int) -> float:
    """Return epsilon after so many steps, by the Rényi accountant of opacus (Mironov et al. 2019, arXiv:1908.10530).

    Raise GenloomError (train.privacy_missing) without opacus.
    """
    if not steps:
        return 0.0
    if not config.noise_multiplier:
        return math.inf
    rdp = _load_accountant()
    divergences = rdp.compute_rdp(
        q=config.sample_rate, noise_multiplier=config.noise_multiplier, steps=steps, orders=list(ORDERS)
    )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that another order might give a smaller bound
        epsilon, _ = rdp.get_privacy_spent(orders=list(ORDERS), rdp=divergences, delta=config.delta)
    return float(epsilon)


def choose_noise(config: PrivacyConfig, documents: int, rows: int, steps: int) -> PrivacyConfig:
    """Return the settings with the least noise that keeps epsilon within its bound over so many steps.

    A noise multiplier that is set stays; raise GenloomError (train.privacy_unreachable) if its epsilon is too large.
    """
    rows = min(rows, documents)
    config = replace(config, documents=documents, rows=rows)
    if config.noise_multiplier:
        if (epsilon := compute_epsilon(config, steps)) > config.epsilon:
            raise GenloomError("train.privacy_unreachable", epsilon=config.epsilon, actual=epsilon, steps=steps)
        return config
    low, high = 0.0, 1.0
    while compute_epsilon(replace(config, noise_multiplier=high), steps) > config.epsilon:
        low, high = high, 2 * high
        if high > MAX_NOISE:
            raise GenloomError("train.privacy_unreachable", epsilon=config.epsilon, actual=math.inf, steps=steps)
    while high - low > TOLERANCE * high:
        middle = (low + high) / 2
        is_enough = compute_epsilon(replace(config, noise_multiplier=middle), steps) <= config.epsilon
        low, high = (low, middle) if is_enough else (middle, high)
    return replace(config, noise_multiplier=math.ceil(high * 1e4) / 1e4)


def load_noise_key(folder: Path) -> NoiseKey:
    """Return the secret of a run, made at the first use; it stays in the run's folder, and no model names it."""
    path = folder / KEY_FILE
    if not path.exists():
        write_atomic(path, secrets.token_hex(16))
        path.chmod(0o600)
    digits = path.read_text(encoding="ascii").strip()
    return NoiseKey(int(digits[:16], 16), int(digits[16:], 16))


def add_clipped(sums: Sequence[Tensor], grads: Sequence[Tensor | None], max_norm: float) -> float:
    """Add the gradient of one document, scaled to at most `max_norm`, to the sums in place; return its norm before.

    One that is not finite adds nothing.
    """
    norms = [torch.linalg.vector_norm(grad.float()) for grad in grads if grad is not None]
    norm = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
    if math.isfinite(norm):
        scale = min(1.0, max_norm / max(norm, 1e-12))
        for total, grad in zip(sums, grads, strict=True):
            if grad is not None:
                total.add_(grad, alpha=scale)
    return norm


def add_noise(sums: Sequence[Tensor], config: PrivacyConfig, noise: Noise) -> None:
    """Add normal noise to the sums in place; the numbers of the tensor n are those of the position n + 1."""
    deviation = config.noise_multiplier * config.max_sample_norm
    for number, total in enumerate(sums):
        total.add_(noise.normal(tuple(total.shape), number + 1)[0].to(total), alpha=deviation)


def _load_accountant() -> Any:
    try:
        from opacus.accountants.analysis import rdp
    except ImportError:
        raise GenloomError("train.privacy_missing") from None
    return rdp
