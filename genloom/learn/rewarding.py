"""The reward model: fitted to the ratings, calibrated on those held out, and asked what answers are worth."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from genloom.learn.asked import Asked
from genloom.learn.looks import Looked, answers_looked, can_look, outputs_looked, texts_looked
from genloom.model import Model
from genloom.rate.calibration import Calibration, calibration
from genloom.rate.preferences import Preference
from genloom.store.workspace import Workspace
from genloom.train import judging
from genloom.train.lessons import Rows

FOLDS = 5


@dataclass(frozen=True)
class Rewarding:
    """A head on what is seen of the champion's outputs, and how far it can be believed."""

    champion: Model
    judge: judging.Judge
    worth: Calibration
    median: float  # what rated answers earn

    def of_symbols(self, prompts: Rows, answers: Rows, texts: Sequence[str]) -> np.ndarray:
        """Log-odds that a written answer is preferred; only differences for one prompt mean anything."""
        return self.of(texts_looked(self.champion, prompts, answers, texts))

    def of_answers(self, asked: Sequence[Asked], said: Sequence[Any]) -> np.ndarray:
        """The same of answers of any kind, as a model gives them."""
        return self.of(answers_looked(self.champion, asked, said))

    def of(self, looked: Looked) -> np.ndarray:
        return self.judge.scores(looked.features_NF) / self.worth.temperature

    @property
    def digest(self) -> str:
        parts = (self.judge.mean_F, self.judge.scale_F, self.judge.weight_F, np.float64(self.worth.temperature))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@dataclass(frozen=True)
class Seen:
    """Pairs as they are seen: the features of the better and of the worse answer, N F."""

    pairs: tuple[Preference, ...]
    win_NF: np.ndarray
    lose_NF: np.ndarray
    groups: judging.Groups = ()  # of the features; (): one

    def only(self, chosen: Sequence[int]) -> "Seen":
        return Seen(tuple(self.pairs[n] for n in chosen), self.win_NF[chosen], self.lose_NF[chosen], self.groups)

    def of(self, wanted: Callable[[str], bool]) -> "Seen":
        """The pairs of these prompts."""
        return self.only([n for n, pair in enumerate(self.pairs) if wanted(pair.prompt)])

    def fitted(self, strength: float) -> judging.Judge:
        weights = np.array([float(pair.weight) for pair in self.pairs])
        return judging.fitted(self.win_NF, self.lose_NF, weights, strength, self.groups)

    def margins(self, judge: judging.Judge) -> np.ndarray:
        return judge.scores(self.win_NF) - judge.scores(self.lose_NF)

    @cached_property
    def apart(self) -> tuple[float, np.ndarray]:
        """The pull to zero with which the rest tells each pair best, and every pair's margin by the rest then, N."""
        tried = [(strength, self.by_the_rest(strength)) for strength in judging.STRENGTHS]
        return min(tried, key=lambda each: surprise(each[1]))

    def by_the_rest(self, strength: float) -> np.ndarray:
        """How far each pair's choice is right, by a judge fitted to the prompts of the other folds, N."""
        fold = {prompt: n % FOLDS for n, prompt in enumerate(sorted({pair.prompt for pair in self.pairs}))}
        folds_N = np.array([fold[pair.prompt] for pair in self.pairs])
        margins_N = np.zeros(len(self.pairs))
        for each in sorted(set(folds_N.tolist())):
            inside, outside = places(folds_N == each), places(folds_N != each)
            if outside:
                margins_N[inside] = self.only(inside).margins(self.only(outside).fitted(strength))
        return margins_N


def seen(workspace: Workspace, champion: Model, pairs: Sequence[Preference]) -> Seen | None:
    """Each output is looked at once; None without pairs, and where there is nothing to see of outputs."""
    if not pairs or not can_look(champion):
        return None
    outputs = list(dict.fromkeys([*(pair.win for pair in pairs), *(pair.lose for pair in pairs)]))
    looked, place = outputs_looked(workspace, champion, outputs), {output: n for n, output in enumerate(outputs)}
    wins, losses = [place[pair.win] for pair in pairs], [place[pair.lose] for pair in pairs]
    return Seen(tuple(pairs), looked.features_NF[wins], looked.features_NF[losses], looked.groups)


def fitted(champion: Model, train: Seen | None, held: Seen | None) -> Rewarding | None:
    """A judge fitted to the training pairs, and how far it can be believed by the held-out ones; None without either.

    How strongly it is held back, and its temperature, are set by what the rest of the training prompts says of each.
    """
    if not (train and held and train.pairs and held.pairs):
        return None
    strength, margins_N = train.apart
    judge = train.fitted(strength)
    worth = calibration(held.margins(judge), margins_N)
    median = float(np.median(judge.scores(np.concatenate([train.win_NF, train.lose_NF])))) / worth.temperature
    return Rewarding(champion, judge, worth, median)


def surprise(margins: np.ndarray) -> float:
    """Nats that a rater's choice costs a judge, on average."""
    return float(np.logaddexp(0, -margins).mean())


def places(where_N: np.ndarray) -> Sequence[int]:
    return [int(n) for n in np.flatnonzero(where_N)]
