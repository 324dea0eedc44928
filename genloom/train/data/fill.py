"""Filling in the middle as a transform of training documents: some are read with their middle last.

The documents are rearranged before they are packed, cut by characters (Bavarian et al. 2022). A document that is longer
than half a context is cut at line ends first, so that most gaps are in one context with both of their sides.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from genloom import plugins
from genloom.capabilities import get_fill_tokens
from genloom.codecs.fill_tokens import FillTokens, encode_filled
from genloom.errors import GenloomError
from genloom.model import Design
from genloom.settings import to_plain
from genloom.types import Codec, TokenSpace

FLAG = "has_fill_tokens"  # the setting of a codec that adds the tokens


@dataclass(frozen=True)
class FillConfig:
    """The share of documents, or of their pieces, that are rearranged; and the share of those in the order SPM."""

    rate: float = 0.0
    spm: float = 0.5
    seed: int = 0

    def __bool__(self) -> bool:
        return self.rate > 0


NO_FILL = FillConfig()


@dataclass(frozen=True)
class FillEncoder:
    """Encodes documents, some of them with their middle last."""

    codec: Codec
    tokens: FillTokens
    config: FillConfig
    max_tokens: int  # of a piece

    def __call__(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the token ids of the documents, without BOS and EOS: several of a long one."""
        rng = np.random.default_rng([self.config.seed, 0x66696D])
        for text in texts:
            yield from self.encode_document(text, rng)

    def encode_document(self, text: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield the token ids of a document, or of its pieces: neighbours that are not rearranged stay together."""
        ids = np.asarray(self.codec.encode(text), np.int64)
        pieces = split_lines(text, -(-len(ids) // self.max_tokens))
        is_filled = rng.random(len(pieces)) < self.config.rate
        if not is_filled.any():
            yield ids
            return
        for chosen, group in groupby(zip(is_filled.tolist(), pieces, strict=True), key=lambda pair: pair[0]):
            texts = [piece for _, piece in group]
            if chosen:
                yield from (self.encode_task(piece, rng) for piece in texts)
            else:
                yield np.asarray(self.codec.encode("".join(texts)), np.int64)

    def encode_task(self, text: str, rng: np.random.Generator) -> np.ndarray:
        """Return the token ids of a text whose middle, between two random characters, comes last."""
        begin, end = sorted(rng.integers(len(text) + 1, size=2).tolist())
        is_spm = bool(rng.random() < self.config.spm)
        return encode_filled(self.codec, self.tokens, text[:begin], text[begin:end], text[end:], is_spm)


def split_lines(text: str, count: int) -> list[str]:
    """Split a text at line ends into about `count` pieces of about one length; a long line is not split."""
    pieces, start = [], 0
    for number in range(1, count):
        end = text.rfind("\n", start, len(text) * number // count) + 1
        if end > start:
            pieces.append(text[start:end])
            start = end
    return [*pieces, text[start:]]


def build_fill_encoder(codec: Codec, config: FillConfig, context_length: int) -> FillEncoder:
    """Return the encoder; raise GenloomError (train.no_fill_tokens) for a codec without the tokens."""
    tokens = get_fill_tokens(codec)
    if tokens is None or not isinstance(codec.space, TokenSpace):
        name = type(codec).__module__.rpartition(".")[2]
        raise GenloomError("train.no_fill_tokens", rate=config.rate, codec=name)
    return FillEncoder(codec, tokens, config, max(context_length // 2, 8))


def add_fill_tokens(design: Design, rate: float) -> Design:
    """Return the design of a new model with the tokens in its codec, if documents are rearranged and it can have them.

    A codec that is told not to have them has none.
    """
    fields = getattr(plugins.find_part("codec", design.codec).Config, "__dataclass_fields__", {})
    if not rate or FLAG not in fields or FLAG in design.codec_settings:
        return design
    return replace(design, codec_settings={**to_plain(design.codec_settings), FLAG: True})
