"""Held-out documents that share much of their text with training data, although no document there is the same.

G grams of the held-out documents, U different ones.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from genloom.collect.text.conversations import render_conversation
from genloom.collect.text.minhash import hash_ngrams
from genloom.types import Item

GRAM_WORDS = 8  # of which few recur by chance, also in much text
SHARED_FROM = 0.5  # of the grams of a document
MAX_CHARS = 64 << 20  # of held-out documents; further ones are not compared
BATCH_CHARS = 1 << 20


def find_shared_documents(held_out: Iterable[Item], training: Iterable[Item]) -> list[int]:
    """Return the numbers of the held-out documents of whose runs of words the training text has half or more."""
    texts = [text for batch in _batch_texts(held_out, MAX_CHARS) for text in batch]
    grams_G, boundaries = hash_ngrams(texts, GRAM_WORDS)
    own_grams_U = np.unique(grams_G)
    found_U = np.zeros(len(own_grams_U), bool)
    for batch in _batch_texts(training):
        grams, _ = hash_ngrams(batch, GRAM_WORDS)
        indices = np.minimum(np.searchsorted(own_grams_U, grams), len(own_grams_U) - 1)
        found_U[indices[own_grams_U[indices] == grams]] = True
    hits_G = found_U[np.searchsorted(own_grams_U, grams_G)]
    shares = np.add.reduceat(hits_G.astype(np.int64), boundaries[:-1]) / np.diff(boundaries)
    return np.flatnonzero(shares >= SHARED_FROM).tolist()


def _batch_texts(items: Iterable[Item], max_chars: int = 0) -> Iterator[list[str]]:
    """Yield the texts, of conversations without the system prompt, a million characters at a time."""
    batch: list[str] = []
    length = total = 0
    for item in items:
        turns = [turn for turn in item.meta.get("turns", ()) if turn.role != "system"]
        batch.append(render_conversation(turns) or str(item.value))
        length += len(batch[-1])
        total += len(batch[-1])
        if length > BATCH_CHARS:
            yield batch
            batch, length = [], 0
        if max_chars and total > max_chars:
            break
    if batch:
        yield batch
