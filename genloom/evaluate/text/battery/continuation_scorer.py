"""Log-likelihoods of continuations under a model, in batches that read each shared prefix only once.

Shape letters: B rows, L length, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from genloom.errors import GenloomError
from genloom.model import Model
from genloom.types import CausalNetwork, TokenSpace

BATCH_SIZE = 16  # contexts


@dataclass(frozen=True)
class ContinuationScore:
    """A model's score of a continuation."""

    nats: float  # minus log-likelihood given the context
    is_greedy: bool  # whether greedy decoding gives it


class ContinuationScorer(Protocol):
    """Scores the continuations of each context."""

    def __call__(self, contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[list[ContinuationScore]]: ...


@dataclass(frozen=True)
class SplitContext:
    """A context and its continuations as tokens."""

    prefix: np.ndarray  # the BOS token and the part of the context that all continuations share
    suffixes: list[np.ndarray]  # one per continuation, with the part of the context that is not in `prefix`


def build_scorer(model: Model) -> ContinuationScorer:
    """Build a scorer from a model; raises ValueError for one that does not generate from left to right."""
    if set(model.objective.network_specs) != {"model"} or not model.objective.network_specs["model"].is_causal:
        raise GenloomError("evaluate.not_left_to_right", model=model.ref)

    def score(contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[list[ContinuationScore]]:
        for start in range(0, len(contexts), BATCH_SIZE):
            yield from score_split_contexts(
                model, [split_context(model, *pair) for pair in contexts[start : start + BATCH_SIZE]]
            )

    return score


def split_context(model: Model, context: str, continuations: Sequence[str]) -> SplitContext:
    """Encode context and continuation together, and split at the last token boundary that all share in the context."""
    codec, space = cast(Any, model.codec), model.codec.space
    assert isinstance(space, TokenSpace)
    rows = [np.asarray(codec.encode(context + text), dtype=np.int64) for text in continuations]
    num_shared = min(
        _count_context_tokens(codec, row, context, context + text)
        for row, text in zip(rows, continuations, strict=True)
    )
    num_shared = min(num_shared, _count_common_prefix(rows))
    return SplitContext(np.concatenate([[space.bos], rows[0][:num_shared]]), [row[num_shared:] for row in rows])


def _count_context_tokens(codec: Any, row: np.ndarray, context: str, full_text: str) -> int:
    """Count the tokens of a row that lie in the context with all their bytes."""
    ends = np.cumsum([len(codec.decode_bytes(row[i : i + 1])) for i in range(len(row))])
    ends -= ends[-1] - len(full_text.encode())  # some tokenizers add a space before the text
    return int((ends <= len(context.encode())).sum())


def _count_common_prefix(rows: Sequence[np.ndarray]) -> int:
    """Return the length of the common prefix of all rows."""
    return sum(
        1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*(r.tolist() for r in rows), strict=False))
    )


@torch.inference_mode()
def score_split_contexts(model: Model, contexts: Sequence[SplitContext]) -> Iterator[list[ContinuationScore]]:
    """Score the continuations of contexts that are tokens, all in one batch.

    The common prefix of all contexts is read once, then each context once, then every continuation.
    """
    network = cast(CausalNetwork, model.parts["model"])
    prefixes = [context.prefix for context in contexts]
    num_shared = min(_count_common_prefix(prefixes), min(map(len, prefixes)) - 1)
    suffixes = [row for context in contexts for row in context.suffixes]
    max_length = max(map(len, prefixes)) + max(map(len, suffixes))
    cache = network.init_cache(1, max_length)
    if num_shared:
        network(torch.from_numpy(prefixes[0][None, :num_shared]).to(model.device), cache=cache)
    cache = cache.select_rows(torch.zeros(len(contexts), dtype=torch.long, device=model.device))
    prefix_logits_BV = _compute_logits(
        network, [row[num_shared:] for row in prefixes], cache, model.device, is_last_only=True
    )[:, 0]
    context_indices = torch.tensor(
        [i for i, context in enumerate(contexts) for _ in context.suffixes], device=model.device
    )
    suffix_logits_BLV = _compute_logits(network, suffixes, cache.select_rows(context_indices), model.device)
    logits_BLV = torch.cat([prefix_logits_BV[context_indices][:, None], suffix_logits_BLV[:, :-1]], 1)
    costs = iter(
        [
            _score_continuation(row_LV[: len(suffix)], suffix)
            for row_LV, suffix in zip(logits_BLV, suffixes, strict=True)
        ]
    )
    for context in contexts:
        yield [next(costs) for _ in context.suffixes]


def _compute_logits(
    network: CausalNetwork, rows: list[np.ndarray], cache: Any, device: torch.device, is_last_only: bool = False
) -> Tensor:
    """Return the logits (B L V) after every token, or only after each row's last (B 1 V)."""
    max_length = max(map(len, rows))
    x_BL = torch.from_numpy(np.stack([np.pad(row, (0, max_length - len(row))) for row in rows])).to(device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    logits_BLV = network(x_BL, lengths=lengths, cache=cache).float()
    return logits_BLV[torch.arange(len(rows), device=device), lengths - 1][:, None] if is_last_only else logits_BLV


def _score_continuation(logits_LV: Tensor, row: np.ndarray) -> ContinuationScore:
    targets = torch.from_numpy(row).to(logits_LV.device)
    nats = torch.nn.functional.cross_entropy(logits_LV, targets, reduction="sum")
    return ContinuationScore(float(nats), bool((logits_LV.argmax(1) == targets).all()))
