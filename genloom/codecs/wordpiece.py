"""Text as the word pieces of BERT: the vocabulary of a pretrained model, which does not keep every character.

Most such vocabularies make letters small and drop accents, and blanks are not kept: `decode` writes a blank before
each word. Wu et al. 2016, "Google's neural machine translation system"; Devlin et al. 2019.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from genloom.codecs.codec_json import read_table, write_config
from genloom.codecs.text_tokens import ByteDecoding
from genloom.codecs.tokenizer_json import LARGEST_FILE, encode_batch
from genloom.errors import GenloomError
from genloom.settings import parse_settings
from genloom.text_format import fix_surrogates
from genloom.types import TokenSpace

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCAB_FILE = "vocab.txt"
_BATCH_SIZE = 256  # texts that are encoded in parallel
_MAX_TOKENS, _MAX_TOKEN_CHARS = 1 << 20, 1000
_PART = "##"  # before a piece that continues a word
_CLOSING, _OPENING = set(".,;:!?)]}%'’”…/-"), set("([{$£€#@'‘“/-")  # no blank before, no blank after them


@dataclass(frozen=True)
class Config:
    """Properties of the model that its vocabulary does not contain."""

    context_length: int = 512
    is_lower: bool = True  # makes letters small and drops accents


@dataclass(frozen=True, eq=False)
class Codec(ByteDecoding):
    """A pretrained vocabulary of word pieces, in the order of their ids."""

    config: Config
    tokens: tuple[str, ...]

    @classmethod
    def fit(cls, items: Iterable[str], config: Config) -> "Codec":
        """Raise ValueError: a pretrained vocabulary comes with its model."""
        raise GenloomError("codecs.wordpiece_is_pretrained")

    @classmethod
    def from_tokens(cls, tokens: Sequence[str], config: Config) -> "Codec":
        """Build the codec of a vocabulary; ValueError says what in it is damaged."""
        if not 0 < len(tokens) <= _MAX_TOKENS or max(map(len, tokens)) > _MAX_TOKEN_CHARS:
            raise GenloomError("codecs.wordpiece_out_of_bounds", num_tokens=len(tokens), limit=_MAX_TOKENS)
        if len(set(tokens)) < len(tokens):
            raise GenloomError("codecs.wordpiece_repeated")
        if missing := [token for token in SPECIAL_TOKENS if token not in tokens]:
            raise GenloomError("codecs.wordpiece_lacks_token", token=missing[0])
        return cls(config, tuple(tokens))

    @cached_property
    def space(self) -> TokenSpace:
        ids = self.special_tokens
        return TokenSpace(len(self.tokens), self.config.context_length, bos=ids["[CLS]"], eos=ids["[SEP]"])

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens. No text encodes to them but to [UNK]; they decode to nothing."""
        return {token: self.tokens.index(token) for token in SPECIAL_TOKENS}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        vocab = {token: token_id for token_id, token in enumerate(self.tokens)}
        tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
        tokenizer.normalizer = BertNormalizer(lowercase=self.config.is_lower, strip_accents=self.config.is_lower)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        return tokenizer

    def encode(self, value: str) -> np.ndarray:
        """Return the ids (L, uint16, or uint32 beyond 65,536 tokens) of a text, without [CLS] and [SEP]."""
        return next(self.encode_many([value]))

    def encode_many(self, values: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the ids of each text, in order, computed on all cores."""
        dtype, texts = np.uint16 if len(self.tokens) <= 1 << 16 else np.uint32, iter(values)
        while batch := [fix_surrogates(text) for text in islice(texts, _BATCH_SIZE)]:
            for encoding in encode_batch(self.tokenizer, batch):
                yield np.array(encoding.ids, dtype)

    def decode(self, x: Sequence[int] | np.ndarray) -> str:
        """Return the text of the ids, with blanks where written English has them."""
        text = ""
        for token_id in np.asarray(x).tolist():
            token = self._texts[token_id]
            is_part = token.startswith(_PART) and len(token) > len(_PART)
            piece = token.removeprefix(_PART) if is_part else token
            has_blank = bool(text and piece) and not is_part and piece not in _CLOSING and text[-1] not in _OPENING
            text += " " * has_blank + piece
        return text

    def save(self, folder: Path) -> None:
        write_config(folder, "wordpiece", self.config)
        (folder / VOCAB_FILE).write_text("".join(f"{token}\n" for token in self.tokens), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        """Load a saved codec; ValueError names the file that is missing or damaged."""
        config = parse_settings(Config, read_table(folder / "codec.json", "wordpiece"), "codec")
        path = folder / VOCAB_FILE
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise GenloomError("codecs.file_too_large", limit_mb=LARGEST_FILE >> 20)
            return cls.from_tokens(split_vocabulary(path.read_text(encoding="utf-8")), config)
        except (OSError, ValueError) as error:
            raise GenloomError("codecs.damaged_tokenizer", path=path, reason=str(error).removesuffix(".")) from None

    @cached_property
    def _texts(self) -> list[str]:
        special = set(SPECIAL_TOKENS)
        return ["" if token in special else token for token in self.tokens]

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        return [
            text.removeprefix(_PART).encode() if text.startswith(_PART) and text != _PART else f" {text}".encode()
            for text in self._texts
        ]


def split_vocabulary(text: str) -> list[str]:
    """Return the tokens of a vocab.txt: one a line, and only a line feed ends a line."""
    lines = text.split("\n")
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
