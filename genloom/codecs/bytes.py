"""Text as its UTF-8 bytes: 256 tokens plus the special tokens; needs no training, and can encode any text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from genloom.codecs.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from genloom.codecs.codec_json import read_config, write_text_config
from genloom.codecs.fill_tokens import FILL_TOKENS, FillTokens, find_fill_tokens
from genloom.codecs.text_tokens import SPECIAL_TOKENS, ByteDecoding
from genloom.text_format import fix_surrogates
from genloom.types import TokenSpace


@dataclass(frozen=True)
class Config:
    """Whether there are tokens for filling in the middle, which `fim_rate` of a job turns on."""

    has_fill_tokens: bool = False


@dataclass(frozen=True)
class Codec(ByteDecoding):
    """The UTF-8 codec: `decode(encode(text)) == text` for every Unicode text."""

    config: Config

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        return [bytes([byte]) for byte in range(256)]

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """Return the codec; bytes need no training, so `items` is not read."""
        return cls(config or Config())

    @property
    def space(self) -> TokenSpace:
        """The token space; its context length is 0, because the design sets it."""
        eos = self.special_tokens["<|stop|>"]
        return TokenSpace(256 + len(self.special_tokens), 0, bos=eos, eos=eos)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens. No text encodes to them; they decode to nothing."""
        names = SPECIAL_TOKENS + FILL_TOKENS if self.config.has_fill_tokens else SPECIAL_TOKENS
        return {name: 256 + n for n, name in enumerate(names)}

    @property
    def fill_tokens(self) -> FillTokens | None:
        """The tokens for filling in the middle; None: the codec has none."""
        return find_fill_tokens(self.special_tokens)

    @property
    def chat_template(self) -> ChatTemplate:
        """The format of a conversation."""
        return DEFAULT_CHAT_TEMPLATE

    def encode(self, value: str) -> np.ndarray:
        """Return the ids (L, uint16) of a text, without BOS or EOS; `<|user|>` in it is plain text."""
        return np.frombuffer(fix_surrogates(value).encode(), np.uint8).astype(np.uint16)

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the ids of each text, in order."""
        return map(self.encode, values)

    def save(self, folder: Path) -> None:
        write_text_config(folder, "bytes", self.config)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged."""
        return cls(read_config(folder / "codec.json", "bytes", Config))
