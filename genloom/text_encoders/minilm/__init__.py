"""The text encoder MiniLM, a small sentence encoder whose weights come with Genloom, quantised to 8 bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genloom.errors import GenloomError
from genloom.text_format import fix_surrogates

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from genloom.text_encoders.minilm.bert import Bert

WEIGHTS_FOLDER = Path(__file__).parent
MAX_PIECES = 62  # the number of positions less [CLS] and [SEP]
_BATCH_PIECES = 1024
_CLS_ID, _SEP_ID = 101, 102  # [CLS] and [SEP]


@dataclass(frozen=True)
class Config:
    max_length: int = 24  # word pieces; longer prompts are truncated

    def __post_init__(self) -> None:
        if not 1 <= self.max_length <= MAX_PIECES:
            raise GenloomError("text_encoders.bad_minilm_length", limit=MAX_PIECES, value=self.max_length)


def build(config: Config) -> "MiniLM":
    return MiniLM(config)


@dataclass(frozen=True)
class MiniLM:
    """Last hidden states of word pieces, 384 wide; the weights are loaded with the first prompt.

    Wang et al. 2020, "MiniLM: deep self-attention distillation"; fine-tuned on sentence pairs as all-MiniLM-L6-v2.
    """

    config: Config
    width = 384

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return (S, 384) float32 of root mean square 1 for every text; S is at most `max_length`, 0 without words.

        Each distinct text is encoded once, batched with others of its length; equal texts share an array.
        """
        unique_texts = list(dict.fromkeys(texts))
        encodings = self.tokenizer.encode_batch_fast(list(map(fix_surrogates, unique_texts)), add_special_tokens=False)
        pieces = {text: tuple(e.ids[: self.config.max_length]) for text, e in zip(unique_texts, encodings, strict=True)}
        states_by_pieces: dict[tuple[int, ...], np.ndarray] = {(): np.zeros((0, self.width), np.float32)}
        for length, same_length in groupby(sorted(set(pieces.values()) - {()}, key=len), len):
            for batch in iter_batches(list(same_length), max(1, _BATCH_PIECES // (length + 2))):
                states_by_pieces |= zip(batch, self.encode_pieces(batch), strict=True)
        return [states_by_pieces[pieces[text]] for text in texts]

    def compute_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the begin and end in the text of the word piece of each state."""
        return self.tokenizer.encode(fix_surrogates(text), add_special_tokens=False).offsets[: self.config.max_length]

    def encode_pieces(self, pieces: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Encode texts of equal length, given as ids, to states (B, S, 384)."""
        import torch

        states_BSD = self.network(torch.tensor([(_CLS_ID, *ids, _SEP_ID) for ids in pieces]))[:, 1:-1].numpy()
        return states_BSD / np.sqrt(np.mean(states_BSD**2, -1, keepdims=True))

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        vocab = (WEIGHTS_FOLDER / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
        tokenizer = Tokenizer(WordPiece({word: n for n, word in enumerate(vocab)}, unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
        return tokenizer

    @cached_property
    def network(self) -> "Bert":
        from genloom.text_encoders.minilm.bert import load

        return load(WEIGHTS_FOLDER)


def iter_batches(values: list[tuple[int, ...]], batch_size: int) -> Iterator[list[tuple[int, ...]]]:
    return (values[first : first + batch_size] for first in range(0, len(values), batch_size))
