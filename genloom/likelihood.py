"""How surprising a model finds what it has not learned: texts of any length in bits, samples by their loss.

Shape letters: B windows, L length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from genloom.codecs.roles import Speaking, written
from genloom.model import Model
from genloom.noise import Noise
from genloom.types import Batch, Message, Tokens

Told = str | Sequence[Message]  # a text, or a conversation, of which the answers are measured, given what was asked
POSITIONS = 16_384  # read at once, padding included
ROWS = 64  # samples read at once
BITS, LOSS = "bits per byte", "held-out loss"


@dataclass(frozen=True)
class Measured:
    """What a look at held-out data found; the less, the better."""

    name: str
    value: float

    @property
    def key(self) -> str:
        return key_of(self.name)


def key_of(measure: str) -> str:
    """How records call a measure."""
    return measure.replace(" ", "_").replace("-", "_")


def measured(model: Model, held: Sequence[Told] | Batch) -> Measured:
    """Texts in bits per byte, which compare between codecs; samples by the mean loss of the model's objective."""
    if isinstance(held, Batch):
        return Measured(LOSS, mean_loss(model, held))
    return Measured(BITS, bits_per_byte(surprise(model, held)))


@torch.inference_mode()
def mean_loss(model: Model, held: Batch) -> float:
    """The loss a unit in the objective's last turn; the noise is the same for every model and at every step."""
    parts, turn = dict(model.parts.items()), model.objective.turns[-1]  # of a critic's two, the one it serves
    total, units = 0.0, 0.0
    for first in range(0, len(held), ROWS):
        batch = held.rows(slice(first, first + ROWS)).map(lambda t: t.to(model.device))
        loss = model.objective.loss(parts, batch, turn, Noise(0, tuple(range(first, first + len(batch)))))
        total, units = total + loss.per_sample.sum().item(), units + loss.units.sum().item()
    return total / max(units, 1e-12)


@dataclass(frozen=True)
class Window:
    """A piece of a document that the network reads at once."""

    document: int
    begin: int  # where in the document
    ids: np.ndarray
    counts: np.ndarray  # L, False where a symbol is not measured: what was counted already, and what is only given


@torch.inference_mode()
def surprise(model: Model, texts: Iterable[Told], rows: int = 32) -> Iterator[tuple[float, int]]:
    """For each text its minus log-likelihood in nats and its size in UTF-8 bytes, in order.

    Of a conversation, these are of the assistant's answers. Windows overlap by half, so that all but the first symbols
    of a document are predicted from at least half of what the network can read. Where the objective has a bound, it is
    a bound.
    """
    nats: dict[int, float] = {}
    sizes: list[int] = []
    waiting: list[Window] = []
    done = 0
    for n, text in enumerate(texts):
        sizes.append(size(text))
        nats[n] = 0.0
        waiting += windows(n, text, model)
        while enough := full(waiting, rows):
            add(model, waiting[:enough], nats)
            waiting = waiting[enough:]
        while done < (waiting[0].document if waiting else n + 1):
            yield nats.pop(done), sizes[done]
            done += 1
    if waiting:
        add(model, waiting, nats)
    for n in sorted(nats):
        yield nats[n], sizes[n]


def size(text: Told) -> int:
    """Bytes of what is measured."""
    said = [text] if isinstance(text, str) else [turn.content for turn in text if turn.role == "assistant"]
    return sum(len(part.encode("utf-8", "replace")) for part in said)


def full(waiting: list[Window], rows: int) -> int:
    """How many of the windows make a batch; 0 while there is room for more."""
    longest = 0
    for count, window in enumerate(waiting[:rows]):
        longest = max(longest, len(window.ids))
        if count and longest * (count + 1) > POSITIONS:
            return count
    return rows if len(waiting) >= rows else 0


def windows(document: int, text: Told, model: Model) -> list[Window]:
    space = model.codec.space
    assert isinstance(space, Tokens), "only what is made of symbols has a likelihood here"
    if isinstance(text, str):
        ids = np.concatenate([[space.start], model.codec.encode(text)]).astype(np.int64)
        counts = np.ones(len(ids), bool)
    else:
        ids, counts = written(cast(Speaking, model.codec), text, reply=False)
    length, fresh = model.design.length, max(model.design.length // 2, 1)
    found, first = [], 1
    while first < len(ids):
        begin = 0 if first == 1 else first + fresh - length
        end = min(begin + length, len(ids))
        fresh_here = np.arange(begin, end) >= first
        if (mine := counts[begin:end] & fresh_here).any():
            found.append(Window(document, begin, ids[begin:end], mine))
        first = end
    return found


def add(model: Model, batch: list[Window], nats: dict[int, float]) -> None:
    longest = max(len(w.ids) for w in batch)
    x_BL = np.stack([np.pad(w.ids, (0, longest - len(w.ids))) for w in batch])
    mask_BL = np.stack([np.pad(w.counts, (0, longest - len(w.ids))) for w in batch])
    lengths = torch.tensor([len(w.ids) for w in batch])
    asked = Batch(torch.from_numpy(x_BL), mask=torch.from_numpy(mask_BL), lengths=lengths).map(
        lambda t: t.to(model.device)
    )
    noise = Noise(0, tuple((w.document << 32) + w.begin for w in batch))  # where the objective estimates a bound
    loss = model.objective.loss(dict(model.parts.items()), asked, model.objective.turns[0], noise)
    for window, value in zip(batch, loss.per_sample.tolist(), strict=True):
        nats[window.document] += value


def bits_per_byte(pairs: Iterable[tuple[float, int]]) -> float:
    """The mean over all bytes, in bits; independent of how the codec cuts the text."""
    nats, size = 0.0, 0
    for value, count in pairs:
        nats, size = nats + value, size + count
    return nats / max(size, 1) / float(np.log(2))
