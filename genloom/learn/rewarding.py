"""The reward model: fitted to the ratings, calibrated on those held out, and asked what answers are worth."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from genloom.learn.asked import Asked, lessons_of
from genloom.model import Model
from genloom.rate.calibration import Calibration, calibration
from genloom.rate.preferences import Preference
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


@dataclass(frozen=True)
class Seen:
    """Pairs as the champion sees them: the features of the better and of the worse answer, N F."""

    pairs: tuple[Preference, ...]
    win_NF: np.ndarray
    lose_NF: np.ndarray

    def only(self, chosen: Sequence[int]) -> "Seen":
        return Seen(tuple(self.pairs[n] for n in chosen), self.win_NF[chosen], self.lose_NF[chosen])

    def of(self, wanted: Callable[[str], bool]) -> "Seen":
        """The pairs of these prompts."""
        return self.only([n for n, pair in enumerate(self.pairs) if wanted(pair.prompt)])

    def fitted(self, strength: float) -> judging.Judge:
        weights = np.array([float(pair.weight) for pair in self.pairs])
        return judging.fitted(self.win_NF, self.lose_NF, weights, strength)

    def margins(self, judge: judging.Judge) -> np.ndarray:
        return judge.scores(self.win_NF) - judge.scores(self.lose_NF)


def seen(workspace: Workspace, champion: Model, pairs: Sequence[Preference]) -> Seen | None:
    """Each output is looked at once; None without pairs, and where the champion's network shows no states."""
    if not pairs or not judging.can_judge(champion):
        return None
    told = lessons_of(workspace, champion, pairs)
    rows = [*zip(told.prompts, told.answers, strict=True), *zip(told.prompts, told.worse, strict=True)]
    place = {row: n for n, row in enumerate(dict.fromkeys(rows))}
    prompts, answers = zip(*place, strict=True)
    win_NF, lose_NF = np.split(judging.features(champion, prompts, answers)[[place[row] for row in rows]], 2)
    return Seen(tuple(pairs), win_NF, lose_NF)


def fitted(champion: Model, every: Seen | None) -> Rewarding | None:
    """A judge fitted to the training pairs, and how far it can be believed by the held-out ones; None without pairs.

    Every fifth training prompt sets how strongly it is held back and its temperature.
    """
    if every is None:
        return None
    train, held = every.of(lambda prompt: split(prompt) == "train"), every.of(lambda prompt: split(prompt) == "val")
    aside = set(sorted({pair.prompt for pair in train.pairs})[::5])
    fit, tune = train.of(lambda prompt: prompt not in aside), train.of(lambda prompt: prompt in aside)
    if not (fit.pairs and tune.pairs and held.pairs):
        return None
    judges = [fit.fitted(strength) for strength in judging.STRENGTHS]
    best = min(judges, key=lambda judge: surprise(tune.margins(judge)))
    worth = calibration(held.margins(best), tune.margins(best))
    median = float(np.median(best.scores(np.concatenate([fit.win_NF, fit.lose_NF])))) / worth.temperature
    return Rewarding(champion, best, worth, median)


def surprise(margins: np.ndarray) -> float:
    """Nats that a rater's choice costs a judge, on average."""
    return float(np.logaddexp(0, -margins).mean())
