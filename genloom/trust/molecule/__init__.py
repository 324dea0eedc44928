"""Copies of training molecules: the same by InChIKey, the same scaffold, and the nearest by fingerprints."""

from collections.abc import Sequence

from genloom.media.molecule.fingerprints import find_scaffold
from genloom.media.molecule.molecule import Molecule, compute_inchi_key, find_mol
from genloom.trust.copies import NUM_MATCHES, CopyReport, Match, TrainingData
from genloom.trust.molecule.similarity_index import find_nearest_molecules, measure_chance
from genloom.types import Item


def find_shared(values: Sequence[Molecule], data: TrainingData) -> list[CopyReport]:
    """Find the training molecules nearest to each value by Tanimoto similarity; nothing is near an invalid one."""
    chance = measure_chance(data)
    nearest = find_nearest_molecules(values, data, NUM_MATCHES)
    return [
        CopyReport(tuple(build_match(value, item, similarity) for item, similarity in found), chance)
        for value, found in zip(values, nearest, strict=True)
    ]


def build_match(value: Molecule, item: Item, similarity: float) -> Match:
    """Return a training molecule with what it shares."""
    is_identical = similarity == 1 and compute_inchi_key(value) == compute_inchi_key(item.value)
    return Match.from_item(
        item,
        place="" if is_identical else describe_scaffold(value, item.value),
        excerpt=item.value.smiles,
        similarity=similarity,
        is_identical=is_identical,
    )


def describe_scaffold(value: Molecule, other: Molecule) -> str:
    """Return that two molecules share their scaffold, or ""."""
    scaffolds = [find_scaffold(mol) for each in (value, other) if (mol := find_mol(each)) is not None]
    return (
        f"the same scaffold {scaffolds[0]}" if len(set(scaffolds)) == 1 and len(scaffolds) == 2 and scaffolds[0] else ""
    )
