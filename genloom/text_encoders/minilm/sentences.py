"""Embeddings of sentences and passages by MiniLM: one vector of norm 1 for each text, as sentence-transformers gives.

The weights that come with Genloom are quantised to 8 bits; those of the published model, in a folder, give the vectors
of the package sentence-transformers.

Shape letters: N texts, B batch, L length, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genloom.text_encoders.minilm import _CLS_ID, _SEP_ID, MiniLM
from genloom.text_encoders.minilm import Config as PromptConfig
from genloom.text_format import fix_surrogates

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from genloom.text_encoders.minilm.bert import Bert

WIDTH = 384
MAX_SENTENCE_PIECES = 254  # that the published model reads, beside [CLS] and [SEP]
_BATCH_PIECES = 8192  # of a batch, with its padding
_CHARS_PER_PIECE = 40  # of which no text has more: what is behind them is not read


@dataclass(frozen=True)
class SentenceEncoder:
    """MiniLM with the mean of its last hidden states as the embedding of a text.

    Reimers and Gurevych 2019, "Sentence-BERT: sentence embeddings using siamese BERT-networks".
    """

    weights: Path | None = None  # the published model.safetensors; None: those that come with Genloom

    @property
    def name(self) -> str:
        """The name of the weights: indexes of different ones are not compared."""
        return "minilm-int8" if self.weights is None else "minilm-float32"

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        return MiniLM(PromptConfig()).tokenizer

    @cached_property
    def network(self) -> "Bert":
        from genloom.text_encoders.minilm import WEIGHTS_FOLDER, bert

        if self.weights is None:
            return bert.load_long(WEIGHTS_FOLDER)
        return bert.load_published(self.weights)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of the word pieces of each text, with [CLS] and [SEP]; the end of a long one is cut off."""
        limit = MAX_SENTENCE_PIECES * _CHARS_PER_PIECE
        cut = [fix_surrogates(text[:limit]) for text in texts]
        encodings = self.tokenizer.encode_batch_fast(cut, add_special_tokens=False)
        return [[_CLS_ID, *encoding.ids[:MAX_SENTENCE_PIECES], _SEP_ID] for encoding in encodings]

    def embed(self, texts: Sequence[str], report: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the embeddings, N D float32 of norm 1; `report` gets the number of texts that were embedded.

        Texts of about equal length are batched. The vector of a text does not depend on the others beyond rounding.
        """
        ids = self.tokenize(texts)
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
        vectors_ND = np.zeros((len(ids), WIDTH), np.float32)
        done = start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and len(ids[order[end]]) * (end + 1 - start) <= _BATCH_PIECES:
                end += 1
            rows = order[start:end]
            vectors_ND[rows] = self._embed_batch([ids[row] for row in rows])
            done, start = done + len(rows), end
            if report is not None:
                report(done)
        return vectors_ND

    def _embed_batch(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the vectors of a batch, B D."""
        import torch
        from torch.nn.functional import normalize

        lengths = [len(row) for row in ids]
        ids_BL = torch.zeros(len(ids), max(lengths), dtype=torch.long)
        mask_BL = torch.zeros(ids_BL.shape, dtype=torch.bool)
        for n, row in enumerate(ids):
            ids_BL[n, : len(row)] = torch.tensor(row)
            mask_BL[n, : len(row)] = True
        states_BLD = self.network(ids_BL, None if min(lengths) == max(lengths) else mask_BL)
        weights_BL1 = mask_BL[..., None].float()
        mean_BD = (states_BLD * weights_BL1).sum(1) / weights_BL1.sum(1)
        return normalize(mean_BD, dim=1).numpy()


@cache
def load_sentence_encoder(weights: Path | None = None) -> SentenceEncoder:
    """Return the encoder with these weights; the same ones are loaded once."""
    return SentenceEncoder(weights)


def embed_texts(
    texts: Sequence[str], weights: Path | None = None, report: Callable[[int], None] | None = None
) -> np.ndarray:
    """Return the embeddings of texts by MiniLM, N D float32 of norm 1.

    Parameters
    ----------
    texts
        Sentences or passages; what follows the first 254 word pieces (about 190 English words) is not read.
    weights
        File of the published weights (model.safetensors). None: those that come with Genloom, in 8 bits.
    report
        Function that gets the number of texts embedded so far.
    """
    return load_sentence_encoder(weights).embed(texts, report)
