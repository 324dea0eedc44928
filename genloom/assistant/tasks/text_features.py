"""Features of texts for a classifier: the pooled hidden states of a model, or embeddings by MiniLM.

Shape letters: N texts, F features.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from genloom.assistant.tasks.zero_shot import get_max_tokens, truncate_text
from genloom.errors import GenloomError
from genloom.model import Model
from genloom.train.preference import reward_head

_BLOCK = 64  # texts between two reports


def compute_pooled_states(
    model: Model, texts: Sequence[str], report: Callable[[int], None] = lambda _: None
) -> np.ndarray:
    """Return the mean and the last hidden state of each text and the logarithm of its length, N F float64.

    Raise GenloomError (tasks.no_states) for a model that gives no hidden states.
    """
    if not reward_head.can_fit_reward_head(model) or not hasattr(model.codec, "encode"):
        raise GenloomError("tasks.no_states", model=model.ref)
    codec, max_tokens = cast(Any, model.codec), get_max_tokens(model)
    ids = [np.asarray(codec.encode(truncate_text(codec, text, max_tokens) or " "), np.int64) for text in texts]
    answers = [tuple(row[:max_tokens].tolist()) or (codec.space.bos,) for row in ids]
    blocks = []
    for start in range(0, len(texts), _BLOCK):
        block = tuple(answers[start : start + _BLOCK])
        blocks.append(reward_head.extract_features(model, ((codec.space.bos,),) * len(block), block))
        report(min(start + _BLOCK, len(texts)))
    return np.concatenate(blocks)


def compute_embeddings(texts: Sequence[str], report: Callable[[int], None] = lambda _: None) -> np.ndarray:
    """Return the embeddings of texts by MiniLM, N F float64 of norm 1; of a long text its beginning counts."""
    from genloom.text_encoders.minilm.sentences import embed_texts

    return embed_texts(texts, report=report).astype(np.float64)
