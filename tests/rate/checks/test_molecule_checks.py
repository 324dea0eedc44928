"""Checks of molecules: goals, similarity, substructures and hazards; an invalid molecule scores 0."""

import pytest

pytest.importorskip("rdkit")

from genloom.media.molecule.molecule import Molecule
from genloom.rate.auto_rater import parse_check
from genloom.rate.checks import build_check
from tests.errors import raises_code

ASPIRIN, SALICYLIC_ACID = Molecule("CC(=O)Oc1ccccc1C(=O)O"), Molecule("O=C(O)c1ccccc1O")
INVALID = Molecule("c1ccc(")
SPECS = ("goal:logp=1..2 mw<200", "tanimoto:reference=CC(=O)Oc1ccccc1C(=O)O", "hazard", "substructure:smarts=c1ccccc1")


@pytest.mark.parametrize("spec", SPECS)
def test_an_invalid_molecule_scores_0_and_says_so(spec: str) -> None:
    result = parse_check(spec, "molecule")[1](INVALID)
    assert (result.score, result.has_passed) == (0.0, False)
    assert "no valid molecule" in result.reason


def test_goals_are_written_after_the_colon_as_people_write_them() -> None:
    rater, check = parse_check("goal:logp=1..2 qed>0.5 mw<200", "molecule")
    assert rater == "check-goal"
    assert check(ASPIRIN).has_passed
    _, check = parse_check("goal:a small soluble amine", "molecule")
    assert 0 < check(ASPIRIN).score < 1
    assert "amines" in check(ASPIRIN).reason
    with raises_code("molecule.goal_contradiction"):
        parse_check("goal:mw>500 mw<400", "molecule")
    assert build_check("goal", {"goals": "mw<200"}, "molecule")(ASPIRIN).has_passed


def test_similarity_to_a_reference() -> None:
    settings = {"reference": SALICYLIC_ACID.smiles, "min_similarity": 1.0}
    assert build_check("tanimoto", settings, "molecule")(SALICYLIC_ACID).has_passed
    near = build_check("tanimoto", settings, "molecule")(ASPIRIN).score
    far = build_check("tanimoto", settings, "molecule")(Molecule("CCCCCC")).score
    assert far < near < 1
    assert build_check("tanimoto", {**settings, "min_similarity": 0.3, "max_similarity": 0.9}, "molecule")(
        SALICYLIC_ACID
    ).score == pytest.approx(0)
    with raises_code("rate.bad_tanimoto_range"):
        build_check("tanimoto", {"min_similarity": 0.8, "max_similarity": 0.5}, "molecule")
    with raises_code("molecule.bad_smiles"):
        build_check("tanimoto", {"reference": "c1cc"}, "molecule")


def test_substructures_are_there_or_absent() -> None:
    assert parse_check("substructure:smarts=c1ccccc1", "molecule")[1](ASPIRIN).has_passed
    assert not parse_check("substructure:smarts=c1ccccc1;is_absent=true", "molecule")[1](ASPIRIN).has_passed
    with raises_code("rate.bad_smarts"):
        build_check("substructure", {"smarts": "c1cc("}, "molecule")


def test_hazards_lower_the_score_and_agents_make_it_0() -> None:
    check = build_check("hazard", {}, "molecule")
    assert check(Molecule("CC(C)Cc1ccc(cc1)C(C)C(=O)O")).has_passed
    assert 0 < check(Molecule("CC(=O)Cl")).score < 1
    assert check(Molecule("CP(=O)(F)F")).score == 0
    assert build_check("hazard", {"kinds": ["agent"]}, "molecule")(Molecule("CC(=O)Cl")).has_passed
    with raises_code("rate.unknown_hazard"):
        build_check("hazard", {"kinds": ["reaktive"]}, "molecule")


def test_checks_of_molecules_refuse_other_media() -> None:
    for spec in SPECS:
        with raises_code("rate.check_of_other_medium"):
            parse_check(spec, "text")
