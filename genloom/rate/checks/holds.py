"""Check that a design holds: connected, within its volume and limits, and stiff: `holds:min_stiffness=0.2`.

Stiffness is that of the design over that of a domain that is solid throughout, by the solver, summed over the loads.
"""

from dataclasses import dataclass

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.facts import assess_structure, list_faults
from genloom.media.design.structure import Structure
from genloom.rate.checks import CheckResult
from genloom.settings import option

media = ("design",)


@dataclass(frozen=True)
class Config:
    min_stiffness: float = option(0.0, "Least stiffness beside a solid domain.", minimum=0, maximum=1)
    max_stress: float = option(0.0, "Greatest von Mises stress in MPa; 0: that of the goals.", minimum=0)


def check(structure: Structure, config: Config) -> CheckResult:
    """Score the stiffness beside a solid domain, halved for each fault; one that cannot be computed scores 0."""
    faults = list_faults(structure)
    try:
        state = assess_structure(structure)
        stiffness = measure_stiffness(structure, state.compliance)
    except GenloomError as error:
        return CheckResult(0.0, False, str(error))
    stress = state.max_stress / 1e6
    if config.max_stress and stress > config.max_stress:
        faults.append(f"its greatest stress is {stress:.4g} MPa, above {config.max_stress:g} MPa")
    if stiffness < config.min_stiffness:
        faults.append(f"its stiffness is {stiffness:.3f} of a solid domain, below {config.min_stiffness:g}")
    facts = f"stiffness {stiffness:.3f} of a solid domain, {stress:.4g} MPa, {structure.volume:.1%} solid"
    if not faults:
        return CheckResult(1.0, True, facts)
    return CheckResult(min(stiffness, 0.99) / 2 ** len(faults), False, f"{facts}; {'; '.join(faults)}")


def measure_stiffness(structure: Structure, compliance: float) -> float:
    """Return the stiffness of a design over that of a solid domain, from 0 to 1."""
    from genloom.media.design.mechanics.problem import EMPTY
    from genloom.media.design.problems import build_problem

    assert structure.goals is not None
    full = Structure.from_density((build_problem(structure.goals).passive != EMPTY).astype(np.float64), structure.goals)
    return min(assess_structure(full).compliance / max(compliance, 1e-300), 1.0)
