"""Text states of MiniLM, a small sentence encoder whose weights come with Genloom, rounded to 8 bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from genloom.text_encoders.minilm.bert import Bert

WEIGHTS = Path(__file__).parent
LONGEST = 62  # pieces; with the two symbols around them as many as there are positions
_AT_ONCE = 1024  # pieces in a batch
_BEGIN, _END = 101, 102  # [CLS] and [SEP]


@dataclass(frozen=True)
class Config:
    length: int = 24  # pieces of words of a prompt at most; what comes after them is not read

    def __post_init__(self) -> None:
        if not 1 <= self.length <= LONGEST:
            raise ValueError(f"minilm reads 1 to {LONGEST} pieces of words of a prompt, got length {self.length}.")


def build(config: Config) -> "MiniLM":
    return MiniLM(config)


@dataclass(frozen=True)
class MiniLM:
    """Last hidden states of the pieces of words, 384 wide; weights are read when the first prompt is.

    Wang et al. 2020, "MiniLM: deep self-attention distillation"; tuned on pairs of sentences as all-MiniLM-L6-v2.
    """

    config: Config
    width = 384

    def states(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(S, 384) float32 of root mean square 1 for every text, S up to `config.length`, and 0 for one without words.

        A text is read once, however often it is there, in a batch of others of its length; equal ones share an array.
        """
        different = list(dict.fromkeys(texts))
        encodings = self.tokenizer.encode_batch_fast(different, add_special_tokens=False)
        pieces = {text: tuple(e.ids[: self.config.length]) for text, e in zip(different, encodings, strict=True)}
        found: dict[tuple[int, ...], np.ndarray] = {(): np.zeros((0, self.width), np.float32)}
        for length, alike in groupby(sorted(set(pieces.values()) - {()}, key=len), len):
            for batch in batches(list(alike), max(1, _AT_ONCE // (length + 2))):
                found |= zip(batch, self.read(batch), strict=True)
        return [found[pieces[text]] for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in the text the piece of each of its states begins and ends."""
        return self.tokenizer.encode(text, add_special_tokens=False).offsets[: self.config.length]

    def read(self, pieces: Sequence[tuple[int, ...]]) -> np.ndarray:
        """States of texts of one length, given as ids, (B, S, 384)."""
        import torch

        states_BSD = self.network(torch.tensor([(_BEGIN, *ids, _END) for ids in pieces]))[:, 1:-1].numpy()
        return states_BSD / np.sqrt(np.mean(states_BSD**2, -1, keepdims=True))

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        words = (WEIGHTS / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
        tokenizer = Tokenizer(WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
        return tokenizer

    @cached_property
    def network(self) -> "Bert":
        from genloom.text_encoders.minilm.bert import load

        return load(WEIGHTS)


def batches(values: list[tuple[int, ...]], most: int) -> Iterator[list[tuple[int, ...]]]:
    return (values[first : first + most] for first in range(0, len(values), most))
