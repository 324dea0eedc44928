"""Classification without training: the likelihood of each label as the answer of a language model.

Likelihoods are per token of a label, so that long labels are not worse, and divided by those after texts without
content, so that labels that the model likes anyway are not better (Zhao et al. 2021, "Calibrate before use").

Shape letters: N texts, C labels.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from genloom.capabilities import ChatCodec
from genloom.codecs.chat_template import render_chat
from genloom.evaluate.text.battery.continuation_scorer import SplitContext, score_split_contexts
from genloom.model import Model
from genloom.types import Message

CONTENT_FREE = ("N/A", "", "[MASK]")
MAX_TEXT_TOKENS = 320  # of a text that is read; the rest is not
_BATCH_SIZE = 16


def build_label_prompt(text: str, labels: Sequence[str]) -> str:
    """Return the question for the label of a text."""
    return f"Which label fits the text? Answer with one of: {', '.join(labels)}.\n\nText: {text}\n\nLabel:"


def score_labels(
    model: Model,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    is_calibrated: bool = True,
    is_normalized: bool = True,
    report: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """Return the probability of each label for each text, N C; `report` gets the number of texts that are done."""
    rows = [build_context(model, text, labels) for text in (*texts, *(CONTENT_FREE if is_calibrated else ()))]
    order = sorted(range(len(rows)), key=lambda row: len(rows[row].prefix))
    nats_NC = np.zeros((len(rows), len(labels)))
    for start in range(0, len(order), _BATCH_SIZE):
        batch = order[start : start + _BATCH_SIZE]
        for row, scores in zip(batch, score_split_contexts(model, [rows[row] for row in batch]), strict=True):
            nats_NC[row] = [score.nats for score in scores]
        report(min(start + len(batch), len(texts)))
    if is_normalized:
        nats_NC /= np.array([[len(suffix) for suffix in row.suffixes] for row in rows])
    log_p_NC = -nats_NC[: len(texts)]
    if is_calibrated:
        free_C = np.exp(-nats_NC[len(texts) :]).mean(0)
        log_p_NC = log_p_NC - np.log(free_C + 1e-12)
    odds_NC = np.exp(log_p_NC - log_p_NC.max(1, keepdims=True))
    return odds_NC / odds_NC.sum(1, keepdims=True)


def build_context(model: Model, text: str, labels: Sequence[str]) -> SplitContext:
    """Return the tokens of the question, and those of each label as its answer.

    A model with a chat template is asked through it; another one continues the question.
    """
    codec = cast(Any, model.codec)
    prompt = build_label_prompt(truncate_text(codec, text, get_max_tokens(model)), labels)
    has_template = isinstance(codec, ChatCodec) and codec.chat_template is not None
    if has_template:
        ids, _ = render_chat(codec, [Message("user", prompt)], add_generation_prompt=True)
        answers = list(labels)
    else:
        ids = np.concatenate([[codec.space.bos], np.asarray(codec.encode(prompt), np.int64)])
        answers = [f" {label}" for label in labels]
    suffixes = [np.asarray(codec.encode(answer), np.int64) for answer in answers]
    room = model.design.context_length - max(map(len, suffixes))
    return SplitContext(np.asarray(ids, np.int64)[-max(room, 2) :], suffixes)


def get_max_tokens(model: Model) -> int:
    """Return how many tokens of a text are read: half of a short context."""
    return max(min(MAX_TEXT_TOKENS, model.design.context_length // 2), 8)


def truncate_text(codec: Any, text: str, max_tokens: int) -> str:
    """Return the beginning of a text, of at most `max_tokens` tokens."""
    beginning = text[: max_tokens * 24]
    ids = np.asarray(codec.encode(beginning), np.int64)
    if len(ids) <= max_tokens:
        return beginning
    return codec.decode_bytes(ids[:max_tokens]).decode("utf-8", "ignore")
