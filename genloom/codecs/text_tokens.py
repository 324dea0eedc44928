"""Shared parts of the text codecs: special tokens, valid Unicode, and incremental decoding."""

import codecs
from collections.abc import Callable, Sequence

import numpy as np

from genloom.types import TokenSpace

# In the order of their ids, which follow those of the text. `<|stop|>` also begins a document.
SPECIAL_TOKENS = ("<|stop|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")

TokenIds = Sequence[int] | np.ndarray


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


class ByteDecoding:
    """The decoding of a text codec, by the bytes of each token."""

    @property
    def space(self) -> TokenSpace:
        raise NotImplementedError

    @property
    def _token_bytes(self) -> Sequence[bytes]:
        """The bytes of each id; the ids of special tokens, which decode to nothing, may follow."""
        raise NotImplementedError

    def decode_bytes(self, ids: TokenIds) -> bytes:
        """Return the exact bytes of the ids; special tokens decode to nothing."""
        token_bytes, ids_L = self._token_bytes, np.asarray(ids)
        if not len(ids_L):
            return b""
        assert 0 <= ids_L.min() <= ids_L.max() < self.space.vocab_size, "ids outside the vocabulary"
        return b"".join([token_bytes[i] for i in ids_L[ids_L < len(token_bytes)].tolist()])

    def decode(self, x: TokenIds) -> str:
        """Return the text of the ids; bytes that are not UTF-8, which a model may generate, become U+FFFD."""
        return self.decode_bytes(x).decode(errors="replace")

    def decode_stream(self) -> DecodeStream:
        """Return an incremental decoder."""
        return DecodeStream(self.decode_bytes)
