"""Text as byte pairs: a vocabulary learned from the corpus (byte-level BPE), which can encode any text exactly."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import log2
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genloom.codecs.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from genloom.codecs.codec_json import damaged_error, read_config, write_text_config
from genloom.codecs.fill_tokens import FILL_TOKENS, FillTokens, find_fill_tokens
from genloom.codecs.text_tokens import SPECIAL_TOKENS, ByteDecoding
from genloom.errors import GenloomError
from genloom.text_format import fix_surrogates
from genloom.types import TokenSpace

_CHUNK_CHARS = 1 << 16  # characters of a long text that are encoded at once
_LONGEST_WORD = 1 << 20  # characters without a blank before a text is cut inside a word
_BATCH_SIZE = 256  # texts that are encoded in parallel
_LARGEST_FILE = 64 << 20
_WORD_END = re.compile(r"(?<=\S)(?=[ \n\t\r])")


@dataclass(frozen=True)
class Config:
    """The vocabulary size, including the special tokens."""

    vocab_size: int = 4096
    has_fill_tokens: bool = False  # for filling in the middle, which `fim_rate` of a job turns on

    @property
    def special_names(self) -> tuple[str, ...]:
        """The special tokens in the order of their ids."""
        return SPECIAL_TOKENS + FILL_TOKENS if self.has_fill_tokens else SPECIAL_TOKENS


def default_config(size: int) -> dict[str, int]:
    """Return default settings for `size` bytes of training text: each pair should occur a few hundred times."""
    return {"vocab_size": int(2 ** np.clip(round(log2(size / 2000)), 9, 15))}


@dataclass(frozen=True, eq=False)
class Codec(ByteDecoding):
    """A byte-level BPE codec: `decode(encode(text)) == text` for every Unicode text."""

    config: Config
    tokenizer: Tokenizer

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """Learn the vocabulary from the texts (Sennrich et al. 2016, over bytes as in GPT-2).

        The vocabulary can be smaller than requested if there is too little text; the same texts give the same one.
        Raise ValueError if `config.vocab_size` has no room for the bytes and the special tokens.
        """
        min_vocab = 256 + len(config.special_names)
        if config.vocab_size < min_vocab:
            raise GenloomError("codecs.vocab_too_small", minimum=min_vocab, value=config.vocab_size)
        tokenizer = _build_byte_level(models.BPE())
        # The special tokens stay outside of the tokenizer, so that no text encodes to one.
        trainer = trainers.BpeTrainer(
            vocab_size=config.vocab_size - len(config.special_names),
            initial_alphabet=sorted(ALPHABET),
            min_frequency=2,
            show_progress=False,
        )
        tokenizer.train_from_iterator((chunk for text in items for chunk in _split_text(text)), trainer)
        return cls(config, tokenizer)

    @cached_property
    def space(self) -> TokenSpace:
        """The token space; its context length is 0, because the design sets it."""
        eos = self.special_tokens["<|stop|>"]
        return TokenSpace(len(self._token_bytes) + len(self.special_tokens), 0, bos=eos, eos=eos)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens. No text encodes to them; they decode to nothing."""
        return {name: len(self._token_bytes) + n for n, name in enumerate(self.config.special_names)}

    @property
    def fill_tokens(self) -> FillTokens | None:
        """The tokens for filling in the middle; None: the codec has none."""
        return find_fill_tokens(self.special_tokens)

    @property
    def chat_template(self) -> ChatTemplate:
        """The format of a conversation."""
        return DEFAULT_CHAT_TEMPLATE

    def encode(self, value: str) -> np.ndarray:
        """Return the ids (L, uint16, or uint32 beyond 65,536 tokens) of a text, without BOS or EOS."""
        return next(self.encode_many([value]))

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the ids of each text, in order, computed on all cores."""
        texts = iter(values)
        while batch := list(islice(texts, _BATCH_SIZE)):
            chunked_texts = [list(_split_text(text)) for text in batch]
            encodings = iter(self.tokenizer.encode_batch_fast([chunk for text in chunked_texts for chunk in text]))
            for text in chunked_texts:
                ids = [np.array(next(encodings).ids, self._dtype) for _ in text]
                yield np.concatenate(ids) if ids else np.empty(0, self._dtype)

    def save(self, folder: Path) -> None:
        write_text_config(folder, "bpe", self.config)
        (folder / "tokenizer.json").write_text(self.tokenizer.to_str(pretty=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged.

        Use only the vocabulary and the merges of `tokenizer.json`, whatever else the file contains.
        """
        config, path = read_config(folder / "codec.json", "bpe", Config), folder / "tokenizer.json"
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise GenloomError("codecs.file_too_large", limit_mb=_LARGEST_FILE >> 20)
            model = Tokenizer.from_str(path.read_text()).model
            if not isinstance(model, models.BPE):
                raise GenloomError("codecs.not_bpe")
            codec = cls(config, _build_byte_level(model))
            if not set(ALPHABET.values()) <= {bytes_ for bytes_ in codec._token_bytes if len(bytes_) == 1}:
                raise GenloomError("codecs.vocab_lacks_bytes")
        except Exception as error:  # the tokenizers library raises bare Exception
            raise damaged_error(path, str(error)) from error
        return codec

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        vocab = self.tokenizer.get_vocab(with_added_tokens=False)
        token_bytes = [b""] * len(vocab)
        for token, token_id in vocab.items():
            if not (0 <= token_id < len(token_bytes)) or not all(c in ALPHABET for c in token):
                raise GenloomError("codecs.token_not_bytes", token=token)
            token_bytes[token_id] = b"".join([ALPHABET[c] for c in token])
        return token_bytes

    @property
    def _dtype(self) -> type[np.unsignedinteger]:
        return np.uint16 if self.space.vocab_size <= 1 << 16 else np.uint32


def _build_byte_level(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _split_text(text: str) -> Iterator[str]:
    """Yield chunks that encode separately to the same ids: a word ends before a blank, whatever follows the blank."""
    text = fix_surrogates(text)
    start = 0
    while len(text) - start > _CHUNK_CHARS:
        match = _WORD_END.search(text, start + _CHUNK_CHARS, start + _LONGEST_WORD)
        end = match.start() if match else min(start + _LONGEST_WORD, len(text))
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _build_alphabet() -> dict[str, bytes]:
    """Return the byte of each character in a byte-level vocabulary (the table of GPT-2): itself if it is printable."""
    printable_bytes = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    other_bytes = [byte for byte in range(256) if byte not in printable_bytes]
    return {chr(b): bytes([b]) for b in printable_bytes} | {chr(256 + n): bytes([b]) for n, b in enumerate(other_bytes)}


ALPHABET = _build_alphabet()
