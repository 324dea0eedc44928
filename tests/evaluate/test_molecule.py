"""Evaluation of molecules: the definitions of MOSES on sets whose figures are known, and whether goals are followed."""

from collections import Counter

import pytest

pytest.importorskip("rdkit")

from rdkit import Chem

from genloom.evaluate.molecule import list_mols, measure_alerts, measure_likeness, measure_variety
from genloom.evaluate.molecule.measures import (
    build_fingerprints,
    compare_counts,
    count_fragments,
    count_scaffolds,
    measure_internal_diversity,
    measure_snn,
    measure_wasserstein,
)
from genloom.evaluate.training_sources import TrainingSources
from genloom.learn.safeguards.molecule import flag_repeats, list_repeats, list_shared_scaffolds, list_validity
from genloom.media.molecule.molecule import Molecule

DRUGS = ("CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Nc1ccc(O)cc1")
MOLS = [Chem.MolFromSmiles(smiles) for smiles in DRUGS]


def test_a_set_is_nearest_to_itself_and_its_counts_are_parallel() -> None:
    fingerprints = build_fingerprints(MOLS)
    assert measure_snn(fingerprints, fingerprints).tolist() == [1.0] * 4
    assert measure_snn(fingerprints[:1], fingerprints[1:])[0] < 0.5
    for count in (count_scaffolds, count_fragments):
        assert compare_counts(count(MOLS), count([*MOLS, *MOLS])) == pytest.approx(1)
    assert compare_counts(count_scaffolds(MOLS), Counter()) == 0


def test_diversity_is_one_minus_the_mean_of_all_pairs() -> None:
    same = build_fingerprints([MOLS[0]] * 3)
    assert measure_internal_diversity(same) == pytest.approx(0)
    two = build_fingerprints(MOLS[:2])
    similarity = float(measure_snn(two[:1], two[1:])[0])
    assert measure_internal_diversity(two) == pytest.approx(1 - (2 + 2 * similarity) / 4)
    assert measure_internal_diversity(two, 2) == pytest.approx(1 - ((2 + 2 * similarity**2) / 4) ** 0.5)
    assert measure_internal_diversity([]) == 0


def test_scaffolds_have_two_rings_and_fragments_are_those_of_brics() -> None:
    assert count_scaffolds(MOLS) == {"O=c1[nH]c(=O)c2[nH]cnc2[nH]1": 1}, "of caffeine alone"
    assert sum(count_scaffolds(MOLS, 1).values()) == 4
    assert any("C(C)=O" in fragment for fragment in count_fragments(MOLS[:1]))


def test_wasserstein_distances() -> None:
    assert measure_wasserstein([0, 1, 2], [2, 1, 3]) == pytest.approx(1)
    assert measure_wasserstein([5], [5, 5]) == 0
    assert measure_wasserstein([0, 1], [0, 1, 0, 1]) == 0
    assert measure_wasserstein([], [1]) == float("inf")


def test_variety_counts_valid_then_unique_then_novel() -> None:
    outputs = [Molecule(DRUGS[0]), Molecule("OC(=O)c1ccccc1OC(C)=O"), Molecule(DRUGS[1]), Molecule("c1ccc(")]
    figures = measure_variety(outputs, TrainingSources((), ("gone",)))
    assert figures.values["valid molecules"] == 0.75
    assert figures.values["unique"] == pytest.approx(2 / 3), "aspirin is written twice"
    assert "novel" not in figures.values


def test_alerts_and_likeness_leave_out_invalid_molecules() -> None:
    outputs = [*map(Molecule, DRUGS), Molecule("c1ccc("), Molecule("CP(=O)(F)F")]
    assert len(list_mols(outputs)) == 5
    assert measure_alerts(outputs).values["withheld"] == pytest.approx(0.2)
    figures = measure_likeness(outputs, [Molecule(smiles) for smiles in DRUGS]).values
    assert figures["nearest held-out molecule"] > 0.8
    assert figures["distance of qed"] >= 0
    assert measure_likeness([Molecule("x")], outputs).values == {}


def test_safeguards_flag_what_repeats() -> None:
    outputs = [Molecule(DRUGS[0]), Molecule("OC(=O)c1ccccc1OC(C)=O"), Molecule("CCO"), Molecule("CCCO"), Molecule("c1")]
    assert list_validity(outputs) == [1, 1, 1, 1, 0]
    assert list_repeats(outputs) == [0, 1, 0, 0, 0]
    assert list_shared_scaffolds(outputs) == [0, 1, 0, 0, 0]
    assert flag_repeats(["a", "", "a", "", "b"]) == [0, 0, 1, 0, 0]
