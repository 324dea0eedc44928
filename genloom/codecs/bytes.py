"""Text as its UTF-8 bytes: 256 symbols and the special ones, nothing to learn, nothing it can't write."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genloom.codecs.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from genloom.codecs.codec_json import read_config
from genloom.codecs.text_tokens import SPECIAL_TOKENS, DecodeStream, TokenIds, fix_surrogates
from genloom.types import TokenSpace


@dataclass(frozen=True)
class Config:
    """How far a network reads; the plan of a run may set another length."""

    context_length: int = 512


@dataclass(frozen=True)
class Codec:
    """`decode(encode(text)) == text` for every Unicode text."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """The codec; bytes need no learning, so `items` is not read."""
        return cls(config)

    @property
    def space(self) -> TokenSpace:
        eos = self.special_tokens["<|stop|>"]
        return TokenSpace(256 + len(SPECIAL_TOKENS), self.config.context_length, bos=eos, eos=eos)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens. No text encodes to them; they decode to nothing."""
        return {name: 256 + n for n, name in enumerate(SPECIAL_TOKENS)}

    @property
    def chat_template(self) -> ChatTemplate:
        """How a conversation is written."""
        return DEFAULT_CHAT_TEMPLATE

    def encode(self, value: str) -> np.ndarray:
        """The ids (L, uint16) of a text, without start or stop. `<|user|>` in it is eight characters, no role."""
        return np.frombuffer(fix_surrogates(value).encode(), np.uint8).astype(np.uint16)

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of each text, in order."""
        return map(self.encode, values)

    def decode_bytes(self, ids: TokenIds) -> bytes:
        """The exact bytes the ids stand for; special tokens stand for none."""
        ids_L = np.asarray(ids)
        if not len(ids_L):
            return b""
        assert 0 <= ids_L.min() <= ids_L.max() < self.space.vocab_size, "ids outside the vocabulary"
        return ids_L[ids_L < 256].astype(np.uint8).tobytes()

    def decode(self, x: TokenIds) -> str:
        """The text of the ids; bytes that are not UTF-8, which a model may write, become U+FFFD."""
        return self.decode_bytes(x).decode(errors="replace")

    def decode_stream(self) -> DecodeStream:
        """A decoder for ids that come one after the other."""
        return DecodeStream(self.decode_bytes)

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "codec.json").write_text(json.dumps({"codec": "bytes", **asdict(self.config)}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        return cls(read_config(folder / "codec.json", "bytes", Config))
