"""Held-out loss of a model: bits per unit of the medium for token sequences, the loss of the objective for samples.

Shape letters: B windows, L length.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, cast

import numpy as np
import torch

from genloom import plugins
from genloom.codecs.chat_template import ChatCodec, is_conversation, render_chat
from genloom.conditioners import Given, encode_given, merge_conditions, shift_field
from genloom.media.abilities import get_ability
from genloom.memory import count_rows_within
from genloom.model import Model
from genloom.noise import Noise
from genloom.types import Batch, Condition, Loss, Message, TokenSpace, is_open_sequence

Scored = Any | Sequence[Message]  # a value, or a conversation, of which only the assistant's messages are scored
MAX_POSITIONS = 16_384  # per batch, padding included
BATCH_SIZE, BATCH_BYTES = 64, 1 << 26  # for samples of other media
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


@dataclass(frozen=True)
class HeldOutSequences:
    """Values that are scored as token sequences, each under its conditions."""

    values: Sequence[Scored]
    given: Sequence[Given]

    def __len__(self) -> int:
        return len(self.values)


HeldOut = Sequence[Scored] | HeldOutSequences | Batch


def get_bits_metric(medium: str) -> str:
    """Return the name of the likelihood of a medium's values, "bits per byte"; comparable across codecs."""
    return f"bits per {get_ability(plugins.find_part('medium', medium), 'unit')}"


def measure_held_out(model: Model, held_out: HeldOut) -> HeldOutMetric:
    """Measure sequences in bits per unit of the medium, and samples of one size by the mean loss of the objective."""
    if isinstance(held_out, Batch):
        return HeldOutMetric(HELD_OUT_LOSS, compute_mean_loss(model, held_out))
    values, given = (held_out.values, held_out.given) if isinstance(held_out, HeldOutSequences) else (held_out, None)
    return HeldOutMetric(
        get_bits_metric(model.design.medium), to_bits_per_unit(compute_nll(model, values, given=given))
    )


@torch.inference_mode()
def compute_mean_loss(model: Model, held_out: Batch) -> float:
    """Return the mean loss per term in the objective's last phase; the noise is the same for every model and step."""
    total, num_terms = 0.0, 0.0
    for loss in _iter_losses(model, held_out):
        total, num_terms = total + loss.per_sample.sum().item(), num_terms + loss.num_terms.sum().item()
    return total / max(num_terms, 1e-12)


@torch.inference_mode()
def compute_sample_losses(model: Model, held_out: Batch) -> Iterator[tuple[float, float]]:
    """Yield the loss of each sample and its number of terms, as `compute_mean_loss` adds them up."""
    for loss in _iter_losses(model, held_out):
        yield from zip(loss.per_sample.tolist(), loss.num_terms.tolist(), strict=True)


def _iter_losses(model: Model, held_out: Batch) -> Iterator[Loss]:
    """Yield the losses of batches of samples, each with the noise of its rows, which is the same for every model."""
    parts, phase = dict(model.parts.items()), model.objective.phases[-1]  # the last of a GAN's trains the generator
    batch_size = count_rows_within(held_out.x[0].nbytes, BATCH_BYTES, BATCH_SIZE) if len(held_out) else 1
    for first in range(0, len(held_out), batch_size):
        batch = held_out.select_rows(slice(first, first + batch_size)).map(lambda t: t.to(model.device))
        yield model.objective.loss(parts, batch, phase, Noise(0, tuple(range(first, first + len(batch)))))


@dataclass(frozen=True)
class ContextWindow:
    """A window of a document that fits the context length."""

    document: int
    begin: int  # position in the document
    ids: np.ndarray
    score_mask: np.ndarray  # L, False for tokens that are context only
    given: Given | None = None  # the conditions of the document


