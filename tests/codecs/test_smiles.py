"""SMILES as tokens: every text comes back, gaps are filled, and only valid molecules can be written."""

from pathlib import Path

import numpy as np
import pytest

from genloom.codecs.smiles import Codec, Config, split_tokens, write_random_smiles
from genloom.codecs.smiles_grammar import SmilesConstraint
from genloom.codecs.smiles_graph import Graph, parse_atom
from genloom.codecs.spelled_tokens import END, FIRST_TOKEN, MIDDLE
from genloom.errors import GenloomError
from genloom.media.molecule.molecule import Molecule
from genloom.testing import check_codec

chem = pytest.importorskip("rdkit.Chem")

DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CC(=O)Nc1ccc(O)cc1",
    "COc1ccc2[nH]cc(CCNC(C)=O)c2c1",
    "CN1CCC[C@H]1c1cccnc1",
    "Clc1ccc(C(c2ccccc2)N2CCN(CCOCCO)CC2)cc1",
    "CS(=O)(=O)c1ccc(-c2cnc3ccccc3n2)cc1",
    "O=C1CC2(CCCC2)CC(=O)N1CCCCN1CCN(c2ncccn2)CC1",
    "COc1ccc(OC)c(-n2c3nc(=O)[nH]c(=O)c-3cc3ccccc32)c1",
    "Cc1cccc(NC(=O)C2CC(=O)OC23CCOC(C)(C)C3)c1",
    "N#Cc1ccc2nsnc2c1",
    "OB(O)c1ccccc1",
    "C[n+]1ccccc1C=NO",
    "O=[N+]([O-])c1ccc(Cl)cc1Br",
    "C/C=C/c1ccc(F)cc1",
    "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
    "c1ccc2c(c1)ccc1c3ccccc3ccc21",
    "O=c1ccn(C2CCCO2)c(=O)[nH]1",
    "Cc1nnc2n1-c1sc(C#CCN)cc1C(c1ccccc1Cl)=NC2",
    "CP(=O)(OC)Oc1ccccc1",
    "CC(C)(C)c1cc(=S)ss1",
    "C1CC2CCC1N2",
)
CODEC = Codec.fit(map(Molecule, DRUGS), Config(context_length=64, infill=1.0))


def is_valid(smiles: str) -> bool:
    return bool(smiles) and chem.MolFromSmiles(smiles) is not None


def test_codec_contract() -> None:
    check_codec(
        CODEC, map(Molecule, [*DRUGS, "", "[Fe+2]", "C%12CCCC%12", "[13CH3]C", "not a molecule".replace(" ", "_")])
    )


def test_an_atom_without_a_token_is_spelled() -> None:
    ids = CODEC.encode(Molecule("C[Se]C"))
    assert len(ids) == 2 + len("[Se]")
    assert CODEC.decode(ids) == Molecule("C[Se]C")


def test_further_tokens_are_in_the_vocabulary() -> None:
    codec = Codec.fit([Molecule("CC")], Config(tokens=("[Se]", "not one token")))
    assert "[Se]" in codec.tokens
    assert "not one token" not in codec.tokens


def test_other_characters_are_refused() -> None:
    with pytest.raises(GenloomError) as caught:
        CODEC.encode(Molecule("CÄ"))
    assert caught.value.code == "codecs.not_smiles"


