"""Check the form of a design: few holes, slender bars, organic lines: `form:max_holes=2`.

Thickness is the mean over the bars, as a share of the longest side. Straightness is from 0.03 (edges in all directions)
to 1 (in one).
"""

from dataclasses import dataclass
from math import expm1

from genloom.media.design.structure import Structure
from genloom.media.design.style_features import STYLE_NAMES, measure_style_features
from genloom.rate.checks import CheckResult
from genloom.settings import option

media = ("design",)
PASSED = 0.999  # scores of at least this are met but for rounding


@dataclass(frozen=True)
class Config:
    max_holes: int | None = option(None, "Greatest number of holes.", minimum=0)
    max_thickness: float | None = option(None, "Greatest mean thickness of bars, of the longest side.", minimum=0)
    max_straightness: float | None = option(None, "Greatest straightness of edges.", minimum=0, maximum=1)


def check(structure: Structure, config: Config) -> CheckResult:
    """Score how near the form comes to each limit that is given: the product of their shares."""
    features = dict(zip(STYLE_NAMES, measure_style_features(structure).tolist(), strict=True))
    holes, thickness, straightness = (
        round(expm1(features["holes"])),
        features["mean thickness"],
        features["straightness"],
    )
    score = 1.0
    if config.max_holes is not None:
        score *= min((config.max_holes + 1) / (holes + 1), 1.0)
    if config.max_thickness is not None:
        score *= min(config.max_thickness / max(thickness, 1e-9), 1.0)
    if config.max_straightness is not None:
        score *= min(config.max_straightness / max(straightness, 1e-9), 1.0)
    facts = f"{holes} holes, bars {thickness:.1%} of a side thick, straightness {straightness:.3f}"
    return CheckResult(score, score >= PASSED, facts)
