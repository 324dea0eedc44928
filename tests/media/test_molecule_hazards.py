"""The hazard screen: agents of the Chemical Weapons Convention are withheld, drugs and ordinary molecules are not."""

import pytest

pytest.importorskip("rdkit")

from genloom.media.molecule.hazards import (
    AGENT,
    AGENT_RULES,
    KINDS,
    REACTIVE_RULES,
    format_alerts,
    is_withheld,
    screen_mol,
    screen_molecule,
)
from genloom.media.molecule.molecule import Molecule

# One well-known member or more of each family on the schedules of the convention.
AGENTS = {
    "sarin": "CC(C)OP(C)(=O)F",
    "soman": "CC(OP(C)(=O)F)C(C)(C)C",
    "cyclosarin": "CP(=O)(F)OC1CCCCC1",
    "tabun": "CCOP(=O)(C#N)N(C)C",
    "VX": "CCOP(C)(=O)SCCN(C(C)C)C(C)C",
    "amiton": "CCOP(=O)(OCC)SCCN(CC)CC",
    "an A-series agent": "CCN(CC)C(C)=NP(=O)(F)OC",
    "a phosphonyl difluoride": "CP(=O)(F)F",
    "chlorosarin": "CC(C)OP(C)(=O)Cl",
    "QL": "CCOP(C)OCCN(C(C)C)C(C)C",
    "sulfur mustard": "ClCCSCCCl",
    "sesquimustard": "ClCCSCCSCCCl",
    "O-mustard": "ClCCSCCOCCSCCCl",
    "HN1": "CCN(CCCl)CCCl",
    "HN2": "CN(CCCl)CCCl",
    "HN3": "ClCCN(CCCl)CCCl",
    "lewisite": "ClC=C[As](Cl)Cl",
    "saxitoxin": "NC(=O)OC[C@@H]1N=C(N)N2CCC(O)(O)[C@@]23NC(N)=N[C@@H]13",
    "BZ": "OC(c1ccccc1)(c1ccccc1)C(=O)OC1CN2CCC1CC2",
    "phosgene": "ClC(Cl)=O",
    "perfluoroisobutene": "FC(F)=C(C(F)(F)F)C(F)(F)F",
}
DRUGS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "chlorambucil": "OC(=O)CCCc1ccc(cc1)N(CCCl)CCCl",
    "cyclophosphamide": "ClCCN(CCCl)P1(=O)NCCCO1",
    "bendamustine": "Cn1c(CCCC(=O)O)nc2cc(ccc12)N(CCCl)CCCl",
    "fosfomycin": "CC1OC1P(=O)(O)O",
    "tenofovir": "CC(Cn1cnc2c1ncnc2N)OCP(=O)(O)O",
    "malathion": "CCOC(=O)CC(SP(=S)(OC)OC)C(=O)OCC",
    "clidinium": "C[N+]12CCC(CC1)C(C2)OC(=O)C(O)(c1ccccc1)c1ccccc1",
    "neostigmine": "CN(C)C(=O)Oc1cccc(c1)[N+](C)(C)C",
    "efavirenz": "O=C1Nc2ccc(Cl)cc2C(C#CC2CC2)(O1)C(F)(F)F",
    "penicillin G": "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
    "metformin": "CN(C)C(=N)NC(N)=N",
}
# Of MOSES (ZINC Clean Leads). Of 3,000 of its training molecules, none has an alert of agents or of reactive groups.
ORDINARY = (
    "CC1C2CCC(C2)C1CN(CCO)C(=O)c1ccc(Cl)cc1", "COc1ccc(-c2cc(=O)c3c(O)c(OC)c(OC)cc3o2)cc1O",
    "CCOC(=O)c1ncn2c1CN(C)C(=O)c1cc(F)ccc1-2", "Clc1ccccc1-c1nc(-c2ccncc2)no1",
    "CC(C)(C)c1ccc2occ(CC(=O)Nc3ccccc3F)c2c1",
)  # fmt: skip


@pytest.mark.parametrize("name", AGENTS)
def test_agents_are_withheld_with_a_reason(name: str) -> None:
    alerts = screen_molecule(Molecule(AGENTS[name]))
    assert is_withheld(alerts)
    assert alerts[0].kind == AGENT
    assert alerts[0].reason in format_alerts(alerts)
    assert is_withheld(screen_molecule(Molecule(AGENTS[name]), (AGENT,)))


@pytest.mark.parametrize("name", DRUGS)
def test_drugs_are_not_withheld(name: str) -> None:
    assert not is_withheld(screen_molecule(Molecule(DRUGS[name])))


@pytest.mark.parametrize("smiles", ORDINARY)
def test_ordinary_molecules_have_no_alerts_of_agents_or_reactive_groups(smiles: str) -> None:
    assert screen_molecule(Molecule(smiles), KINDS[:2]) == []


@pytest.mark.parametrize(
    ("smiles", "name"),
    [
        ("CC(=O)Cl", "acyl halide"),
        ("CS(=O)(=O)Cl", "sulfonyl halide"),
        ("CCN=C=O", "isocyanate or isothiocyanate"),
        ("CC1CO1", "epoxide, aziridine or thiirane"),
        ("CCI", "alkyl bromide or iodide"),
        ("C=CC(=O)NC", "Michael acceptor"),
        ("CCC=O", "aldehyde"),
        ("CN(C)N=O", "nitrosamine"),
        ("CCN=[N+]=[N-]", "azide or diazo group"),
        ("COOC", "peroxide"),
        ("CCO[N+](=O)[O-]", "several nitro, nitrate or nitramine groups"),
        ("CCOP(=S)(OCC)Oc1ccc([N+](=O)[O-])cc1", "phosphate or phosphonate ester with a leaving group"),
        ("CCSCCCl", "alkylating 2-haloethyl amine or sulfide"),
    ],
)
def test_reactive_groups_are_warned_of_and_not_withheld(smiles: str, name: str) -> None:
    alerts = screen_molecule(Molecule(smiles), KINDS[:2])
    assert name in [alert.name for alert in alerts]
    assert not is_withheld(alerts)


def test_unwanted_groups_and_disturbers_of_assays_name_their_source() -> None:
    quinone = screen_molecule(Molecule("O=C1C=CC(=O)C=C1"))
    assert any("Brenk" in str(alert) for alert in quinone)
    rhodanine = screen_molecule(Molecule("O=C1NC(=S)SC1=Cc1ccccc1"))
    assert any("PAINS" in str(alert) for alert in rhodanine)
    assert len(format_alerts(rhodanine, 1).split(";")) == 2


def test_every_pattern_is_read_and_the_screen_takes_bare_molecules() -> None:
    from rdkit import Chem

    for rule in (*AGENT_RULES, *REACTIVE_RULES):
        assert all(Chem.MolFromSmarts(smarts) is not None for smarts in rule.smarts), rule.alert.name
    assert screen_mol(Chem.MolFromSmiles("CCO")) == []
