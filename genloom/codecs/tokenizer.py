"""Text as the tokens of a pretrained model: the tokenizer.json of that model, with the ids it was trained on."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from genloom.codecs.bpe import ALPHABET
from genloom.codecs.chat_template import ChatTemplate, load_chat_template, save_chat_template
from genloom.codecs.codec_json import read_table, write_config
from genloom.codecs.fill_tokens import FillTokens, find_fill_tokens
from genloom.codecs.text_tokens import ByteDecoding, TokenIds
from genloom.codecs.tokenizer_json import (
    BYTE_TOKEN,
    LARGEST_FILE,
    SPACE_MARK,
    build_tokenizer,
    encode_batch,
    list_steps,
    parse_tokenizer_json,
)
from genloom.errors import GenloomError
from genloom.settings import parse_settings
from genloom.text_format import fix_surrogates
from genloom.types import TokenSpace

_BATCH_SIZE = 256  # texts that are encoded in parallel
_CHUNK_CHARS = 1 << 16  # characters of a long text that are encoded at once
_WORD_END = re.compile(r"(?<=[a-zA-Z])(?= [a-zA-Z])")  # every byte-level tokenizer begins a word here


@dataclass(frozen=True)
class Config:
    """Properties of the model that tokenizer.json does not contain."""

    vocab_size: int = 0  # rows of the model's embedding, which may exceed the number of tokens; 0: equal
    context_length: int = 2048
    bos: int = 0  # the token before a document
    eos: int = 0  # the token after a document


@dataclass(frozen=True, eq=False)
class Codec(ByteDecoding):
    """A pretrained tokenizer: `decode(encode(text)) == text` for every text whose characters the vocabulary has."""

    config: Config
    tokenizer: Tokenizer
    chat_template: ChatTemplate | None = None

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """Raise ValueError: a pretrained vocabulary comes with its model."""
        raise GenloomError("codecs.tokenizer_is_pretrained")

    @classmethod
    def from_json(
        cls, tokenizer_json: str | bytes, config: Config, chat_template: ChatTemplate | None = None
    ) -> "Codec":
        """Build the codec of a tokenizer.json; ValueError says what in it is damaged or not supported."""
        codec = cls(config, build_tokenizer(parse_tokenizer_json(tokenizer_json)), chat_template)
        if config.vocab_size and len(codec._token_bytes) > config.vocab_size:
            raise GenloomError(
                "codecs.vocab_too_large", num_tokens=len(codec._token_bytes), vocab_size=config.vocab_size
            )
        if not (0 <= config.bos < codec.space.vocab_size and 0 <= config.eos < codec.space.vocab_size):
            raise GenloomError("codecs.boundary_token_outside_vocab")
        return codec

    @cached_property
    def space(self) -> TokenSpace:
        vocab = self.config.vocab_size or len(self._token_bytes)
        return TokenSpace(vocab, self.config.context_length, bos=self.config.bos, eos=self.config.eos)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens. No text encodes to them; they decode to nothing."""
        added_tokens = self.tokenizer.get_added_tokens_decoder()
        return {token.content: token_id for token_id, token in sorted(added_tokens.items()) if token.special}

    @cached_property
    def fill_tokens(self) -> FillTokens | None:
        """The tokens for filling in the middle; None: the vocabulary has none. Some models add them as plain tokens."""
        added_tokens = self.tokenizer.get_added_tokens_decoder()
        return find_fill_tokens({token.content: token_id for token_id, token in added_tokens.items()})

    def encode(self, value: str) -> np.ndarray:
        """Return the ids (L, uint16, or uint32 beyond 65,536 tokens) of a text, without BOS or EOS."""
        return next(self.encode_many([value]))

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the ids of each text, in order, computed on all cores."""
        texts = iter(values)
        while batch := list(islice(texts, _BATCH_SIZE)):
            chunked_texts = [list(self._split_text(fix_surrogates(text))) for text in batch]
            flat_chunks = [chunk for text in chunked_texts for chunk in text]
            encodings = iter(encode_batch(self.tokenizer, flat_chunks))
            for text in chunked_texts:
                ids = [self._drop_special_ids(chunk, np.array(next(encodings).ids, self._dtype)) for chunk in text]
                yield np.concatenate(ids) if ids else np.empty(0, self._dtype)

    def decode(self, x: TokenIds) -> str:
        """Return the text that begins with the ids; bytes that are not UTF-8 become U+FFFD."""
        text = self.decode_continuation(x)
        return text.removeprefix(" ") if self._has_space_prefix else text

    def decode_continuation(self, x: TokenIds) -> str:
        """Return the text of ids that follow others: a leading blank is part of the text."""
        return self.decode_bytes(x).decode(errors="replace")

    def save(self, folder: Path) -> None:
        write_config(folder, "tokenizer", self.config)
        (folder / "tokenizer.json").write_text(self.tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
        save_chat_template(self.chat_template, folder)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged."""
        config_table, path = read_table(folder / "codec.json", "tokenizer"), folder / "tokenizer.json"
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise GenloomError("codecs.file_too_large", limit_mb=LARGEST_FILE >> 20)
            codec = cls.from_json(path.read_bytes(), parse_settings(Config, config_table, "codec"))
        except (OSError, ValueError) as error:
            raise GenloomError("codecs.damaged_tokenizer", path=path, reason=str(error).removesuffix(".")) from None
        return cls(codec.config, codec.tokenizer, load_chat_template(folder, codec.special_tokens))

    @cached_property
    def content(self) -> dict:
        """The tokenizer as JSON data."""
        return json.loads(self.tokenizer.to_str())

    @cached_property
    def is_byte_level(self) -> bool:
        """Whether tokens are in the alphabet of bytes (GPT-2), not in characters (SentencePiece)."""
        return any(step["type"] == "ByteLevel" for step in list_steps(self.content, "pre_tokenizer"))

    @cached_property
    def _has_space_prefix(self) -> bool:
        """Whether encoding adds a blank before a text."""
        steps = [*list_steps(self.content, "normalizer"), *list_steps(self.content, "pre_tokenizer")]
        return any(
            step["type"] == "Prepend"
            or step.get("add_prefix_space")
            or step.get("prepend_scheme") in ("always", "first")
            for step in steps
        )

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        vocab = self.tokenizer.get_vocab(with_added_tokens=True)
        added_tokens = self.tokenizer.get_added_tokens_decoder()
        token_bytes = [b""] * (max(vocab.values()) + 1)
        for token, token_id in vocab.items():
            if token_id in added_tokens:
                token_bytes[token_id] = b"" if added_tokens[token_id].special else token.encode()
            elif self.is_byte_level:
                token_bytes[token_id] = b"".join([ALPHABET.get(c) or c.encode() for c in token])
            else:
                byte_match = BYTE_TOKEN.fullmatch(token)
                token_bytes[token_id] = (
                    bytes.fromhex(byte_match[1]) if byte_match else token.replace(SPACE_MARK, " ").encode()
                )
        return token_bytes

    @cached_property
    def _special_ids(self) -> np.ndarray:
        return np.array(sorted(self.special_tokens.values()), dtype=np.int64)

    def _drop_special_ids(self, text: str, ids: np.ndarray) -> np.ndarray:
        """Return the ids; if the merges themselves spell a special token, encode the text character by character."""
        if not np.isin(ids, self._special_ids).any():
            return ids
        char_ids = [np.array(self.tokenizer.encode(c, add_special_tokens=False).ids, self._dtype) for c in text]
        ids = np.concatenate(char_ids)
        return ids[~np.isin(ids, self._special_ids)]

    def _split_text(self, text: str) -> Iterator[str]:
        """Yield chunks that encode separately to the same ids."""
        start = 0
        while self.is_byte_level and not self._has_space_prefix and len(text) - start > _CHUNK_CHARS:
            match = _WORD_END.search(text, start + _CHUNK_CHARS)
            if match is None:
                break
            yield text[start : match.start()]
            start = match.start()
        if start < len(text):
            yield text[start:]

    @property
    def _dtype(self) -> type[np.unsignedinteger]:
        return np.uint16 if self.space.vocab_size <= 1 << 16 else np.uint32
