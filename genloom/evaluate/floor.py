"""The n-gram floor: what counting alone reaches on a dataset; a network that does not beat it is not worth its time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from genloom.evaluate.likelihood import Estimate, Pieces, bits_per_byte
from genloom.networks.kneser_ney import KneserNey

START = 256  # stands before every document


@dataclass(frozen=True)
class Floor:
    """A Kneser-Ney model of bytes, fitted on training documents and measured on held-out ones."""

    order: int
    bits_per_byte: Estimate
    nats_per_character: float
    pieces: Pieces
    train_bytes: int  # what was counted
    capped: bool  # whether training text was left out to bound memory

    def __str__(self) -> str:
        part = f", counted on the first {self.train_bytes / 1e6:.0f} MB" if self.capped else ""
        return f"{self.order}-gram Kneser-Ney: {self.bits_per_byte} bits/byte{part}"


def floor(
    train: Iterable[str], held: Iterable[str], order: int = 5, most_train: int = 20_000_000, most_held: int = 5_000_000
) -> Floor:
    """Counts up to `most_train` bytes of training documents, measures up to `most_held` bytes of held-out ones.

    Documents longer than 4,000 bytes are scored whole but are several pieces for the interval. Raises ValueError where
    either side holds no text.
    """
    counted, more = _stream(train, most_train)
    if len(counted) < 2:
        raise ValueError("there is no training text to count n-grams in; collect some first")
    model = KneserNey.fit(counted, START + 1, order)
    stream, _ = _stream(held, most_held)
    nats = -model.log_prob(stream)
    starts = stream == START
    pieces = pieces_of(nats, starts)
    characters = int(((stream & 0xC0) != 0x80)[~starts].sum())  # every UTF-8 character has one byte that is no follower
    return Floor(
        order=order,
        bits_per_byte=bits_per_byte(pieces),
        nats_per_character=float(nats[~starts].sum() / characters),
        pieces=pieces,
        train_bytes=int((counted != START).sum()),
        capped=more,
    )


def pieces_of(nats: np.ndarray, starts: np.ndarray, longest: int = 4000) -> Pieces:
    """Cuts a scored stream, N nats, into pieces of up to `longest` bytes that end where documents end.

    `starts` marks the symbols that stand before documents; they are neither bytes nor paid for.
    """
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], len(nats))
    cuts = [np.arange(begin + 1, end, longest) for begin, end in zip(begins, ends, strict=True)]
    first = np.concatenate([*cuts, np.zeros(0, np.int64)]).astype(np.int64)
    paid = np.where(starts, 0.0, nats)
    sums = np.add.reduceat(paid, first) if len(first) else np.zeros(0)
    sizes = np.add.reduceat((~starts).astype(np.int64), first) if len(first) else np.zeros(0)
    return Pieces.of(zip(sums.tolist(), sizes.tolist(), strict=True))


def _stream(documents: Iterable[str], most: int) -> tuple[np.ndarray, bool]:
    """Documents as one stream of bytes, START before each, and whether anything was left out."""
    parts: list[np.ndarray] = []
    left = most
    for text in documents:
        if left <= 0:
            return np.concatenate(parts), True
        whole = text[: left + 1].encode(errors="surrogatepass")
        encoded = whole[:left]
        parts += [np.array([START], np.uint16), np.frombuffer(encoded, np.uint8).astype(np.uint16)]
        if len(whole) > left:
            return np.concatenate(parts), True
        left -= len(encoded)
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16), False
