"""What the text codecs share: the special tokens, clean Unicode, and text that streams."""

import codecs
from collections.abc import Callable, Sequence

import numpy as np

# In the order of their ids, which follow those of the text. `<|stop|>` also starts a document.
SPECIAL_TOKENS = ("<|stop|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")

TokenIds = Sequence[int] | np.ndarray


def fix_surrogates(text: str) -> str:
    """The text with surrogate pairs joined and single surrogates, which are no characters, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class DecodeStream:
    """Turns ids into text as they come, holding back the bytes of a character until it is whole.

    What `feed` and at last `end` return is, joined, the same as decoding all ids at once.
    """

    def __init__(self, decode_bytes: Callable[[TokenIds], bytes]) -> None:
        self._decode_bytes = decode_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: TokenIds) -> str:
        """The text that is final with these ids; often empty, never a part of a character."""
        return self._decoder.decode(self._decode_bytes(ids))

    def finish(self) -> str:
        """What is left: a character that stayed incomplete becomes U+FFFD."""
        return self._decoder.decode(b"", final=True)
