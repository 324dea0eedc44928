"""The mark in signals: evidence that a key chose the noise that a sample was made from.

The sampler of a flow is solved backwards, from the encoded value to an estimate of its first noise, which is correlated
with the noise of every pool index (`genloom.noise.pool_normal`). Without the key, the pool's noise is independent of
the value: the normalized correlation is then a standard normal number whatever the value is, and the p-values hold for
any value and any model. The codec and the model decide only how strong the evidence in marked values is.

Samplers with random steps, and starts from a source, lose the mark; few steps weaken it.

Shape letters: A alignments, P pool indices, N numbers of a signal, C channels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log, prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genloom import conditioners, plugins
from genloom.capabilities import GridCodec, InvertibleSampler, ResamplingConditioner, unwrap_objective
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.noise import SIGNAL_POOL_SIZE, pool_normal
from genloom.objectives.flow import InversionParams
from genloom.trust.known_outputs import KnownOutput, correlate_outputs
from genloom.types import Codec, Condition, Item, SignalSpace

POOL_CHUNK = 2048  # pool indices whose noise is computed together
MAX_CACHED_BYTES = 1 << 28  # of the noise of a pool in memory
BATCH_SIZE = 16  # values that are inverted together
ROUNDS = (0, 4)  # of the correction of an encoder's errors: none for edited values, some for those that are unchanged
MAX_CORRECTED = 2  # alignments whose codes are corrected, which takes longer than the rest
STEPS = 6  # of the inversion: more do not help
MAX_READ_AGAIN = 3  # outputs that a value is read again for, which takes as long as the first reading
MAX_P_VALUE = 1e-6  # of a value as it is, at which its parts are not tried

Aligned = tuple[str, Any]  # what was perhaps done to a value, and the value without it


@dataclass(frozen=True)
class SignalMark:
    """The evidence of the best pool index and alignment. `log_p` allows for all of them."""

    log_p: float
    pool_index: int
    alignment: str  # what was done to the value before: "as it is", "mirrored" …
    num_numbers: int  # of the signal
    num_tests: int  # beside those of the pool
    output: str = ""  # the output of the workspace whose noise it is; "": known by its pool index only

    @property
    def p_value(self) -> float:
        return exp(min(self.log_p, 0.0))


def can_read_mark(model: Model) -> bool:
    """Return whether marks can be read in outputs of the model: signals of a sampler that can be solved backwards."""
    objective = unwrap_objective(model.objective)
    return isinstance(model.codec.space, SignalSpace) and isinstance(objective, InvertibleSampler)


def find_signal_marks(
    model: Model,
    value: Any,
    keys: Sequence[int],
    given: Mapping[str, Any] | None = None,
    is_fast: bool = False,
    outputs: Sequence[KnownOutput] = (),
) -> list[SignalMark]:
    """Return the evidence for each key, the noise key of the model's medium, that it marked a value.

    `given` are the conditions that the value was generated with, as far as they are known; they make the evidence
    stronger. With `is_fast`, the value is taken as it is, and not as a part or a mirror image. `outputs` of the model
    are tried by themselves, at half of the level.
    """
    medium = plugins.find_part("medium", model.design.medium)
    size = cast(SignalSpace, model.codec.space).size
    aligned = [] if is_fast else list(get_ability(medium, "list_alignments")(value, size))
    rounds = ROUNDS if len(aligned) <= MAX_CORRECTED else ROUNDS[:1]
    num_tests = len(ROUNDS) + len(rounds) * len(aligned)
    # What is known of the value is used in the first reading already.
    outputs = [replace(each, given={}) if given else each for each in outputs if each.noise_key in keys]
    num_searches = 2 if outputs else 1
    marks: list[SignalMark] = []
    for values, counts in (([("as it is", value)], ROUNDS), (aligned, rounds)):
        if not values or any(mark.p_value < MAX_P_VALUE for mark in marks):
            continue
        noise_A, names = estimate_aligned(model, values, counts, given or {})
        found = [find_pool_mark(noise_A, key, names, num_searches * num_tests) for key in keys]
        if outputs:
            key, mark = find_output_mark(model, values, counts, noise_A, names, outputs, num_searches * num_tests)
            at = keys.index(key)
            found[at] = min(found[at], mark, key=lambda each: each.log_p)
        marks = [min(pair, key=lambda each: each.log_p) for pair in zip(marks, found, strict=True)] if marks else found
    return marks


def estimate_aligned(
    model: Model, aligned: Sequence[Aligned], rounds: Sequence[int], given: Mapping[str, Any]
) -> tuple[Tensor, list[str]]:
    """Return estimates of the noise of the values, with each number of rounds of correction, and their names."""
    values = [value for _, value in aligned]
    noise_A = torch.cat([estimate_noise(model, values, given, count) for count in rounds])
    return noise_A, [name for name, _ in aligned] * len(rounds)


def find_output_mark(
    model: Model,
    aligned: Sequence[Aligned],
    rounds: Sequence[int],
    noise_A: Tensor,
    names: Sequence[str],
    outputs: Sequence[KnownOutput],
    num_tests: int,
) -> tuple[int, SignalMark]:
    """Return the evidence that a value is an edited copy of one of the outputs, whose noise is known, and its key.

    The few that fit best are read again under the conditions that they were generated with. The p-value allows for all
    outputs and both readings.
    """
    score_AK = correlate_outputs(noise_A, outputs)
    log_tests = log(2 * len(outputs) * num_tests)
    best: list[tuple[int, SignalMark]] = []
    for k in np.argsort(-score_AK.max(0))[:MAX_READ_AGAIN].tolist():
        a, output = int(score_AK[:, k].argmax()), outputs[k]
        score, value = float(score_AK[a, k]), dict(aligned)[names[a]]
        if output.given:
            again_A = torch.cat([estimate_noise(model, [value], output.given, count) for count in rounds])
            score = max(score, float(correlate_outputs(again_A, [output]).max()))
        log_p = min(compute_log_tail(score) + log_tests, 0.0)
        index = output.nonce % SIGNAL_POOL_SIZE
        mark = SignalMark(log_p, index, names[a], noise_A[0].numel(), num_tests, output.id)
        best.append((output.noise_key, mark))
    return min(best, key=lambda each: each[1].log_p)


def estimate_noise(model: Model, values: Sequence[Any], given: Mapping[str, Any], rounds: int = 0) -> Tensor:
    """Return estimates of the first noise of values of one size, A C *size."""
    objective: Any = unwrap_objective(model.objective)
    estimates = []
    for begin in range(0, len(values), BATCH_SIZE):
        x, cond = read_signals(model, values[begin : begin + BATCH_SIZE], given, rounds)
        estimates.append(objective.invert(dict(model.parts.items()), x, cond, InversionParams(STEPS)).cpu())
    return torch.cat(estimates)


def read_signals(
    model: Model, values: Sequence[Any], given: Mapping[str, Any], rounds: int
) -> tuple[Tensor, Condition | None]:
    """Return the signals of values, A C *size, and their conditions: those given, and those that the values tell.

    Values that tell their conditions are read on the grid that they were drawn on, else on that of the training.
    """
    codec = model.codec
    if isinstance(codec, GridCodec):
        with suppress(ValueError, RuntimeError):  # conditions of a file from outside, which nothing fulfils
            x = encode_values(codec, values, rounds, codec.encode_whole)
            told = [read_conditions(model, value, x.shape[2:]) for value in values]
            if all(told) or not model.conditioners:
                return x, encode_condition(model, [{**each, **given} for each in told])
    x = encode_values(codec, values, rounds)
    return x, encode_condition(model, [given] * len(x))


def encode_values(
    codec: Codec, values: Sequence[Any], rounds: int, encode: Callable[[Any], np.ndarray] | None = None
) -> Tensor:
    """Return signals of values, A C *size, by another function than the codec's own, if one is given.

    Each round adds the difference between the codes of the values and of what was decoded: near the solution, an
    encoder's errors are the same for both.
    """
    encode = codec.encode if encode is None else encode
    encoded = np.stack([encode(value) for value in values])
    x = encoded
    for _ in range(rounds):
        x = x + encoded - np.stack([encode(codec.decode(row)) for row in x])
    return torch.from_numpy(x).float()


def read_conditions(model: Model, value: Any, size: Sequence[int]) -> dict[str, Any]:
    """Return the conditions that a value itself tells, on a grid of this size."""
    return {
        name: each.resample_value(told, size)
        for name, each in model.conditioners.items()
        if isinstance(each, ResamplingConditioner) and (told := each.get_value(Item(value))) is not None
    }


def encode_condition(model: Model, given: Sequence[Mapping[str, Any]]) -> Condition | None:
    """Return the condition of rows; None for an unconditional model."""
    if not model.conditioners:
        return None
    known = [{name: values[name] for name in model.conditioners if name in values} for values in given]
    cond = conditioners.merge_conditions(conditioners.encode_given(model.conditioners, known))
    return cond.map(lambda t: t.to(model.device))


def find_pool_mark(noise_A: Tensor, key: int, names: Sequence[str], num_tests: int) -> SignalMark:
    """Return the evidence in estimates of the noise of one value, A C *size, for a key.

    Each correlation with a pool index has the standard normal distribution without the key, exactly; the p-value is
    that of the highest, times the size of the pool and `num_tests` (Bonferroni).
    """
    score_A, index_A = correlate_pool(noise_A, key)
    best = int(score_A.argmax())
    log_p = min(compute_log_tail(float(score_A[best])) + log(SIGNAL_POOL_SIZE * num_tests), 0.0)
    return SignalMark(log_p, int(index_A[best]), names[best], noise_A[0].numel(), num_tests)


def correlate_pool(noise_A: Tensor, key: int) -> tuple[Tensor, Tensor]:
    """Return the highest correlation of each estimate, A C *size, with the pool's noise, and its pool index."""
    direction_AN = noise_A.flatten(1).double()
    direction_AN = (direction_AN / direction_AN.norm(dim=1, keepdim=True).clamp(min=1e-30)).float()
    score_A, index_A = torch.full((len(noise_A),), -torch.inf), torch.zeros(len(noise_A), dtype=torch.long)
    for first, pool_PN in iter_pool(key, tuple(noise_A.shape[1:])):
        top_A, at_A = (direction_AN @ pool_PN.float().T).max(1)
        index_A = torch.where(top_A > score_A, first + at_A, index_A)
        score_A = torch.maximum(score_A, top_A)
    return score_A, index_A


