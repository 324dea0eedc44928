"""Held-out loss of a model: bits per byte for texts of any length, the loss of the objective for other samples.

Shape letters: B windows, L length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from genloom.codecs.chat_template import ChatCodec, render
from genloom.model import Model
from genloom.noise import Noise
from genloom.types import Batch, Message, TokenSpace

TextOrChat = str | Sequence[Message]  # of a conversation, only the assistant's messages are scored
MAX_POSITIONS = 16_384  # per batch, padding included
BATCH_SIZE = 64  # for samples of other media
BITS_PER_BYTE, HELD_OUT_LOSS = "bits per byte", "held-out loss"


@dataclass(frozen=True)
class HeldOutMetric:
    """A metric on held-out data; lower is better."""

    name: str
    value: float

    @property
    def key(self) -> str:
        return to_metric_key(self.name)


def to_metric_key(measure: str) -> str:
    """Return the record key of a metric."""
    return measure.replace(" ", "_").replace("-", "_")


def measure_held_out(model: Model, held_out: Sequence[TextOrChat] | Batch) -> HeldOutMetric:
    """Measure texts in bits per byte, comparable across codecs, and other samples by the mean loss of the objective."""
    if isinstance(held_out, Batch):
        return HeldOutMetric(HELD_OUT_LOSS, mean_loss(model, held_out))
    return HeldOutMetric(BITS_PER_BYTE, bits_per_byte(compute_nll(model, held_out)))


@torch.inference_mode()
def mean_loss(model: Model, held_out: Batch) -> float:
    """Return the mean loss per term in the objective's last phase; the noise is the same for every model and step."""
    parts, phase = (
        dict(model.parts.items()),
        model.objective.phases[-1],
    )  # the last of a GAN's phases trains the generator
    total, num_terms = 0.0, 0.0
    for first in range(0, len(held_out), BATCH_SIZE):
        batch = held_out.select_rows(slice(first, first + BATCH_SIZE)).map(lambda t: t.to(model.device))
        loss = model.objective.loss(parts, batch, phase, Noise(0, tuple(range(first, first + len(batch)))))
        total, num_terms = total + loss.per_sample.sum().item(), num_terms + loss.num_terms.sum().item()
    return total / max(num_terms, 1e-12)


@dataclass(frozen=True)
class ContextWindow:
    """A window of a document that fits the context length."""

    document: int
    begin: int  # position in the document
    ids: np.ndarray
    score_mask: np.ndarray  # L, False for tokens that are context only


@torch.inference_mode()
def compute_nll(model: Model, texts: Iterable[TextOrChat], batch_size: int = 32) -> Iterator[tuple[float, int]]:
    """Yield the negative log-likelihood in nats and the size in UTF-8 bytes of each text, in order.

    Of a conversation, only the assistant's messages count. Windows overlap by half, so that all tokens except the first
    ones are predicted from at least half the context length. For an objective with a bound, the values are bounds.
    """
    nats: dict[int, float] = {}
    num_bytes: list[int] = []
    queue: list[ContextWindow] = []
    next_document = 0
    for n, text in enumerate(texts):
        num_bytes.append(count_bytes(text))
        nats[n] = 0.0
        queue += split_windows(n, text, model)
        while batch_count := count_batch(queue, batch_size):
            score_batch(model, queue[:batch_count], nats)
            queue = queue[batch_count:]
        while next_document < (queue[0].document if queue else n + 1):
            yield nats.pop(next_document), num_bytes[next_document]
            next_document += 1
    if queue:
        score_batch(model, queue, nats)
    for n in sorted(nats):
        yield nats[n], num_bytes[n]


def count_bytes(text: TextOrChat) -> int:
    """Count the bytes of the scored text."""
    answers = [text] if isinstance(text, str) else [message.content for message in text if message.role == "assistant"]
    return sum(len(part.encode("utf-8", "replace")) for part in answers)


def count_batch(queue: list[ContextWindow], batch_size: int) -> int:
    """Return how many of the windows form a full batch; 0 if more fit."""
    longest = 0
    for count, window in enumerate(queue[:batch_size]):
        longest = max(longest, len(window.ids))
        if count and longest * (count + 1) > MAX_POSITIONS:
            return count
    return batch_size if len(queue) >= batch_size else 0


def split_windows(document: int, text: TextOrChat, model: Model) -> list[ContextWindow]:
    space = model.codec.space
    assert isinstance(space, TokenSpace), "only token sequences are scored"
    if isinstance(text, str):
        ids = np.concatenate([[space.bos], model.codec.encode(text)]).astype(np.int64)
        score_mask = np.ones(len(ids), bool)
    else:
        ids, score_mask = render(cast(ChatCodec, model.codec), text, add_generation_prompt=False)
    context_length, stride = model.design.context_length, max(model.design.context_length // 2, 1)
    context_windows, first = [], 1
    while first < len(ids):
        begin = 0 if first == 1 else first + stride - context_length
        end = min(begin + context_length, len(ids))
        is_new = np.arange(begin, end) >= first
        if (window_mask := score_mask[begin:end] & is_new).any():
            context_windows.append(ContextWindow(document, begin, ids[begin:end], window_mask))
        first = end
    return context_windows


def score_batch(model: Model, batch: list[ContextWindow], nats: dict[int, float]) -> None:
    longest = max(len(w.ids) for w in batch)
    x_BL = np.stack([np.pad(w.ids, (0, longest - len(w.ids))) for w in batch])
    mask_BL = np.stack([np.pad(w.score_mask, (0, longest - len(w.ids))) for w in batch])
    lengths = torch.tensor([len(w.ids) for w in batch])
    inputs = Batch(torch.from_numpy(x_BL), mask=torch.from_numpy(mask_BL), lengths=lengths).map(
        lambda t: t.to(model.device)
    )
    noise = Noise(0, tuple((w.document << 32) + w.begin for w in batch))  # where the objective estimates a bound
    loss = model.objective.loss(dict(model.parts.items()), inputs, model.objective.phases[0], noise)
    for window, value in zip(batch, loss.per_sample.tolist(), strict=True):
        nats[window.document] += value


def bits_per_byte(pairs: Iterable[tuple[float, int]]) -> float:
    """Return the mean over all bytes, in bits; independent of the codec's tokenization."""
    nats, num_bytes = 0.0, 0
    for value, count in pairs:
        nats, num_bytes = nats + value, num_bytes + count
    return nats / max(num_bytes, 1) / float(np.log(2))
