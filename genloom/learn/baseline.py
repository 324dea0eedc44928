"""What the champion can do without learning: give several answers and let the reward model choose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genloom.generate import engine
from genloom.learn.asked import Asked, answered
from genloom.learn.measures import Judge
from genloom.learn.rewarding import Rewarding
from genloom.model import Model
from genloom.rate.gate import Measure, wins
from genloom.store.workspace import Workspace


@dataclass(frozen=True)
class Chooser:
    """Chooses among answers by the reward model; a machine judges the choice, or else the reward model itself."""

    rewarding: Rewarding
    judge: Judge | None

    def outcomes(self, asked: Sequence[Asked], one: Sequence[Any], two: Sequence[Any]) -> list[float]:
        """Whether the second answer beats the first, by prompt: 1, 0.5 where they are as good, 0."""
        scores = self.rewarding.of_answers if self.judge is None else self.judge.scores
        first, second = (scores(asked, texts) for texts in (one, two))
        return ((second > first) + 0.5 * (second == first)).tolist()


def without_learning(
    workspace: Workspace,
    writer: Model,
    chooser: Chooser,
    asked: Sequence[Asked],
    first: Sequence[Any],
    count: int,
    run: str,
) -> tuple[Measure, ...]:
    """How often the champion beats its own first answer, with the best of `count` more, and with the first good one.

    Best-of-N (Stiennon et al. 2020), and rejection sampling: answers are drawn one by one until one earns more than
    half of the rated ones do, `count` at most. Neither is a proof for or against a challenger.
    """
    more = [
        replace(each, request=replace(each.request, nonces=(nonce,)))
        for each, nonces in zip(asked, drawn(asked, count, engine.pool_of(writer.codec.space)), strict=True)
        for nonce in nonces
    ]
    texts = answered(workspace, writer, more, {"learn": run})
    scores_NK = chooser.rewarding.of_answers(more, texts).reshape(len(asked), count)
    rows = np.arange(len(asked)) * count
    best = [texts[n] for n in rows + scores_NK.argmax(1)]
    good_NK = scores_NK > chooser.rewarding.median
    place_N = np.where(good_NK.any(1), good_NK.argmax(1), scores_NK.argmax(1))
    accepted = [texts[n] for n in rows + place_N]
    draws = np.where(good_NK.any(1), good_NK.argmax(1) + 1, count).mean()
    by = chooser.judge.name if chooser.judge else "the reward model itself"
    told = {f"best of {count}, by {by}": best, f"first good one, of {draws:.1f} on average, by {by}": accepted}
    return tuple(replace(wins(name, chooser.outcomes(asked, first, said)), proof=False) for name, said in told.items())


def drawn(asked: Sequence[Asked], count: int, pool: int) -> list[tuple[int, ...]]:
    """New chances, `count` for each prompt."""
    nonces = engine.request([each.prompt for each in asked], count, 1, (), {}, pool).nonces
    return [nonces[n : n + count] for n in range(0, len(nonces), count)]
