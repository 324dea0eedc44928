"""Facts about drafts for the engine: log-probabilities, how a text ended, and when a value is worth a preview."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from genloom.capabilities import get_special_tokens
from genloom.generate import engine
from genloom.generate.continuous_batching import RunningSequence, TokenLogprobs, iter_prompt_logprobs
from genloom.generate.decode import Draft
from genloom.server.engine.messages import GenerationRequest, TokenLogprob

MIN_PREVIEW_SECONDS = 0.05


def iter_scores(model: Any, rows: engine.Request, request: GenerationRequest) -> Iterator[list[TokenLogprob] | None]:
    """Yield None after each piece of a prompt, and the log-probabilities of each prompt's tokens without BOS."""
    params, _, _ = engine.prepare_sampling(model, rows)
    for ids in params.inputs.prompt_ids[:: request.n]:
        scored: list[TokenLogprobs] = []
        for piece in iter_prompt_logprobs(model, ids, request.num_logprobs or 0):
            scored += piece
            yield None
        is_bos = scored[0].token == model.codec.space.bos and not request.prompt_ids
        yield [describe_logprob(model, each) for each in scored[is_bos:]]


class PreviewClock:
    """Which steps of a total are shown: `wanted` of them, evenly, and never faster than people see."""

    def __init__(self, wanted: int, total: int):
        self.steps = {max(1, total * (n + 1) // (wanted + 1)) for n in range(wanted)}
        self.count, self.last_at = 0, 0.0

    def is_due(self, step: int) -> bool:
        if step not in self.steps or time.monotonic() - self.last_at < MIN_PREVIEW_SECONDS:
            return False
        self.count, self.last_at = self.count + 1, time.monotonic()
        return True


def get_finish_reason(draft: Draft, row: int = 0) -> str:
    if any(draft.has_loop[row : row + 1]):
        return "loop"
    return "stop" if draft.is_finished[row] else "length"


def find_stop_text(sequence: RunningSequence, draft: Draft) -> str:
    """Return the stop string that ended a text; "" if none did."""
    text = sequence.decoder.detokenizers[0].decode(sequence.token_ids[sequence.prompt_length :])
    begin = len(draft.continuations[0])
    return next((stop for stop in sequence.request.stop if text.startswith(stop, begin)), "")


def count_text_tokens(model: Any, request: engine.Request, draft: Draft) -> int:
    """Return how many tokens the text of a final draft has, without the token that ends it."""
    ids = draft.token_ids[0]
    return len(ids) - (1 if ids and ids[-1] in (model.codec.space.eos, *request.eos_ids) else 0)


def describe_logprob(model: Any, found: TokenLogprobs) -> TokenLogprob:
    """Return a token as text and bytes with its log-probability."""
    names = {token: name for name, token in get_special_tokens(model.codec).items()}

    def describe(token: int, logprob: float | None, top: Sequence[tuple[int, float]] = ()) -> TokenLogprob:
        data = names[token].encode() if token in names else model.codec.decode_bytes([token])
        likely = [describe(other, value) for other, value in top]
        return TokenLogprob(data.decode(errors="replace"), list(data), logprob, likely)

    return describe(found.token, found.logprob, found.top)
