"""Molecules as tokens of their SMILES: atoms, bonds, numbers of rings and brackets of branches.

A vocabulary is fitted to the data. A bracket atom that it lacks is spelled in characters, so every SMILES round-trips
exactly. A task of filling has another order:

    PREFIX tokens before the gap | SUFFIX tokens after it | MIDDLE tokens of the gap
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from genloom.capabilities import TokenConstraint
from genloom.codecs.codec_json import read_table, write_config
from genloom.codecs.spelled_tokens import END, MIDDLE, PREFIX, SUFFIX, Vocabulary, read_vocabulary
from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_chem
from genloom.media.molecule.molecule import Molecule
from genloom.types import TokenSpace

TOKEN_PATTERN = re.compile(r"\[[^\[\]]*\]|Br|Cl|%\d\d|.", re.DOTALL)
BASIC_TOKENS = ("C", "N", "O", "c", "n", "(", ")", "=", "1", "2")  # in every vocabulary
MAX_RANDOM = 100  # further SMILES of a molecule


@dataclass(frozen=True)
class Config:
    """Context length of the models that read this codec, further tokens, and what training adds to the data."""

    context_length: int = 128
    tokens: tuple[str, ...] = ()  # in the vocabulary besides those of the data, for what a model is tuned on later
    infill: float = 0.0  # share of the molecules that are also read as tasks of filling a gap
    random: int = 0  # further SMILES of each molecule, from a random atom in a random order

    def __post_init__(self) -> None:
        if self.context_length < 8 or not 0 <= self.infill <= 1 or not 0 <= self.random <= MAX_RANDOM:
            raise GenloomError(
                "codecs.bad_smiles_config", context=self.context_length, infill=self.infill, random=self.random
            )


@dataclass(frozen=True)
class StoredConfig:
    """The configuration in the folder of a codec."""

    tokens: tuple[str, ...]
    context_length: int
    infill: float
    random: int


def split_tokens(smiles: str) -> list[str]:
    """Return the bracket atoms, two-letter atoms, ring numbers of two digits, and other characters of a SMILES."""
    return TOKEN_PATTERN.findall(smiles)


@dataclass(frozen=True)
class Codec:
    """The tokens of its data, most frequent first, and the settings of a model that reads them."""

    tokens: tuple[str, ...] = BASIC_TOKENS
    config: Config = field(default_factory=Config)

    @classmethod
    def fit(cls, items: Iterable[Molecule], config: Config) -> "Codec":
        others = (*BASIC_TOKENS, *config.tokens)
        return cls(Vocabulary.fit((molecule.smiles for molecule in items), split_tokens, others).tokens, config)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokens)

    @property
    def space(self) -> TokenSpace:
        return TokenSpace(self.vocabulary.size, self.config.context_length, bos=END, eos=END)

    def encode(self, value: Molecule) -> np.ndarray:
        """Return the tokens of the SMILES of a molecule, as it is written."""
        return self.encode_text(value.smiles)

    def encode_text(self, smiles: str) -> np.ndarray:
        """Return the tokens of a SMILES, or of a part of one. GenloomError for a character that none contains."""
        return self.vocabulary.encode(split_tokens(smiles))

    def encode_many(self, values: Iterable[Molecule]) -> Iterator[np.ndarray]:
        return map(self.encode, values)

    def encode_gap(self, prefix: str, suffix: str) -> np.ndarray:
        """Return the prompt of a task of filling: a model continues it with the tokens between these two."""
        parts = [[PREFIX], self.encode_text(prefix), [SUFFIX], self.encode_text(suffix), [MIDDLE]]
        return np.concatenate(parts).astype(np.int64)

    def encode_variants(self, value: Molecule, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the tokens for training and where they count in the loss: the SMILES, random ones, a task of filling.

        The task of a share of the molecules hides a random part of a random SMILES. One that does not fit into the
        context is left out.
        """
        has_task = bool(self.config.infill) and rng.random() < self.config.infill
        others = write_random_smiles(value.smiles, self.config.random + has_task, rng)
        plain = [value.smiles, *others[: self.config.random]]
        variants = [(ids, np.ones(len(ids), bool)) for ids in map(self.encode_text, plain)]
        if has_task and others:
            ids = self.encode_text(others[-1])
            begin, end = sorted(rng.integers(len(ids) + 1, size=2).tolist())
            task = np.concatenate([[PREFIX], ids[:begin], [SUFFIX], ids[end:], [MIDDLE], ids[begin:end]])
            if len(task) + 2 <= self.config.context_length:
                variants.append((task.astype(np.int64), np.arange(len(task)) >= len(task) - (end - begin)))
        return variants

    def decode(self, x: Sequence[int] | np.ndarray) -> Molecule:
        """Return the molecule of any tokens, as they write it; those of a filled gap are put where they belong."""
        prefix, suffix, middle = self.vocabulary.decode_parts(x)
        return Molecule(prefix + middle + suffix)

    def decode_many(self, x: Iterable[Sequence[int] | np.ndarray]) -> list[Molecule]:
        return [self.decode(row) for row in x]

    def build_constraint(self, prompts: Sequence[str], max_length: int) -> TokenConstraint:
        """Return the tokens that make a valid SMILES: rings and branches are closed, valences are kept."""
        from genloom.codecs.smiles_grammar import SmilesConstraint

        return SmilesConstraint(self.vocabulary, len(prompts), max_length)

    def save(self, folder: Path) -> None:
        config = self.config
        stored = StoredConfig(self.tokens, config.context_length, config.infill, config.random)
        write_config(folder, "smiles", stored)

    @classmethod
    def load(cls, folder: Path) -> "Codec":
        path = folder / "codec.json"
        content = read_table(path, "smiles")
        infill, random = content.get("infill"), content.get("random")
        has_infill = isinstance(infill, int | float) and 0 <= infill <= 1
        is_valid = has_infill and isinstance(random, int) and 0 <= random <= MAX_RANDOM
        tokens, length = read_vocabulary(path, content, split_tokens, ("infill", "random"), is_valid)
        return cls(tokens, Config(length, (), float(infill or 0), int(random or 0)))


def write_random_smiles(smiles: str, count: int, rng: np.random.Generator) -> list[str]:
    """Return SMILES of the same molecule that begin at random atoms and go on in random orders.

    A SMILES that cannot be read has no variants.
    """
    if not count:
        return []
    chem = load_chem()
    mol = chem.MolFromSmiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        return []
    orders = [rng.permutation(mol.GetNumAtoms()).tolist() for _ in range(count)]
    return [chem.MolToSmiles(chem.RenumberAtoms(mol, order), canonical=False) for order in orders]
