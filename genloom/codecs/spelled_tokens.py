"""A vocabulary of the tokens of a notation, fitted to data; others are spelled in characters, so that none is lost."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genloom.codecs.codec_json import damaged_error
from genloom.errors import GenloomError, format_message

SPECIAL_TOKENS = ("<end>", "<prefix>", "<suffix>", "<middle>")
END, PREFIX, SUFFIX, MIDDLE = range(len(SPECIAL_TOKENS))
CHARACTERS = tuple(map(chr, range(33, 127)))
FIRST_TOKEN = len(SPECIAL_TOKENS) + len(CHARACTERS)  # the ids before it are special tokens and characters
CHARACTER_IDS = {character: len(SPECIAL_TOKENS) + index for index, character in enumerate(CHARACTERS)}
MAX_TOKENS, MAX_TOKEN_CHARS = 1024, 24  # of a vocabulary; characters of a token
SplitTokens = Callable[[str], list[str]]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens with an id of their own, most frequent first."""

    tokens: tuple[str, ...]

    @staticmethod
    def fit(texts: Iterable[str], split: SplitTokens, others: Iterable[str]) -> "Vocabulary":
        """Return the tokens of texts, and these others."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split(text))
        tokens = dict.fromkeys([*sorted(counts, key=lambda token: (-counts[token], token)), *others])
        return Vocabulary(tuple(token for token in tokens if is_token(token, split))[:MAX_TOKENS])

    @property
    def size(self) -> int:
        """The number of ids, those of special tokens and characters included."""
        return FIRST_TOKEN + len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, list[int]]:
        """The ids of each token, a list of one."""
        return {token: [FIRST_TOKEN + index] for index, token in enumerate(self.tokens)}

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of every id; those of special tokens are empty."""
        return ("",) * len(SPECIAL_TOKENS) + CHARACTERS + self.tokens

    def encode(self, tokens: Sequence[str]) -> np.ndarray:
        """Return the ids of tokens. GenloomError for a character that is not printable ASCII."""
        ids, known = [], self.ids
        for token in tokens:
            ids += known.get(token) or spell_token(token)
        return np.array(ids, np.int64)

    def decode_parts(self, x: Sequence[int] | np.ndarray) -> tuple[str, str, str]:
        """Return the text before a gap, after it and in it, up to END; without a gap, all of it is the first."""
        texts, parts, part = self.texts, ["", "", ""], 0
        for token in map(int, x):
            if token == END:
                break
            if PREFIX <= token <= MIDDLE:
                part = token - PREFIX
            elif 0 <= token < len(texts):
                parts[part] += texts[token]
        prefix, suffix, middle = parts
        return prefix, suffix, middle


def is_token(text: str, split: SplitTokens) -> bool:
    """Return whether a text is one token, of printable characters."""
    return len(text) <= MAX_TOKEN_CHARS and split(text) == [text] and all(map(CHARACTER_IDS.get, text))


def spell_token(token: str) -> list[int]:
    """Return the ids of the characters of a token."""
    ids = [CHARACTER_IDS.get(character, -1) for character in token]
    if -1 in ids:
        raise GenloomError("codecs.not_smiles", character=token[ids.index(-1)])
    return ids


def read_vocabulary(
    path: Path, content: Mapping[str, Any], split: SplitTokens, other_keys: Sequence[str] = (), is_valid: bool = True
) -> tuple[tuple[str, ...], int]:
    """Return the tokens and the context length of a stored codec, whose `other_keys` are valid or not.

    GenloomError for other keys, or values that cannot be used.
    """
    keys = ("tokens", "context_length", *other_keys)
    tokens, length = content.get("tokens"), content.get("context_length")
    is_valid = (
        is_valid
        and set(content) == {*keys}
        and isinstance(tokens, list)
        and all(isinstance(token, str) and is_token(token, split) for token in tokens)
        and len(set(tokens)) == len(tokens) <= MAX_TOKENS
        and type(length) is int
        and 8 <= length <= 1 << 16
    )
    if not is_valid or not isinstance(tokens, list) or not isinstance(length, int):
        raise damaged_error(path, format_message("codecs.wrong_codec_keys", keys=", ".join(("codec", *keys))))
    return tuple(tokens), length