@pytest.mark.parametrize("settings", [{"context_length": 4}, {"infill": 1.5}, {"random": -1}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(GenloomError) as caught:
        Config(**settings)  # ty: ignore[invalid-argument-type]
    assert caught.value.code == "codecs.bad_smiles_config"


@pytest.mark.parametrize("change", ['"C"', '"infill": 7', '"context_length": 1'])
def test_damaged_codec_is_refused(tmp_path: Path, change: str) -> None:
    CODEC.save(tmp_path)
    path = tmp_path / "codec.json"
    texts = {
        '"C"': ('"C"', '"CC"'),
        '"infill": 7': ('"infill": 1.0', '"infill": 7'),
        '"context_length": 1': (": 64", ": 1"),
    }
    path.write_text(path.read_text().replace(*texts[change]))
    with pytest.raises(GenloomError) as caught:
        Codec.load(tmp_path)
    assert caught.value.code == "codecs.damaged_file"


def test_what_training_adds_is_stored(tmp_path: Path) -> None:
    CODEC.save(tmp_path)
    assert Codec.load(tmp_path).config.infill == 1.0


@pytest.mark.parametrize("smiles", DRUGS)
def test_variants_are_the_same_molecule(smiles: str) -> None:
    codec = Codec(CODEC.tokens, Config(128, (), 1.0, 3))
    variants = codec.encode_variants(Molecule(smiles), np.random.default_rng(0))
    assert len(variants) == 5
    structures = {chem.MolToSmiles(chem.MolFromSmiles(codec.decode(ids).smiles)) for ids, _ in variants}
    assert structures == {chem.MolToSmiles(chem.MolFromSmiles(smiles))}
    ids, loss_mask = variants[-1]
    assert not loss_mask[: list(ids).index(MIDDLE) + 1].any()
    assert loss_mask[list(ids).index(MIDDLE) + 1 :].all()


def test_random_smiles_of_nothing() -> None:
    assert write_random_smiles("c1ccc", 2, np.random.default_rng(0)) == []
    assert write_random_smiles("", 2, np.random.default_rng(0)) == []


def list_refused(ids: np.ndarray, num_given: int = 0) -> list[str]:
    """Return the tokens of a row that its constraint refuses, after those that are given."""
    constraint = CODEC.build_constraint([""], 200)
    row, refused = [END, *ids.tolist(), END], []
    for position in range(1 + num_given, len(row)):
        if not constraint([np.array(row[:position])])[0, row[position]]:
            refused.append(f"{CODEC.vocabulary.texts[row[position]]!r} at {position}")
    return refused


@pytest.mark.parametrize("smiles", DRUGS)
def test_grammar_allows_every_molecule(smiles: str) -> None:
    canonical = chem.MolToSmiles(chem.MolFromSmiles(smiles))
    if all(token in CODEC.tokens for token in split_tokens(canonical)):
        assert list_refused(CODEC.encode_text(canonical)) == []


@pytest.mark.parametrize(
    ("prefix", "middle", "suffix"),
    [
        ("c1ccc(", "CCN", ")cc1"),
        ("C1(CCNCC1)", "C(=O)N", "c1ccccc1"),
        ("", "CCO", "c1ccccc1"),
        ("CCOC(=O)", "C", ""),
        ("c1cc(", "C(=O)O", ")ccc1Cl"),
        ("C(C", ")C", "O"),  # closes a branch that is open before the gap
        ("CC", "C(", "C)O"),  # opens one that ends after it
        ("c1ccc2c(c1", ")CC", "CC2"),
        ("CC", "1CC", "C1"),
        ("CC", "1CC1C1C", "C1"),
    ],
)
def test_gaps_can_be_filled(prefix: str, middle: str, suffix: str) -> None:
    gap, answer = CODEC.encode_gap(prefix, suffix), CODEC.encode_text(middle)
    assert list_refused(np.concatenate([gap, answer]), len(gap)) == []
    assert CODEC.decode(np.concatenate([gap, answer])) == Molecule(prefix + middle + suffix)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("", "("),
        ("C", ")"),
        ("C", "2"),  # the number 1 is free
        ("FC(F)(F)F", "C"),  # fluorine has one bond
        ("C1C", "1"),  # a second bond with a neighbour
        ("CN(C)", "("),
        ("C(=O", "C"),
    ],
)
def test_faults_are_refused(text: str, token: str) -> None:
    allowed_V = CODEC.build_constraint([""], 200)([np.array([END, *CODEC.encode_text(text)])])[0]
    assert not allowed_V[CODEC.encode_text(token)[0]]


@pytest.mark.parametrize("text", ["C1CC", "CC(", "C=", "c1cccc1", "c1ccnc1", "C[N+]"])
def test_incomplete_molecules_cannot_end(text: str) -> None:
    assert not CODEC.build_constraint([""], 200)([np.array([END, *CODEC.encode_text(text)])])[0, END]


@pytest.mark.parametrize("seed", range(3))
def test_molecules_that_the_grammar_ends_are_valid(seed: int) -> None:
    rng, num_rows, size = np.random.default_rng(seed), 16, CODEC.space.vocab_size
    weights_VV = np.full((size, size), 1e-3)  # how often a token follows another one
    for smiles in DRUGS:
        ids = [END, *CODEC.encode_text(smiles), END]
        np.add.at(weights_VV, (ids[:-1], ids[1:]), 1.0)
    constraint = CODEC.build_constraint([""] * num_rows, 80)
    assert isinstance(constraint, SmilesConstraint)
    rows, ended = [[END] for _ in range(num_rows)], []
    for _ in range(80):
        allowed_BV = constraint([np.array(row) for row in rows])
        for row, state, allowed_V in zip(rows, constraint.rows, allowed_BV, strict=True):
            probabilities_V = weights_VV[row[-1]] * allowed_V
            row.append(int(rng.choice(size, p=probabilities_V / probabilities_V.sum())))
            can_end = state.graph.current >= 0 and constraint.can_end(state, state.graph)
            if row[-1] == END and not state.is_finished and can_end:
                ended.append(CODEC.decode(row[1:]).smiles)
    assert len(ended) >= 3
    assert [smiles for smiles in ended if not is_valid(smiles)] == []


def test_rows_end_within_their_length() -> None:
    constraint = CODEC.build_constraint([""], 24)
    rng, row = np.random.default_rng(0), [END]
    while row[-1] != END or len(row) == 1:
        allowed_V = constraint([np.array(row)])[0]
        chain = [FIRST_TOKEN + CODEC.tokens.index(token) for token in ("C", "(", "1")]
        likely = [token for token in chain if allowed_V[token]] or np.flatnonzero(allowed_V).tolist()
        row.append(int(rng.choice(likely)))
        assert len(row) <= 24
    assert is_valid(CODEC.decode(row[1:]).smiles)


def test_kinds_of_atoms() -> None:
    capacities = {
        token: kind.capacity
        for token in ("C", "[NH3+]", "[nH]", "n", "[O-]", "S", "[C@@H]")
        if (kind := parse_atom(token))
    }
    assert capacities == {"C": 4, "[NH3+]": 1, "[nH]": 2, "n": 3, "[O-]": 1, "S": 6, "[C@@H]": 3}
    assert [parse_atom(token) for token in ("[Fe]", "(", "1", "[CH4]")] == [None] * 4


def test_alternating_bonds_are_found() -> None:
    def is_complete(smiles: str) -> bool:
        graph = Graph()
        return all(map(graph.read, split_tokens(smiles))) and graph.finish()

    assert is_complete("c1ccc2c(c1)ccc1c3ccccc3ccc21")
    assert is_complete("Cn1cccc1")
    assert not is_complete("c1ccnc1")
    assert not is_complete("c1ccc2cccc2c1")
