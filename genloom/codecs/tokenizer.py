"""Text as the symbols of a pretrained model: a tokenizer.json that came with it, with the ids it was trained on."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from genloom.codecs.bpe import ALPHABET
from genloom.codecs.roles import Roles, load_roles, save_roles
from genloom.codecs.settings import read_json
from genloom.codecs.symbols import Ids, Stream, mended
from genloom.codecs.tokenizer_json import BLANK, BYTE_SYMBOL, LARGEST_FILE, built, parsed, parts
from genloom.settings import made
from genloom.types import Tokens

_AT_ONCE = 256  # texts that are encoded side by side
_PIECE = 1 << 16  # characters of a long text that are encoded as one
_WORD_END = re.compile(r"(?<=[a-zA-Z])(?= [a-zA-Z])")  # where every byte-level tokenizer begins a new word


@dataclass(frozen=True)
class Config:
    """What a tokenizer.json does not say of its model."""

    vocab: int = 0  # rows of the model's tables, which may be more than there are symbols; 0: as many
    length: int = 2048
    start: int = 0  # the symbol before a document
    stop: int = 0  # the symbol after it


@dataclass(frozen=True, eq=False)
class Codec:
    """`decode(encode(text)) == text` for every text whose characters the vocabulary can write."""

    config: Config
    tokenizer: Tokenizer
    roles: Roles | None = None

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """A pretrained vocabulary is not learned: it comes with the model it belongs to."""
        raise ValueError(
            "The codec 'tokenizer' comes with an imported model: tune one with --from MODEL, "
            "or choose codec.name = bpe to learn a vocabulary."
        )

    @classmethod
    def of(cls, tokenizer_json: str | bytes, config: Config, roles: Roles | None = None) -> "Codec":
        """The codec of a tokenizer.json; ValueError says what in it is unknown, out of bounds or contradictory."""
        codec = cls(config, built(parsed(tokenizer_json)), roles)
        if config.vocab and len(codec._bytes) > config.vocab:
            raise ValueError(f"it has {len(codec._bytes):,} symbols, and its model knows {config.vocab:,}")
        if not (0 <= config.start < codec.space.vocab and 0 <= config.stop < codec.space.vocab):
            raise ValueError("the symbol that starts or ends a document lies outside of the vocabulary")
        return codec

    @cached_property
    def space(self) -> Tokens:
        vocab = self.config.vocab or len(self._bytes)
        return Tokens(vocab, self.config.length, start=self.config.start, stop=self.config.stop)

    @cached_property
    def specials(self) -> dict[str, int]:
        """The ids of the special symbols. No text encodes to them; they decode to nothing."""
        added = self.tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in sorted(added.items()) if token.special}

    def encode(self, value: str) -> np.ndarray:
        """The ids (L, uint16, or uint32 past 65,536 symbols) of a text, without start or stop."""
        return next(self.encode_many([value]))

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of each text, in order, on all cores."""
        texts = iter(values)
        while group := list(islice(texts, _AT_ONCE)):
            pieces = [list(self._pieces(mended(text))) for text in group]
            flat = [piece for text in pieces for piece in text]
            encoded = iter(self.tokenizer.encode_batch_fast(flat, add_special_tokens=False))
            for text in pieces:
                ids = [self._without_specials(piece, np.array(next(encoded).ids, self._dtype)) for piece in text]
                yield np.concatenate(ids) if ids else np.empty(0, self._dtype)

    def bytes_of(self, ids: Ids) -> bytes:
        """The exact bytes the ids stand for; special symbols stand for none."""
        table, ids_L = self._bytes, np.asarray(ids)
        if not len(ids_L):
            return b""
        assert 0 <= ids_L.min() <= ids_L.max() < self.space.vocab, "ids outside the vocabulary"
        return b"".join([table[i] for i in ids_L[ids_L < len(table)].tolist()])

    def decode(self, x: Ids) -> str:
        """The text of the ids, which begin it; bytes that are not UTF-8, which a model may write, become U+FFFD."""
        text = self.after(x)
        return text.removeprefix(" ") if self._prepends else text

    def after(self, x: Ids) -> str:
        """The text of ids that follow others: a blank before it is one that was written."""
        return self.bytes_of(x).decode(errors="replace")

    def stream(self) -> Stream:
        """A decoder for ids that come one after the other."""
        return Stream(self.bytes_of)

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "codec.json").write_text(json.dumps({"codec": "tokenizer", **asdict(self.config)}) + "\n")
        (folder / "tokenizer.json").write_text(self.tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
        save_roles(self.roles, folder)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """The codec as saved; ValueError names the file that is missing or damaged."""
        settings, path = read_json(folder / "codec.json"), folder / "tokenizer.json"
        if settings.pop("codec", None) != "tokenizer":
            raise ValueError(f"{folder / 'codec.json'} is not for the codec 'tokenizer'. Import the model again.")
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise ValueError(f"it holds more than {LARGEST_FILE >> 20} MB")
            codec = cls.of(path.read_bytes(), made(Config, settings, "codec"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} can't be used: {error}. Import the model again.") from None
        return cls(codec.config, codec.tokenizer, load_roles(folder, codec.specials))

    @cached_property
    def content(self) -> dict:
        """The tokenizer as the JSON it was made of."""
        return json.loads(self.tokenizer.to_str())

    @cached_property
    def byte_level(self) -> bool:
        """Whether symbols are written in the alphabet of bytes (GPT-2), and not in characters (SentencePiece)."""
        return any(step["type"] == "ByteLevel" for step in parts(self.content, "pre_tokenizer"))

    @cached_property
    def _prepends(self) -> bool:
        """Whether a blank is written before a text."""
        steps = [*parts(self.content, "normalizer"), *parts(self.content, "pre_tokenizer")]
        return any(
            step["type"] == "Prepend"
            or step.get("add_prefix_space")
            or step.get("prepend_scheme") in ("always", "first")
            for step in steps
        )

    @cached_property
    def _bytes(self) -> list[bytes]:
        vocab = self.tokenizer.get_vocab(with_added_tokens=True)
        added = self.tokenizer.get_added_tokens_decoder()
        table = [b""] * (max(vocab.values()) + 1)
        for symbol, number in vocab.items():
            if number in added:
                table[number] = b"" if added[number].special else symbol.encode()
            elif self.byte_level:
                table[number] = b"".join([ALPHABET.get(c) or c.encode() for c in symbol])
            else:
                byte = BYTE_SYMBOL.fullmatch(symbol)
                table[number] = bytes.fromhex(byte[1]) if byte else symbol.replace(BLANK, " ").encode()
        return table

    @cached_property
    def _special_ids(self) -> np.ndarray:
        return np.array(sorted(self.specials.values()), dtype=np.int64)

    def _without_specials(self, text: str, ids: np.ndarray) -> np.ndarray:
        """The ids, or, where the vocabulary itself spells a special symbol, those of the text letter by letter."""
        if not np.isin(ids, self._special_ids).any():
            return ids
        letters = [np.array(self.tokenizer.encode(c, add_special_tokens=False).ids, self._dtype) for c in text]
        ids = np.concatenate(letters)
        return ids[~np.isin(ids, self._special_ids)]

    def _pieces(self, text: str) -> Iterator[str]:
        """The text in pieces that are encoded apart to the same ids."""
        start = 0
        while self.byte_level and not self._prepends and len(text) - start > _PIECE:
            cut = _WORD_END.search(text, start + _PIECE)
            if cut is None:
                break
            yield text[start : cut.start()]
            start = cut.start()
        if start < len(text):
            yield text[start:]

    @property
    def _dtype(self) -> type[np.unsignedinteger]:
        return np.uint16 if self.space.vocab <= 1 << 16 else np.uint32
