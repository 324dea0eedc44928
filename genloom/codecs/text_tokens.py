"""Shared parts of the text codecs: special tokens, valid Unicode, and incremental decoding."""

import codecs
from collections.abc import Callable, Sequence

import numpy as np

# In the order of their ids, which follow those of the text. `<|stop|>` also begins a document.
SPECIAL_TOKENS = ("<|stop|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")

TokenIds = Sequence[int] | np.ndarray


def fix_surrogates(text: str) -> str:
    """Join surrogate pairs, and replace lone surrogates, which are not characters, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class DecodeStream:
    """An incremental decoder of token ids, which holds back the bytes of a character until it is complete.

    The concatenation of everything that `feed` and finally `finish` return equals decoding all ids at once.
    """

    def __init__(self, decode_bytes: Callable[[TokenIds], bytes]) -> None:
        self._decode_bytes = decode_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: TokenIds) -> str:
        """Return the text that these ids complete; often empty, never a part of a character."""
        return self._decoder.decode(self._decode_bytes(ids))

    def finish(self) -> str:
        """Return the rest: an incomplete character becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)
