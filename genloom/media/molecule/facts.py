"""Molecules in words: their main properties, what is wrong with them, and why one is not handed out."""

from collections.abc import Mapping
from functools import lru_cache

from genloom.errors import GenloomError, format_message
from genloom.media.molecule.libraries import load_library
from genloom.media.molecule.molecule import Molecule, find_mol, parse_error
from genloom.media.molecule.properties import compute_mol_properties

FACTS: Mapping[str, str] = {"mw": "Da", "logp": "logP", "qed": "QED", "sa": "SA"}  # property → how it is written
NOTICE = "A computer's proposal, not medical advice; not tested for safety."


@lru_cache(maxsize=4096)
def _compute_facts(value: Molecule) -> tuple[tuple[str, float], ...]:
    mol = find_mol(value)
    return () if mol is None else tuple(compute_mol_properties(mol, FACTS).items())


def compute_facts(value: Molecule) -> dict[str, float]:
    """Return the main properties by name; {} for what is no molecule."""
    return dict(_compute_facts(value))


def compute_formula(value: Molecule) -> str:
    """Return the molecular formula, such as C9H8O4; "" for what is no molecule."""
    mol = find_mol(value)
    return "" if mol is None else load_library("rdkit.Chem.rdMolDescriptors").CalcMolFormula(mol)


def format_facts(value: Molecule) -> str:
    """Return the formula and the main properties, and below them the alerts; or why it is no molecule."""
    facts = compute_facts(value)
    if not facts:
        return describe_fault(value)
    numbers = [
        f"{facts['mw']:.1f} Da",
        f"logP {facts['logp']:z.1f}",
        f"QED {facts['qed']:.2f}",
        f"SA {facts['sa']:.1f}",
    ]
    alerts = _format_alerts(value)
    return " · ".join([compute_formula(value), *numbers]) + (f"\nAlerts: {alerts}" if alerts else "")


@lru_cache(maxsize=4096)
def _format_alerts(value: Molecule) -> str:
    from genloom.media.molecule.hazards import format_alerts, screen_molecule

    return format_alerts(screen_molecule(value))


def describe_fault(value: Molecule) -> str:
    """Return why a text is no molecule."""
    return str(parse_error(value.smiles)) if value.smiles else format_message("molecule.empty")


def list_problems(value: Molecule) -> list[str]:
    """List what is wrong with a molecule; an empty list if nothing is."""
    mol = find_mol(value)
    if mol is None:
        return [describe_fault(value)]
    problems = []
    if "." in value.smiles:
        problems.append(format_message("molecule.several_parts", count=value.smiles.count(".") + 1))
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        problems.append(format_message("molecule.radical"))
    return problems


def find_withholding_reason(value: Molecule) -> str:
    """Return why a molecule is not handed out: it is none, or it resembles a warfare agent; "" if it may be."""
    from genloom.media.molecule.hazards import screen_molecule

    if find_mol(value) is None:
        return format_message("molecule.withheld_invalid")
    try:
        alerts = screen_molecule(value)
    except GenloomError as error:
        return str(error)
    return next((alert.reason for alert in alerts if alert.is_withheld), "")
