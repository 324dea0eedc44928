"""Check that a molecule meets goals: `goal:logp=2..3 qed>0.7 mw<400`, or words like `goal:a small soluble amine`."""

from dataclasses import dataclass
from functools import cache

from genloom.media.molecule.goals import Goals, explain_result, parse_goals
from genloom.media.molecule.molecule import Molecule, find_mol
from genloom.rate.checks import CheckResult

media = ("molecule",)


@dataclass(frozen=True)
class Config:
    goals: str = "drug-like"  # as `genloom generate --goal` takes them

    def __post_init__(self) -> None:
        load_goals(self.goals)


def parse(text: str) -> Config:
    """Return the settings of `goal:TEXT`, where the text is the goals."""
    return Config(text) if text else Config()


@cache
def load_goals(text: str) -> Goals:
    return parse_goals(text)


def check(molecule: Molecule, config: Config) -> CheckResult:
    """Score the geometric mean of the goals' scores; an invalid molecule scores 0."""
    goals, mol = load_goals(config.goals), find_mol(molecule)
    if mol is None:
        return CheckResult(0.0, False, "it is no valid molecule")
    result = goals.check_mol(mol)
    return CheckResult(result.score if not result.is_met else 1.0, result.is_met, explain_result(result, goals))
