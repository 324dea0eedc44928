"""Evaluation of designs: how stiff they are beside held-out ones of the same goals, their volume and floating parts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genloom.evaluate import default
from genloom.evaluate.battery import Battery
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.design.measures import DesignMeasures, measure_design, summarize_errors
from genloom.evaluate.report import Report, without_interval
from genloom.media.design.problems import build_problem
from genloom.media.design.structure import Structure

BATTERY: Battery | None = None
compare = default.compare


def evaluate(context: EvaluationContext) -> Report:
    """Measure the held-out loss, and samples for the goals of held-out designs beside those designs."""
    items, outputs = default.generate_samples(context)
    report = default.build_report(context, items, outputs)
    pairs = [(output, item.value) for output, item in zip(outputs, items, strict=True) if item.value.goals is not None]
    if not pairs:
        return report
    values, lines = measure_pairs(pairs)
    numbers = {name: without_interval(value, len(pairs)) for name, value in values.items()}
    return replace(
        report,
        measures={**report.measures, **numbers},
        details={**report.details, "designs": values},
        lines=[*report.lines, *lines],
    )


def measure_pairs(pairs: Sequence[tuple[Structure, Structure]]) -> tuple[dict[str, Any], list[str]]:
    """Return measures by name, and lines for people, of designs each with the held-out one of its goals."""
    made: list[DesignMeasures] = []
    held_out: list[DesignMeasures] = []
    for design, reference in pairs:
        assert reference.goals is not None
        problem = build_problem(reference.goals)
        made.append(measure_design(problem, design.density))
        held_out.append(measure_design(problem, reference.density))
    errors = summarize_errors([each.compliance for each in made], [each.compliance for each in held_out])
    values = {
        "mean compliance error": errors.mean,
        "median compliance error": errors.median,
        "volume error": float(np.mean([each.volume_error for each in made])),
        "with floating parts": float(np.mean([each.floating > 0 for each in made])),
        "with unheld loads": float(np.mean([each.unheld_loads > 0 for each in made])),
    }
    lines = [
        f"Beside the held-out designs of the same goals, before any refinement: compliance error {errors}",
        f"  volume error {values['volume error']:.2%}, floating parts in {values['with floating parts']:.1%}",
        f"  loads that nothing carries in {values['with unheld loads']:.1%}",
    ]
    return values, lines
