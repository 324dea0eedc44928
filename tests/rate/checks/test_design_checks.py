"""Checks of the form of designs."""

import numpy as np
import pytest

from genloom.media.design.structure import Structure
from genloom.rate.auto_rater import parse_check

DISC = Structure.from_density(np.hypot(*np.indices((24, 24)) - 11.5) < 9)


def build_frame(border: int, num_bars: int = 0) -> Structure:
    """Return a square frame whose bars are so many elements thick, with upright bars inside."""
    density = np.ones((24, 24))
    density[border:-border, border:-border] = 0
    for place in np.linspace(border, 24 - border, num_bars + 2)[1:-1].astype(int):
        density[:, place] = 1
    return Structure.from_density(density)


@pytest.mark.parametrize(
    ("spec", "met", "missed"),
    [
        ("form:max_holes=1", build_frame(4), build_frame(4, 3)),
        ("form:max_thickness=0.1", build_frame(1), build_frame(6)),
        ("form:max_straightness=0.12", DISC, build_frame(4)),
        ("form:max_holes=1;max_thickness=0.1", build_frame(1), build_frame(6, 2)),
    ],
)
def test_a_form_is_scored_by_how_near_it_comes(spec: str, met: Structure, missed: Structure) -> None:
    _, check = parse_check(spec, "design")
    good, bad = check(met), check(missed)
    assert (good.score, good.has_passed) == (1.0, True), good.reason
    assert 0 < bad.score < 0.9
    assert not bad.has_passed
    assert "holes" in bad.reason
