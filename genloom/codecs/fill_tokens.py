"""Filling in the middle: the sentinel tokens of a codec, and a text in the order in which a model fills its gap.

The prefix, the suffix and the middle of a text stand after a token each (Bavarian et al. 2022), in one of two orders:

    PSM: <prefix> prefix <suffix> suffix <middle> middle
    SPM: <prefix> <suffix> suffix <middle> prefix middle
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FILL_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")  # of the codecs that are trained here
# Prefix, suffix and middle in the vocabularies of pretrained models.
FAMILIES = (
    FILL_TOKENS,  # Qwen, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # CodeLlama
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek-Coder
)
END_TOKENS = ("▁<EOT>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>")  # further tokens that end a middle


@dataclass(frozen=True)
class FillTokens:
    """The ids of the sentinel tokens, and those that end a middle besides the codec's own EOS."""

    prefix: int
    suffix: int
    middle: int
    ends: tuple[int, ...] = ()
    names: tuple[str, ...] = ()  # in text they must not become the tokens

    @property
    def ids(self) -> tuple[int, int, int]:
        return self.prefix, self.suffix, self.middle


def find_fill_tokens(ids_by_name: Mapping[str, int]) -> FillTokens | None:
    """Return the sentinel tokens of a vocabulary; None if it has no family of them in full."""
    for names in FAMILIES:
        if all(name in ids_by_name for name in names):
            ids = [ids_by_name[name] for name in names]
            further = [ids_by_name[name] for name in END_TOKENS if name in ids_by_name]
            return FillTokens(*ids, ends=(*ids, *further), names=names)
    return None


def encode_part(codec: Any, text: str, tokens: FillTokens) -> np.ndarray:
    """Return the ids (L, int64) of a part of a text; the name of a sentinel in it is plain text."""
    ids = np.asarray(codec.encode(text), np.int64) if text else np.zeros(0, np.int64)
    if not np.isin(ids, tokens.ids).any():
        return ids
    pieces = [text]
    for name in tokens.names:
        pieces = [part for piece in pieces for part in _split_name(piece, name)]
    return np.concatenate([np.asarray(codec.encode(piece), np.int64) for piece in pieces if piece])


def _split_name(text: str, name: str) -> list[str]:
    """Split a text inside each occurrence of a name, so that no piece has all of it."""
    first, *others = text.split(name)
    pieces = [first]
    for other in others:
        pieces[-1] += name[:2]
        pieces.append(name[2:] + other)
    return pieces


def encode_gap(codec: Any, tokens: FillTokens, prefix: str, suffix: str, is_spm: bool = False) -> np.ndarray:
    """Return the ids (L, int64) after which a model writes the middle, without BOS."""
    before, after = encode_part(codec, prefix, tokens), encode_part(codec, suffix, tokens)
    if is_spm:
        return np.concatenate([[tokens.prefix, tokens.suffix], after, [tokens.middle], before])
    return np.concatenate([[tokens.prefix], before, [tokens.suffix], after, [tokens.middle]])


def encode_filled(
    codec: Any, tokens: FillTokens, prefix: str, middle: str, suffix: str, is_spm: bool = False
) -> np.ndarray:
    """Return the ids (L, int64) of a text with its middle last, as a model is trained on it; without BOS and EOS."""
    gap = encode_gap(codec, tokens, prefix, suffix, is_spm)
    return np.concatenate([gap, encode_part(codec, middle, tokens)])