@torch.inference_mode()
def compute_nll(
    model: Model, values: Iterable[Scored], batch_size: int = 32, given: Iterable[Given] | None = None
) -> Iterator[tuple[float, int]]:
    """Yield the negative log-likelihood in nats and the size in units of the medium of each value, in order.

    Of a conversation, only the assistant's messages count. A value that is a document of its own counts with its end,
    a passage of a stream without. Windows overlap by half, so that all tokens except the first ones are predicted from
    at least half the context length. For an objective with a bound, the values are bounds. `given` has the conditions
    of each value; without it, none are given.
    """
    nats: dict[int, float] = {}
    sizes: list[int] = []
    queue: list[ContextWindow] = []
    next_document = 0
    count_units = build_unit_counter(model.design.medium)
    for n, (value, value_given) in enumerate(zip(values, repeat({}) if given is None else given, strict=False)):
        sizes.append(count_units(value))
        nats[n] = 0.0
        queue += split_windows(n, value, model, value_given)
        while batch_count := count_batch(queue, batch_size):
            score_batch(model, queue[:batch_count], nats)
            queue = queue[batch_count:]
        while next_document < (queue[0].document if queue else n + 1):
            yield nats.pop(next_document), sizes[next_document]
            next_document += 1
    if queue:
        score_batch(model, queue, nats)
    for n in sorted(nats):
        yield nats[n], sizes[n]


def build_unit_counter(medium: str) -> Callable[[Scored], int]:
    """Return a function that counts the units of a value, or of the scored messages of a conversation."""
    count_units = get_ability(plugins.find_part("medium", medium), "count_units")

    def count(value: Scored) -> int:
        if is_conversation(value):
            return sum(count_units(message.content) for message in value if message.role == "assistant")
        return count_units(value)

    return count


def count_batch(queue: list[ContextWindow], batch_size: int) -> int:
    """Return how many of the windows form a full batch; 0 if more fit."""
    longest = 0
    for count, window in enumerate(queue[:batch_size]):
        longest = max(longest, len(window.ids))
        if count and longest * (count + 1) > MAX_POSITIONS:
            return count
    return batch_size if len(queue) >= batch_size else 0


def split_windows(document: int, value: Scored, model: Model, given: Given | None = None) -> list[ContextWindow]:
    space = model.codec.space
    assert isinstance(space, TokenSpace), "only token sequences are scored"
    if is_conversation(value):
        ids, score_mask = render_chat(cast(ChatCodec, model.codec), value, add_generation_prompt=False)
    else:
        end = [] if reads_stream(model) else [space.eos]
        ids = np.concatenate([[space.bos], model.codec.encode(value), end]).astype(np.int64)
        score_mask = np.ones(len(ids), bool)
    context_length, stride = model.design.context_length, max(model.design.context_length // 2, 1)
    context_windows, first = [], 1
    while first < len(ids):
        begin = 0 if first == 1 else first + stride - context_length
        end = min(begin + context_length, len(ids))
        is_new = np.arange(begin, end) >= first
        if (window_mask := score_mask[begin:end] & is_new).any():
            context_windows.append(ContextWindow(document, begin, ids[begin:end], window_mask, given))
        first = end
    return context_windows


def reads_stream(model: Model) -> bool:
    """Return whether the model reads values one after the other as a stream, and not each as a document."""
    is_stream = get_ability(plugins.find_part("medium", model.design.medium), "sequence") == "stream"
    return is_stream and not model.conditioners and is_open_sequence(model.codec.space)


def score_batch(model: Model, batch: list[ContextWindow], nats: dict[int, float]) -> None:
    longest = max(len(w.ids) for w in batch)
    x_BL = np.stack([np.pad(w.ids, (0, longest - len(w.ids))) for w in batch])
    mask_BL = np.stack([np.pad(w.score_mask, (0, longest - len(w.ids))) for w in batch])
    lengths = torch.tensor([len(w.ids) for w in batch])
    inputs = Batch(
        torch.from_numpy(x_BL), encode_windows_given(model, batch), mask=torch.from_numpy(mask_BL), lengths=lengths
    ).map(lambda t: t.to(model.device))
    noise = Noise(0, tuple((w.document << 32) + w.begin for w in batch))  # where the objective estimates a bound
    loss = model.objective.loss(dict(model.parts.items()), inputs, model.objective.phases[0], noise)
    for window, value in zip(batch, loss.per_sample.tolist(), strict=True):
        nats[window.document] += value


def encode_windows_given(model: Model, batch: list[ContextWindow]) -> Condition | None:
    if not model.conditioners:
        return None
    cond = merge_conditions(encode_given(model.conditioners, [window.given or {} for window in batch]))
    return shift_field(cond, [window.begin for window in batch])


def to_bits_per_unit(pairs: Iterable[tuple[float, int]]) -> float:
    """Return the mean over all units, in bits; independent of the codec's tokenization."""
    nats, num_units = 0.0, 0
    for value, count in pairs:
        nats, num_units = nats + value, num_units + count
    return nats / max(num_units, 1) / float(np.log(2))
