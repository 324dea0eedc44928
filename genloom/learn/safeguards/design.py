"""Safeguards of designs: they hold, by the solver, so that a prettier but weaker design is refused.

For the same goals, the outputs of the challenger may not be softer, more strained, heavier or less connected than those
of the champion beyond a small tolerance, whatever raters like.
"""

from collections.abc import Sequence
from math import log

from genloom.errors import GenloomError
from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.media.design.facts import assess_structure, count_parts
from genloom.media.design.structure import Structure
from genloom.model import Model
from genloom.rate.gate import Measure, measure_scores
from genloom.store.workspace import Workspace

COMPLIANCE_TOLERANCE = 0.02  # of the logarithm of the compliance: about 2 %
STRESS_TOLERANCE = 0.05  # of the logarithm of the greatest stress: about 5 %
VOLUME_TOLERANCE = 0.005  # of the domain
FAULT_TOLERANCE = 0.02  # share of the outputs with floating parts, or loads that nothing carries
WORST = 1e12  # of a compliance in J or a stress in Pa that cannot be computed


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure compliance, stress, excess volume and connection where goals are known, beside the default measures."""
    pairs = [
        (before, after)
        for before, after in zip(answers.champion, answers.challenger, strict=True)
        if before.goals is not None and after.goals is not None
    ]
    measures = default.measure_safeguards(workspace, champion, challenger, writers, answers)
    if not pairs:
        return measures
    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    return [
        *(
            measure_scores(name, "check", [compute(v) for v in before], [compute(v) for v in after], "lower", tolerance)
            for name, compute, tolerance in (
                ("compliance (log)", measure_log_compliance, COMPLIANCE_TOLERANCE),
                ("greatest stress (log)", measure_log_stress, STRESS_TOLERANCE),
                ("volume above the limit", measure_excess_volume, VOLUME_TOLERANCE),
                ("disconnected designs", measure_disconnection, FAULT_TOLERANCE),
            )
        ),
        *measures,
    ]


def measure_log_compliance(structure: Structure) -> float:
    """Return the logarithm of the compliance, of which a difference is a relative one."""
    try:
        return log(min(assess_structure(structure).compliance, WORST))
    except GenloomError:
        return log(WORST)


def measure_log_stress(structure: Structure) -> float:
    try:
        return log(max(min(assess_structure(structure).max_stress, WORST), 1e-12))
    except GenloomError:
        return log(WORST)


def measure_excess_volume(structure: Structure) -> float:
    assert structure.goals is not None
    return max(structure.volume - structure.goals.limits.volume, 0.0)


def measure_disconnection(structure: Structure) -> float:
    """Return 1 for a design with floating parts, or with a load that nothing joins to a support."""
    parts = count_parts(structure)
    return float(parts.num_floating > 0 or not parts.carries_loads)
