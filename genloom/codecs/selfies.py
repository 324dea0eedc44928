"""Molecules as SELFIES: any sequence of its symbols is a valid molecule (Krenn et al. 2020).

The structure survives, and with it the canonical SMILES. A symbol that the vocabulary lacks is spelled in characters.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from genloom.capabilities import TokenConstraint
from genloom.codecs.codec_json import read_table, write_config
from genloom.codecs.spelled_tokens import END, FIRST_TOKEN, Vocabulary, read_vocabulary
from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_library
from genloom.media.molecule.molecule import Molecule, canonicalise_molecule
from genloom.types import TokenSpace

SYMBOL_PATTERN = re.compile(r"\[[^\[\]]*\]|.", re.DOTALL)
BASIC_SYMBOLS = ("[C]", "[N]", "[O]", "[=C]", "[Branch1]", "[Ring1]")  # in every vocabulary


@dataclass(frozen=True)
class Config:
    """Context length of the models that read this codec, and symbols besides those of the data."""

    context_length: int = 128
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredConfig:
    """The configuration in the folder of a codec."""

    tokens: tuple[str, ...]
    context_length: int


def split_symbols(text: str) -> list[str]:
    return SYMBOL_PATTERN.findall(text)


def write_selfies(smiles: str) -> str:
    """Return a molecule in SELFIES. GenloomError for one whose bonds it cannot write."""
    library = load_library("selfies")
    try:
        return library.encoder(smiles) if smiles else ""
    except (library.EncoderError, ValueError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GenloomError("codecs.not_selfies", smiles=smiles, reason=reason) from None


def read_selfies(text: str) -> str:
    """Return the SMILES of SELFIES; unknown symbols are left out."""
    library = load_library("selfies")
    try:
        return library.decoder(text)
    except library.DecoderError:
        known = [symbol for symbol in split_symbols(text) if is_symbol(symbol)]
        return library.decoder("".join(known))


def is_symbol(text: str) -> bool:
    library = load_library("selfies")
    try:
        library.decoder(text)
    except library.DecoderError:
        return False
    return text.startswith("[")


@dataclass(frozen=True)
class Codec:
    """The symbols of its data, most frequent first, and the context length."""

    tokens: tuple[str, ...] = BASIC_SYMBOLS
    config: Config = field(default_factory=Config)

    @classmethod
    def fit(cls, items: Iterable[Molecule], config: Config) -> "Codec":
        texts = (write_selfies(molecule.smiles) for molecule in items)
        return cls(Vocabulary.fit(texts, split_symbols, (*BASIC_SYMBOLS, *config.tokens)).tokens, config)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokens)

    @property
    def space(self) -> TokenSpace:
        return TokenSpace(self.vocabulary.size, self.config.context_length, bos=END, eos=END)

    def encode(self, value: Molecule) -> np.ndarray:
        """Return the symbols of a molecule. GenloomError for one that SELFIES cannot write."""
        return self.vocabulary.encode(split_symbols(write_selfies(value.smiles)))

    def encode_many(self, values: Iterable[Molecule]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def decode(self, x: Sequence[int] | np.ndarray) -> Molecule:
        """Return the molecule of any symbols, in its canonical SMILES."""
        return canonicalise_molecule(Molecule(read_selfies("".join(self.vocabulary.decode_parts(x)))))

    def decode_many(self, x: Iterable[Sequence[int] | np.ndarray]) -> list[Molecule]:
        return [self.decode(row) for row in x]

    def build_constraint(self, prompts: Sequence[str], max_length: int) -> TokenConstraint:
        """Return the symbols that may follow: all of the vocabulary, and the end after the first."""
        return SymbolConstraint(self.vocabulary, len(prompts))

    def save(self, folder: Path) -> None:
        write_config(folder, "selfies", StoredConfig(self.tokens, self.config.context_length))

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        path = folder / "codec.json"
        tokens, length = read_vocabulary(path, read_table(path, "selfies"), split_symbols)
        return cls(tokens, Config(length))


class SymbolConstraint:
    """The symbols that have an id, and END where a molecule is not empty."""

    def __init__(self, vocabulary: Vocabulary, num_rows: int):
        self.allowed_V = np.arange(vocabulary.size) >= FIRST_TOKEN
        self.num_rows = num_rows

    def describe(self) -> list[str]:
        return [""] * self.num_rows

    def __call__(self, contexts: Sequence[np.ndarray]) -> np.ndarray:
        allowed = np.tile(self.allowed_V, (len(contexts), 1))
        for row, context in enumerate(contexts):
            allowed[row, END] = len(context) > 1
        return allowed
