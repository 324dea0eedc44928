"""The hazard screen: warfare agents, which are withheld, and reactive or assay-disturbing groups, which are warned of.

Substructures only: a molecule without alerts may be dangerous all the same, and one with a warning may be a drug.
The agents are the families of Schedule 1 of the Chemical Weapons Convention and well-known ones of Schedules 2 and 3,
as patterns that are as wide as the families, so that close relatives match too.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import Mol, Molecule, to_mol

AGENT, REACTIVE, UNWANTED, ASSAY = "agent", "reactive", "unwanted", "assay"
KINDS = (AGENT, REACTIVE, UNWANTED, ASSAY)


@dataclass(frozen=True)
class Alert:
    """A substructure of a molecule and why it matters; one of the kind "agent" is withheld."""

    kind: str  # one of KINDS
    name: str
    reason: str

    @property
    def is_withheld(self) -> bool:
        """Whether a molecule with this alert is not shown by default."""
        return self.kind == AGENT

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Rule:
    """An alert and the patterns of which one suffices."""

    alert: Alert
    smarts: tuple[str, ...]


_NERVE = "inhibits acetylcholinesterase (CWC Schedule 1)"
_BLISTER = "blisters skin and alkylates DNA (CWC Schedule 1)"
_X = "[Cl,Br,I]"
_ARM = f"[CH2][CH2]{_X}"
AGENT_RULES = tuple(
    Rule(Alert(AGENT, name, reason), smarts)
    for name, reason, smarts in (
        (
            "organophosphorus fluoride",
            f"G- and A-series nerve agents; {_NERVE}",
            ("[#15](~[O,S])F", "[#15X3](F)[#6,O,N]"),
        ),
        ("phosphoryl cyanide", f"the tabun family; {_NERVE}", ("[#15](~[O,S])C#N",)),
        (
            "aminoethyl phosphonothiolate",
            f"V-series nerve agents; {_NERVE}",
            (
                "[#15](~[OX1,SX1])([#6])[S,Se][CX4][CX4][#7]",
                "[#15](~[OX1,SX1])(O)(O)[S,Se][CX4][CX4][#7]",
                "[#15](=[SX1])([#6])[OX2][CX4][CX4][NX3,NX4]",
            ),
        ),
        (
            "alkylphosphonyl halide or aminoethyl phosphonite",
            "direct precursors of nerve agents (CWC Schedule 1)",
            ("[#15](~[OX1,SX1])([CX4])([Cl,Br])[OX2][#6]", "[#15X3]([CX4])([OX2][#6])[OX2][CX4][CX4][#7]"),
        ),
        (
            "dimethylcarbamoyloxypyridine with a quaternary amine",
            f"carbamate agents; {_NERVE}",
            ("[CH3]N([CH3])C(=O)Oc1cccnc1C[NX4+]",),
        ),
        (
            "sulfur mustard",
            _BLISTER,
            (
                f"[SX2]({_ARM})[CH2]{_X}",
                f"[SX2]({_ARM}){_ARM}",
                f"{_X}[CH2][CH2][SX2].[SX2][CH2][CH2]{_X}",
            ),
        ),
        (
            "nitrogen mustard",
            _BLISTER,
            (f"[#7;!$(N~[C,S,P]=[O,S])]({_ARM})({_ARM})[$([CH3]),$([CH2][CH3]),$({_ARM})]",),
        ),
        ("organoarsenic halide", f"lewisites and their like; {_BLISTER}", ("[As]([F,Cl,Br,I])[#6]", "[As]C=C[Cl,Br]")),
        (
            "saxitoxin skeleton",
            "blocks sodium channels and breathing (CWC Schedule 1)",
            ("C1~N~C(~N)~N2CCC(~O)C23~N~C(~N)~N~C13", "C1~[#7]~C(~[#7])~[#7]2CCC(~[#8])C23~[#7]~C(~[#7])~[#7]~C13"),
        ),
        (
            "3-quinuclidinyl benzilate",
            "an incapacitating agent (CWC Schedule 2)",
            ("OC(c1ccccc1)(c1ccccc1)C(=O)OC1C[NX3]2CCC1CC2",),
        ),
        (
            "lung or blood agent",
            "phosgenes, cyanogen halides, chloropicrin, perfluoroisobutene (CWC Schedules 2 and 3)",
            (
                "[F,Cl,Br][CX3](=O)[F,Cl,Br]",
                "[Cl,Br,F]C#N",
                "ClC(Cl)(Cl)[N+](=O)[O-]",
                "ClC(Cl)(Cl)OC(=O)[Cl,O]",
                "FC(F)=C(C(F)(F)F)C(F)(F)F",
                "[CH]#[NX1]",
            ),
        ),
    )
)

_TO_PROTEINS = "reacts with proteins, and so in most assays and in the body"
REACTIVE_RULES = tuple(
    Rule(Alert(REACTIVE, name, reason), smarts)
    for name, reason, smarts in (
        ("acyl halide", _TO_PROTEINS, ("[CX3](=[OX1])[F,Cl,Br,I]",)),
        ("sulfonyl halide", _TO_PROTEINS, ("[SX4](=O)(=O)[F,Cl,Br,I]",)),
        ("isocyanate or isothiocyanate", _TO_PROTEINS, ("[NX2]=[CX2]=[OX1,SX1]",)),
        ("anhydride", _TO_PROTEINS, ("[CX3](=[OX1])[OX2][CX3](=[OX1])",)),
        ("epoxide, aziridine or thiirane", "alkylates DNA and proteins", ("[C;r3]1[O,N,S;r3][C;r3]1",)),
        ("alkylating 2-haloethyl amine or sulfide", "alkylates DNA (some cancer drugs do)", (f"[NX3,SX2]{_ARM}",)),
        ("alkyl bromide or iodide", "alkylates DNA and proteins", ("[CX4;H1,H2,H3][Br,I]",)),
        ("alpha-halo carbonyl", _TO_PROTEINS, ("[Cl,Br,I][CX4;H1,H2]C(=O)[#6,#7,#8]",)),
        ("Michael acceptor", _TO_PROTEINS, ("[CX3;H1,H2;!R]=[CX3;!R]C(=O)[#6,#7]", "[CH2]=C[SX4](=O)(=O)")),
        ("aldehyde", _TO_PROTEINS, ("[CX3H1](=O)[#6]",)),
        ("phosphate or phosphonate ester with a leaving group",
         "may inhibit acetylcholinesterase, as some insecticides",
         ("[#15](=[O,S])([#6,O])(O)[O,S]c", "[#15](=[O,S])(O[#6])(O[#6])[SX2][#6]")),
        ("nitrosamine", "causes cancer in animals", ("[NX3][NX2]=O",)),
        ("azide or diazo group", "may decompose violently", ("[N-]=[N+]", "C=[N+]=[N-]")),
        ("peroxide", "may decompose violently", ("[OX2][OX2]",)),
        ("several nitro, nitrate or nitramine groups", "may be explosive",
         ("[NX3+](=O)[O-].[NX3+](=O)[O-].[NX3+](=O)[O-]", "[OX2][NX3+](=O)[O-]", "[NX3][NX3+](=O)[O-]")),
        ("halogen on nitrogen or oxygen", "oxidises, and may decompose violently", ("[#7,#8][Cl,Br,I]",)),
    )
)  # fmt: skip


def screen_molecule(molecule: Molecule, kinds: Collection[str] = KINDS) -> list[Alert]:
    """Return the alerts of a molecule, the gravest first; [] if it has none of these substructures."""
    return screen_mol(to_mol(molecule), kinds)


def screen_mol(mol: Mol, kinds: Collection[str] = KINDS) -> list[Alert]:
    """Return the alerts of a sanitised molecule of rdkit, of some kinds; agents alone take a tenth of the time."""
    alerts = [alert for kind, rules in RULES.items() if kind in kinds for alert in match_rules(mol, rules)]
    alerts += [alert for kind in CATALOGS if kind in kinds for alert in match_catalog(mol, kind)]
    return list(dict.fromkeys(alerts))


def is_withheld(alerts: Iterable[Alert]) -> bool:
    """Return whether a molecule with these alerts is not shown by default."""
    return any(alert.is_withheld for alert in alerts)


def format_alerts(alerts: Sequence[Alert], limit: int = 4) -> str:
    """Return alerts in one line, e.g. for a table or a note."""
    rest = len(alerts) - limit
    return "; ".join(map(str, alerts[:limit])) + (f"; and {rest} more" if rest > 0 else "")


RULES = {AGENT: AGENT_RULES, REACTIVE: REACTIVE_RULES}
CATALOGS = {UNWANTED: "BRENK", ASSAY: "PAINS"}
CATALOG_REASONS = {
    UNWANTED: "toxic, reactive or unstable in the body (Brenk et al. 2008)",
    ASSAY: "disturbs many assays (PAINS, Baell and Holloway 2010)",
}


def match_rules(mol: Mol, rules: Sequence[Rule]) -> Iterator[Alert]:
    """Yield the alerts of the rules that match."""
    for alert, patterns in load_rules(rules):
        if any(mol.HasSubstructMatch(pattern) for pattern in patterns):
            yield alert


@cache
def load_rules(rules: Sequence[Rule]) -> list[tuple[Alert, list[Mol]]]:
    """Return the patterns of rules for rdkit."""
    chem = load_chem()
    return [(rule.alert, [chem.MolFromSmarts(smarts) for smarts in rule.smarts]) for rule in rules]


def match_catalog(mol: Mol, kind: str) -> Iterator[Alert]:
    """Yield the alerts of one of rdkit's catalogs."""
    for entry in load_catalog(CATALOGS[kind]).GetMatches(mol):
        name = entry.GetDescription().partition("(")[0].strip("_").replace("_", " ")
        yield Alert(kind, f"{CATALOGS[kind]} {name}", CATALOG_REASONS[kind])


@cache
def load_catalog(name: str) -> Any:
    """Return a catalog of rdkit, which takes a few milliseconds, once."""
    filters = load_library("rdkit.Chem.FilterCatalog")
    params = filters.FilterCatalogParams()
    params.AddCatalog(getattr(filters.FilterCatalogParams.FilterCatalogs, name))
    return filters.FilterCatalog(params)
