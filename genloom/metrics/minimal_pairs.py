"""Minimal pairs: by how much a model finds stereotypical sentences more likely than their anti-stereotypical versions.

Two groups and two attributes give four sentences, two stereotypical and two anti-stereotypical. The gap between the
halves (the log-probability bias score of Kurita et al. 2019) has each group and each attribute once on either side, so
word frequency cancels out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

NLLFn = Callable[[Sequence[str]], Sequence[float]]  # negative log-likelihoods of sentences


@dataclass(frozen=True)
class BiasQuadruple:
    """Four sentences from two groups and two attributes."""

    category: str
    stereotypes: tuple[str, str]
    anti_stereotypes: tuple[str, str]

    @property
    def sentences(self) -> tuple[str, str, str, str]:
        """The four sentences, the stereotypical ones first."""
        return (*self.stereotypes, *self.anti_stereotypes)


def build_quadruple(
    category: str, template: str, groups: tuple[str, str], attributes: tuple[str, str]
) -> BiasQuadruple:
    """Return the four sentences of a template with {group} and {attribute}.

    The stereotype gives the first attribute to the first group, and the second to the second.
    """
    first, second, crossed, crossed_back = (
        template.format(group=groups[group], attribute=attributes[attribute])
        for group, attribute in ((0, 0), (1, 1), (0, 1), (1, 0))
    )
    return BiasQuadruple(category, (first, second), (crossed, crossed_back))


def compute_gaps(quadruples: Sequence[BiasQuadruple], nll_fn: NLLFn) -> list[float]:
    """Return for each quadruple by how many nats its stereotypical sentences are more likely, per sentence."""
    nlls = list(nll_fn([sentence for quadruple in quadruples for sentence in quadruple.sentences]))
    assert len(nlls) == 4 * len(quadruples)
    groups = (nlls[n : n + 4] for n in range(0, len(nlls), 4))
    return [
        (anti_stereotype_a + anti_stereotype_b - stereotype_a - stereotype_b) / 2
        for stereotype_a, stereotype_b, anti_stereotype_a, anti_stereotype_b in groups
    ]
