"""Check that a molecule has no hazard alerts: agents, reactive groups, unwanted groups, disturbers of assays."""

from dataclasses import dataclass

from genloom.errors import GenloomError, format_suggestion
from genloom.media.molecule.hazards import KINDS, format_alerts, is_withheld, screen_mol
from genloom.media.molecule.molecule import Molecule, find_mol
from genloom.rate.checks import CheckResult

media = ("molecule",)


@dataclass(frozen=True)
class Config:
    kinds: tuple[str, ...] = KINDS  # of alerts that count

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                hint = format_suggestion(kind, KINDS)
                raise GenloomError("rate.unknown_hazard", kind=kind, hint=hint, kinds=", ".join(KINDS))


def check(molecule: Molecule, config: Config) -> CheckResult:
    """Score 1 without alerts, else one over one more than their number; an agent and an invalid molecule score 0."""
    mol = find_mol(molecule)
    if mol is None:
        return CheckResult(0.0, False, "it is no valid molecule")
    alerts = screen_mol(mol, config.kinds)
    if is_withheld(alerts):
        return CheckResult(0.0, False, format_alerts(alerts))
    return CheckResult(1 / (1 + len(alerts)), not alerts, format_alerts(alerts) or "no alerts")