def compute_log_tail(score: float) -> float:
    """Return log P(X > score) of a standard normal X."""
    return float(torch.special.log_ndtr(torch.tensor(-score, dtype=torch.float64)))


def iter_pool(key: int, shape: tuple[int, ...]) -> Iterator[tuple[int, Tensor]]:
    """Yield the first index and the noise, P N, of each chunk of the pool."""
    if prod(shape) * SIGNAL_POOL_SIZE * 2 <= MAX_CACHED_BYTES:
        yield from build_pool(key, shape)
    else:
        yield from ((first, draw_chunk(key, first, shape)) for first in range(0, SIGNAL_POOL_SIZE, POOL_CHUNK))


@lru_cache(maxsize=2)
def build_pool(key: int, shape: tuple[int, ...]) -> list[tuple[int, Tensor]]:
    """Return the chunks of a pool in 16 bits, which change a correlation by less than a thousandth."""
    return [(first, draw_chunk(key, first, shape).half()) for first in range(0, SIGNAL_POOL_SIZE, POOL_CHUNK)]


def draw_chunk(key: int, first: int, shape: tuple[int, ...]) -> Tensor:
    last = min(first + POOL_CHUNK, SIGNAL_POOL_SIZE)
    return pool_normal(key, range(first, last), shape).flatten(1)
