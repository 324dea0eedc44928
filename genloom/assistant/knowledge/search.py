"""The search of an index: by words (BM25) and by meaning (vectors), fused by the ranks that both give.

Shape letters: N passages, D width.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genloom.assistant.knowledge.index import KnowledgeIndex, StoredPassage
from genloom.assistant.knowledge.sentences import list_tokens

Method = Literal["fused", "words", "vectors"]
NUM_CANDIDATES = 100  # of each ranking that are fused
# Reciprocal rank fusion: Cormack et al. 2009, "Reciprocal rank fusion outperforms Condorcet". Constant and weight are
# the best on every second question of bench/assistant_retrieval.py, of articles and of a handbook.
RANK_CONSTANT = 10.0
VECTORS_WEIGHT = 2.0
HEADING_WEIGHT = 1.5  # of words in headings
MAX_MATCHES = 20_000  # passages that BM25 scores at most, as long as there is a rarer word to search by
MAX_TOKENS = 64  # of a question

EmbedQuestion = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Hit:
    """A passage that a search found."""

    passage: StoredPassage
    score: float  # of the fused ranks
    similarity: float  # the cosine of its vector and the question's
    coverage: float  # the share of the question's words that it has, each weighted by its rarity


def search_passages(
    index: KnowledgeIndex, question: str, vector_D: np.ndarray | None, limit: int, method: Method = "fused"
) -> list[Hit]:
    """Return the passages that fit a question best, best first.

    Parameters
    ----------
    vector_D
        Embedding of the question. None: a search by words alone.
    """
    tokens = list(dict.fromkeys(list_tokens(question)))[:MAX_TOKENS]
    counts = index.count_matches(tokens)
    ids_N, vectors_ND = index.load_vectors()
    if not len(ids_N):
        return []
    similarities_N = None if vector_D is None else vectors_ND @ vector_D.astype(np.float32)
    rankings: list[tuple[float, list[int]]] = []
    if method != "vectors":
        chosen = choose_tokens(counts, MAX_MATCHES)
        ranked = index.rank_by_words(chosen, NUM_CANDIDATES, HEADING_WEIGHT)
        rankings.append((1.0, [id for id, _ in ranked]))
    if method != "words" and similarities_N is not None:
        nearest = ids_N[find_largest(similarities_N, NUM_CANDIDATES)].tolist()
        rankings.append((VECTORS_WEIGHT, nearest))
    scores = fuse_ranks(rankings)
    placed = index.select_placed(list(scores))
    best = sorted(placed, key=lambda id: (-scores[id], id))[:limit]
    rarities = compute_rarities(tokens, counts, len(ids_N))
    rows = np.searchsorted(ids_N, best)
    return [
        Hit(
            passage,
            scores[id],
            0.0 if similarities_N is None else float(similarities_N[row]),
            compute_coverage(rarities, f"{passage.heading}\n{passage.text}"),
        )
        for id, row, passage in zip(best, rows, index.get_passages(best), strict=True)
    ]


def choose_tokens(counts: Mapping[str, int], max_matches: int) -> list[str]:
    """Return the words to search by: from the rarest on, as long as they occur in few passages together."""
    chosen: list[str] = []
    total = 0
    for token, count in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        total += count
        if chosen and total > max_matches:
            break
        chosen.append(token)
    return chosen


def find_largest(values_N: np.ndarray, count: int) -> np.ndarray:
    """Return where the largest values are, the largest first; of equal ones the first."""
    if len(values_N) > count:
        candidates = np.argpartition(-values_N, count - 1)[:count]
    else:
        candidates = np.arange(len(values_N))
    return candidates[np.lexsort((candidates, -values_N[candidates]))]


def fuse_ranks(rankings: Sequence[tuple[float, Sequence[int]]]) -> dict[int, float]:
    """Return the score of each id in several rankings with weights: the sum of the reciprocals of its ranks."""
    scores: dict[int, float] = {}
    for weight, ranking in rankings:
        for rank, id in enumerate(ranking, start=1):
            scores[id] = scores.get(id, 0.0) + weight / (RANK_CONSTANT + rank)
    return scores


def compute_rarities(tokens: Sequence[str], counts: Mapping[str, int], num_passages: int) -> dict[str, float]:
    """Return the weight of each word: the logarithm of how rare it is (inverse document frequency)."""
    return {token: math.log(1 + (num_passages + 0.5) / (counts.get(token, 0) + 0.5)) for token in tokens}


def compute_coverage(rarities: Mapping[str, float], text: str) -> float:
    """Return the share of the words that a text has, weighted by their rarity; 0 without words."""
    total = sum(rarities.values())
    words = set(list_tokens(text))
    return sum(weight for token, weight in rarities.items() if token in words) / total if total else 0.0
