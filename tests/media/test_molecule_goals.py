"""Properties and goals of molecules: values of the sources, the grammar and words of goals, and their scores."""

import math
from pathlib import Path

import pytest

pytest.importorskip("rdkit")

from genloom.media.molecule.goals import Goals, order_by_score, parse_goals
from genloom.media.molecule.molecule import Molecule, parse_smiles
from genloom.media.molecule.properties import GROUPS, MAIN_PROPERTIES, PROPERTIES, compute_properties, compute_table
from genloom.media.molecule.synthesis import compute_sa, load_contributions
from tests.errors import raises_code

ASPIRIN = Molecule("CC(=O)Oc1ccccc1C(=O)O")
CAFFEINE = Molecule("Cn1c(=O)c2c(ncn2C)n(C)c1=O")
BENZENE, ETHANOL, HEXANE = Molecule("c1ccccc1"), Molecule("CCO"), Molecule("CCCCCC")
EXAMPLES = [ASPIRIN, CAFFEINE, BENZENE, ETHANOL, HEXANE, Molecule("C"), Molecule("C[N+](C)(C)C")]


def test_properties_of_aspirin() -> None:
    values = compute_properties(ASPIRIN, PROPERTIES)
    assert values["logp"] == pytest.approx(1.31, abs=0.005)  # rdkit's own example of Crippen's method
    assert values["mw"] == pytest.approx(180.16, abs=0.01)
    assert values["tpsa"] == pytest.approx(63.6, abs=0.05)
    assert values["qed"] == pytest.approx(0.55, abs=0.01)
    counts = dict.fromkeys(("donors", "rings", "aromatic_rings", "acids", "esters"), 1)
    assert {name: values[name] for name in counts} == counts
    assert (values["heavy_atoms"], values["charge"], values["stereocenters"], values["amines"]) == (13, 0, 0, 0)


@pytest.mark.parametrize(
    ("molecule", "log_solubility"),
    [(BENZENE, -1.64), (Molecule("c1ccc2ccccc2c1"), -3.60), (ETHANOL, 1.10), (ASPIRIN, -1.72)],
)
def test_solubility_is_within_the_error_of_esol_from_measurements(molecule: Molecule, log_solubility: float) -> None:
    assert compute_properties(molecule, ["logs"])["logs"] == pytest.approx(log_solubility, abs=1.5)


def test_synthetic_accessibility_is_that_of_rdkit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers as rdkit's contribution, which unpickles the file that is read as text here."""
    from rdkit import Chem, RDConfig

    folder = Path(RDConfig.RDContribDir) / "SA_Score"
    monkeypatch.syspath_prepend(str(folder))
    scorer = pytest.importorskip("sascorer")
    ids, contributions = load_contributions()
    scorer._fscores = dict(zip(ids.tolist(), contributions.tolist(), strict=True))
    hard = "O=C1CCCCCCCCCCCCO1", "CC12CCC3C(CCC4=CC(=O)CCC34C)C1CCC2O", "C1CC2CCC1C2", "CC1(C)C2CCC1(C)C(=O)C2"
    for smiles in (*hard, *(each.smiles for each in EXAMPLES)):
        mol = Chem.MolFromSmiles(smiles)
        assert compute_sa(mol) == pytest.approx(scorer.calculateScore(mol), abs=1e-12)


def test_every_property_is_finite_and_within_its_bounds() -> None:
    table = compute_table(EXAMPLES, list(PROPERTIES))
    assert table.shape == (len(EXAMPLES), len(PROPERTIES))
    for column, each in zip(table.T, PROPERTIES.values(), strict=True):
        assert all(math.isfinite(value) and each.low <= value <= each.high for value in column), each.name
        assert not each.is_integer or all(value == round(value) for value in column), each.name
    assert not set(MAIN_PROPERTIES) & set(GROUPS)


GROUP_EXAMPLES = {
    "amines": ("NCc1ccccc1", "CCN(CC)CC", "Nc1ccccc1"),
    "alcohols": ("CCO",),
    "phenols": ("Oc1ccccc1",),
    "acids": ("CC(=O)O",),
    "esters": ("CC(=O)OC",),
    "amides": ("CC(N)=O",),
    "ketones": ("CC(C)=O",),
    "aldehydes": ("CC=O",),
    "ethers": ("CCOCC",),
    "nitriles": ("CC#N",),
    "nitro_groups": ("C[N+](=O)[O-]",),
    "sulfonamides": ("CNS(C)(=O)=O",),
    "thiols": ("CCS",),
    "ureas": ("CNC(=O)NC",),
    "halogens": ("CCBr",),
    "fluorines": ("CCF",),
    "chlorines": ("CCCl",),
}


