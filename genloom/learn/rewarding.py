"""The reward model: fitted to the ratings, calibrated on those held out, and asked what answers are worth."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genloom.learn.asked import Asked, lessons_of
from genloom.model import Model
from genloom.rate.calibration import Calibration, calibration
from genloom.rate.preferences import Preference, Preferences
from genloom.rate.prompts import split
from genloom.store.workspace import Workspace
from genloom.train import judging
from genloom.train.lessons import Rows


@dataclass(frozen=True)
class Rewarding:
    """A head on the champion's own states, and how far it can be believed."""

    champion: Model
    judge: judging.Judge
    worth: Calibration
    median: float  # what rated answers earn

    def of_symbols(self, prompts: Rows, answers: Rows, _: Sequence[str] = ()) -> np.ndarray:
        """Log-odds that an answer is preferred; only differences for one prompt mean anything."""
        return self.judge.scores(judging.features(self.champion, prompts, answers)) / self.worth.temperature

    def of_texts(self, asked: Sequence[Asked], texts: Sequence[str]) -> np.ndarray:
        rows = tuple(tuple(int(n) for n in self.champion.codec.encode(text)) or (0,) for text in texts)
        return self.of_symbols(tuple(each.before for each in asked), rows)

    @property
    def digest(self) -> str:
        parts = (self.judge.mean_F, self.judge.scale_F, self.judge.weight_F, np.float64(self.worth.temperature))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def fitted(workspace: Workspace, champion: Model, prefs: Preferences) -> Rewarding | None:
    """A judge fitted to the training pairs, and how far it can be believed by the held-out ones; None without pairs.

    Every fifth training prompt sets how strongly it is held back and its temperature.
    """

    def rows(pairs: list[Preference]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        told = lessons_of(workspace, champion, pairs)
        win, lose = (judging.features(champion, told.prompts, side) for side in (told.answers, told.worse))
        return win, lose, np.array(told.weights)

    if not judging.can_judge(champion):
        return None
    train = [pair for pair in prefs.pairs if split(pair.prompt) == "train"]
    held = [pair for pair in prefs.pairs if split(pair.prompt) == "val"]
    prompts = sorted({pair.prompt for pair in train})
    aside = set(prompts[::5])
    fit, tune = [p for p in train if p.prompt not in aside], [p for p in train if p.prompt in aside]
    if not (fit and tune and held):
        return None
    (win, lose, weights), (win2, lose2, _), (win3, lose3, _) = rows(fit), rows(tune), rows(held)

    def margins(judge: judging.Judge, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return judge.scores(one) - judge.scores(two)

    judges = [judging.fitted(win, lose, weights, strength) for strength in judging.STRENGTHS]
    best = min(judges, key=lambda judge: float(np.logaddexp(0, -margins(judge, win2, lose2)).mean()))
    worth = calibration(margins(best, win3, lose3), margins(best, win2, lose2))
    median = float(np.median(best.scores(np.concatenate([win, lose])))) / worth.temperature
    return Rewarding(champion, best, worth, median)
