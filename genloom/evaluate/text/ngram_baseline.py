"""N-gram baseline: the bits per byte of a Kneser-Ney model, which a network must beat to be worth its training time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom import plugins
from genloom.errors import GenloomError
from genloom.evaluate.likelihood import Baseline, BlockLosses, compute_bits_per_unit
from genloom.evaluate.report import estimate_to_json
from genloom.metrics.statistics import IntervalEstimate
from genloom.model import Design
from genloom.networks.kneser_ney import KneserNey
from genloom.settings import parse_settings

DOCUMENT_START = 256  # the token before every document
DEFAULT_ORDER = 5


@dataclass(frozen=True)
class NGramBaseline:
    """A Kneser-Ney model of bytes, fitted to training documents and measured on held-out ones."""

    order: int
    bits_per_byte: IntervalEstimate
    nats_per_character: float
    losses: BlockLosses
    train_bytes: int  # that were counted
    is_capped: bool  # whether training text was skipped to bound memory

    def __str__(self) -> str:
        suffix = f", counted on the first {self.train_bytes / 1e6:.0f} MB" if self.is_capped else ""
        return f"{self.order}-gram Kneser-Ney: {self.bits_per_byte} bits/byte{suffix}"

    def as_baseline(self) -> Baseline:
        return Baseline(f"{self.order}-gram baseline", self.losses)

    def to_json(self) -> dict[str, Any]:
        """Return the baseline as JSON values."""
        return {
            "order": self.order,
            "bits_per_byte": estimate_to_json(self.bits_per_byte),
            "nats_per_character": self.nats_per_character,
            "train_bytes": self.train_bytes,
            "is_capped": self.is_capped,
            "losses": self.losses.to_json(),
        }


def choose_order(design: Design) -> int:
    """Return the order of the counts in the model's own network, which its estimate is made with; else 5."""
    if plugins.get_hook("network", design.network, "build_count_model") is None:
        return DEFAULT_ORDER
    config_class = plugins.find_part("network", design.network).Config
    return int(parse_settings(config_class, design.network_settings, "network").order)


def fit_ngram_baseline(
    train_texts: Iterable[str],
    held_out_texts: Iterable[str],
    order: int = DEFAULT_ORDER,
    max_train_bytes: int = 20_000_000,
    max_held_out_bytes: int = 5_000_000,
) -> NGramBaseline:
    """Fit to the first `max_train_bytes` of training text, and measure the first `max_held_out_bytes` held out.

    Documents longer than 4,000 bytes are scored whole but split into several blocks for the interval. Raises ValueError
    if either side has no text.
    """
    train_stream, is_capped = _concat_bytes(train_texts, max_train_bytes)
    if len(train_stream) < 2:
        raise GenloomError("evaluate.no_training_text")
    model = KneserNey.fit(train_stream, DOCUMENT_START + 1, order)
    held_out_stream, _ = _concat_bytes(held_out_texts, max_held_out_bytes)
    nats = -model.log_prob(held_out_stream)
    is_start = held_out_stream == DOCUMENT_START
    losses = split_losses(nats, is_start)
    is_continuation = (held_out_stream & 0xC0) == 0x80  # of a UTF-8 character; every character has one other byte
    num_characters = int((~is_continuation)[~is_start].sum())
    return NGramBaseline(
        order=order,
        bits_per_byte=compute_bits_per_unit(losses),
        nats_per_character=float(nats[~is_start].sum() / num_characters),
        losses=losses,
        train_bytes=int((train_stream != DOCUMENT_START).sum()),
        is_capped=is_capped,
    )


def split_losses(nats: np.ndarray, is_start: np.ndarray, max_bytes: int = 4000) -> BlockLosses:
    """Split the losses of a stream, N nats, into blocks of at most `max_bytes` that end where documents end.

    `is_start` marks the tokens before documents: they are not bytes, and their loss does not count.
    """
    begins = np.flatnonzero(is_start)
    ends = np.append(begins[1:], len(nats))
    document_block_starts = [np.arange(begin + 1, end, max_bytes) for begin, end in zip(begins, ends, strict=True)]
    block_starts = np.concatenate([*document_block_starts, np.zeros(0, np.int64)]).astype(np.int64)
    counted_nats = np.where(is_start, 0.0, nats)
    sums = np.add.reduceat(counted_nats, block_starts) if len(block_starts) else np.zeros(0)
    sizes = np.add.reduceat((~is_start).astype(np.int64), block_starts) if len(block_starts) else np.zeros(0)
    return BlockLosses.from_pairs(zip(sums.tolist(), sizes.tolist(), strict=True))


def _concat_bytes(documents: Iterable[str], max_bytes: int) -> tuple[np.ndarray, bool]:
    """Return documents as one stream of bytes, with DOCUMENT_START before each, and whether any text was skipped."""
    parts: list[np.ndarray] = []
    remaining = max_bytes
    for text in documents:
        if remaining <= 0:
            return np.concatenate(parts), True
        candidate = text[: remaining + 1].encode(errors="surrogatepass")
        encoded = candidate[:remaining]
        parts += [np.array([DOCUMENT_START], np.uint16), np.frombuffer(encoded, np.uint8).astype(np.uint16)]
        if len(candidate) > remaining:
            return np.concatenate(parts), True
        remaining -= len(encoded)
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16), False
