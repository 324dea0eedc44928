"""Text as its UTF-8 bytes: 256 symbols and the special ones, nothing to learn, nothing it can't write."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genloom.codecs.roles import PLAIN, Roles
from genloom.codecs.settings import read_settings
from genloom.codecs.symbols import SPECIALS, Ids, Stream, mended
from genloom.types import Tokens


@dataclass(frozen=True)
class Config:
    """How far a network reads; the plan of a run may set another length."""

    length: int = 512


@dataclass(frozen=True)
class Codec:
    """`decode(encode(text)) == text` for every Unicode text."""

    config: Config

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """The codec; bytes need no learning, so `items` is not read."""
        return cls(config)

    @property
    def space(self) -> Tokens:
        stop = self.specials["<|stop|>"]
        return Tokens(256 + len(SPECIALS), self.config.length, start=stop, stop=stop)

    @property
    def specials(self) -> dict[str, int]:
        """The ids of the special tokens. No text encodes to them; they decode to nothing."""
        return {name: 256 + n for n, name in enumerate(SPECIALS)}

    @property
    def roles(self) -> Roles:
        """How a conversation is written."""
        return PLAIN

    def encode(self, value: str) -> np.ndarray:
        """The ids (L, uint16) of a text, without start or stop. `<|user|>` in it is eight characters, no role."""
        return np.frombuffer(mended(value).encode(), np.uint8).astype(np.uint16)

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of each text, in order."""
        return map(self.encode, values)

    def bytes_of(self, ids: Ids) -> bytes:
        """The exact bytes the ids stand for; special tokens stand for none."""
        ids_L = np.asarray(ids)
        if not len(ids_L):
            return b""
        assert 0 <= ids_L.min() <= ids_L.max() < self.space.vocab, "ids outside the vocabulary"
        return ids_L[ids_L < 256].astype(np.uint8).tobytes()

    def decode(self, x: Ids) -> str:
        """The text of the ids; bytes that are not UTF-8, which a model may write, become U+FFFD."""
        return self.bytes_of(x).decode(errors="replace")

    def stream(self) -> Stream:
        """A decoder for ids that come one after the other."""
        return Stream(self.bytes_of)

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "codec.json").write_text(json.dumps({"codec": "bytes", **asdict(self.config)}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        return cls(read_settings(folder / "codec.json", "bytes", Config))