@pytest.mark.parametrize("group", GROUPS)
def test_a_functional_group_is_counted_once_and_not_taken_for_another(group: str) -> None:
    related = {("ureas", "amides"), ("fluorines", "halogens"), ("chlorines", "halogens")}  # one contains the other
    for smiles in GROUP_EXAMPLES[group]:
        counts = compute_properties(Molecule(smiles), GROUPS)
        assert counts[group] == 1, smiles
        assert {(group, name) for name, count in counts.items() if count and name != group} <= related, smiles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logp=2..3 qed>0.7 mw<400 donors<=2", "logp=2..3 qed>0.7 mw<400 donors<=2"),
        ("logP = 2 .. 3, QED >= .5; HBD<3", "logp=2..3 qed>=0.5 donors<=2"),
        ("mw>200 mw<=400", "mw>200 mw<=400"),
        ("logp=..3 tpsa=20..", "logp<=3 tpsa>=20"),
        ("logp=2", "logp=1.9..2.1"),  # as precise as the number is meant
        ("rings=2 amines>0", "rings=2 amines>=1"),
        ("a small soluble amine", "amines>=1 mw<=300 logs>=-4"),
        ("no rings", "rings=0"),
        ("at most two aromatic rings and a nitrile, mw<300", "aromatic_rings<=2 nitriles>=1 mw<300"),
        ("no more than three donors", "donors<=3"),
        ("non-aromatic", "aromatic_rings=0"),
        ("drug-like", "mw<=500 logp<=5 donors<=5 acceptors<=10 rotatable<=10 tpsa<=140"),
    ],
)
def test_goals_are_read_and_written_the_same(text: str, expected: str) -> None:
    goals = parse_goals(text)
    assert str(goals) == expected
    assert parse_goals(str(goals)) == goals


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "molecule.goal_missing"),
        ("lgop=2", "molecule.property_unknown"),
        ("logp=abc", "molecule.goal_unreadable"),
        ("logp 2..3", "molecule.goal_unreadable"),
        ("donors>2..3", "molecule.goal_unreadable"),
        ("mw=400..300", "molecule.goal_reversed"),
        ("mw>400 mw<300", "molecule.goal_contradiction"),
        ("mw>400 mw<=400", "molecule.goal_contradiction"),
        ("rings=0 aromatic_rings>0", "molecule.goal_contradiction"),
        ("heavy_atoms>60 mw<400", "molecule.goal_contradiction"),
        ("no rings, two aromatic rings", "molecule.goal_contradiction"),
        ("qed>1", "molecule.goal_impossible"),
        ("sa<1", "molecule.goal_impossible"),
        ("donors=1.5", "molecule.goal_impossible"),
        ("logp>1e999", "molecule.goal_impossible"),
        ("a fluffy amine", "molecule.goal_unknown_word"),
        ("logp<2 " * 1000, "molecule.goal_too_long"),
    ],
)
def test_goals_that_cannot_be_are_refused(text: str, code: str) -> None:
    with raises_code(code):
        parse_goals(text)


def test_the_nearest_name_is_suggested() -> None:
    for text, suggestion in (("qde>0.5", "'qed'"), ("donor<2", "'donors'"), ("a smal molecule", "'small'")):
        with pytest.raises(ValueError, match=suggestion):
            parse_goals(text)


def test_scores_are_1_within_the_range_and_fall_with_the_distance() -> None:
    goals = parse_goals("logp=2..3")
    scores = [goals.by_name["logp"].score(value) for value in (-5.0, 0.0, 1.0, 1.9, 2.0, 2.5, 3.0, 3.1, 5.0)]
    assert scores[4:7] == [1.0, 1.0, 1.0]
    assert scores[:5] == sorted(scores[:5])
    assert scores[6:] == sorted(scores[6:], reverse=True)
    assert scores[2] == pytest.approx(0.5)
    assert all(0 < score <= 1 for score in scores)
    assert goals.by_name["logp"].score(2 - 1e-12) < 1


def test_a_molecule_meets_goals_exactly_if_its_score_is_1() -> None:
    goals = parse_goals("logp=1..2 donors<=1")
    assert goals.check(ASPIRIN).is_met
    assert goals.score(ASPIRIN) == 1
    result = parse_goals("logp=1..2 amines>=1").check(ASPIRIN)
    assert not result.is_met
    assert result.score == pytest.approx(math.sqrt(0.5))
    assert Goals().score(ASPIRIN) == 1
    best_first = [molecule for molecule, _ in order_by_score([HEXANE, ETHANOL, ASPIRIN], goals)]
    assert best_first[0] == ASPIRIN


def test_properties_are_those_of_the_molecule_and_not_of_its_text() -> None:
    written = parse_smiles("OC(=O)c1ccccc1OC(C)=O")
    assert compute_properties(written) == compute_properties(ASPIRIN)
