"""Champion and challenger measured on what was held out: ratings, answers to the same prompts, what may not fall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom.generate import conversation, engine
from genloom.learn import whole
from genloom.learn.asked import Asked
from genloom.learn.rewarding import Rewarding
from genloom.likelihood import surprise
from genloom.model import Model
from genloom.rate import machine
from genloom.rate.gate import Measure, by_prompt, paired, wins
from genloom.rate.regressions import bias, measures
from genloom.rate.regressions.words import PROMPTS
from genloom.store.workspace import Workspace
from genloom.train import documents, tuning
from genloom.train.lessons import Lessons, Sides, looked_up
from genloom.trust.copied import copied as held_against
from genloom.types import Message

VALID = 0.05  # share of the answers that may become empty or go round in circles
HARMLESS = 32  # symbols in which a refusal shows itself
DRAWS = 16  # of the noise under which a loss that is a bound is looked at
PIECE = 600  # characters of general text that are one piece
GENERAL_BYTES = 16_000


@dataclass(frozen=True)
class Answers:
    """What both versions wrote for the same prompts, with the same chance."""

    asked: Sequence[Asked]
    champion: list[Any]
    challenger: list[Any]


def agreement(
    champion: Model, challenger: Model, held: Lessons, prompts: Sequence[str], per_unit: bool, alpha: float
) -> Measure:
    """How often the challenger has moved towards what raters prefer, on pairs that it never saw; the coin's is half.

    Of single answers: whether good ones have risen more than the median, and bad ones less.
    """
    rises = risen(champion, challenger, held, per_unit)
    if held.worse:
        gaps = rises[0] - rises[1]
    else:
        gaps = (rises[0] - np.median(rises[0])) * np.where(held.good, 1, -1)
    outcomes = (gaps > 0) + 0.5 * (gaps == 0)
    return wins("held-out ratings, by likelihood", by_prompt(prompts, outcomes.tolist()), alpha=alpha)


def risen(champion: Model, challenger: Model, lessons: Lessons, per_unit: bool) -> np.ndarray:
    """By how many nats, in all or a symbol, the challenger finds each answer likelier, S N."""
    sides = Sides("dpo" if lessons.worse else "kto", lessons, champion.design.length)
    draws = 1 if getattr(champion.objective, "exact", False) else DRAWS
    before, after = (looked_up(m.objective, dict(m.parts.items()), sides, draws) for m in (champion, challenger))
    if not per_unit or lessons.samples is not None:  # a sample is one unit
        return before - after
    return (before - after) / np.array([[max(len(row), 1) for row in side] for side in sides.answers()])


@dataclass(frozen=True)
class Judge:
    """A machine that says how good an answer to a prompt is; of two answers the higher score is the better one."""

    name: str
    score: Callable[[str, Any], float]  # of a prompt and an answer

    def scores(self, asked: Sequence[Asked], said: Sequence[Any]) -> np.ndarray:
        return np.array([self.score(each.prompt, answer) for each, answer in zip(asked, said, strict=True)])

    def outcomes(self, answers: Answers) -> np.ndarray:
        """Whether the challenger's answer is better: 1, 0.5 where both are as good, 0."""
        one, two = (self.scores(answers.asked, said) for said in (answers.champion, answers.challenger))
        return (two > one) + 0.5 * (two == one)


def named(said: str) -> Judge:
    """A machine check as a judge, by a name like "length:most=1". ValueError where there is none."""
    name, check = machine.named(said)
    return Judge(name, lambda prompt, answer: check(answer).score)


def judged(judge: Judge, answers: Answers, alpha: float) -> Measure:
    """Which of both answers a machine judge prefers."""
    return wins(f"held-out answers, by {judge.name}", judge.outcomes(answers), alpha=alpha)


def preferred(judge: Judge, answers: Answers) -> tuple[str, ...]:
    """Whose answer to each prompt the judge prefers; "" where neither."""
    return tuple({0.0: "champion", 1.0: "challenger"}.get(float(each), "") for each in judge.outcomes(answers))


def rewarded(rewarding: Rewarding, answers: Answers) -> Measure:
    """What the reward model thinks of both, in units of its log-odds."""
    one, two = (rewarding.of_answers(answers.asked, said) for said in (answers.champion, answers.challenger))
    return paired("reward model", "reward", one, two)


def safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: Answers
) -> list[Measure]:
    """What may not get worse, whatever the ratings say; `writers` are both models as they wrote their answers."""
    if not engine.written(champion.codec.space):
        return whole.safeguards(workspace, champion, challenger, answers.champion, answers.challenger)
    found = [*checked(answers), *copied(workspace, champion, answers), *kept(workspace, champion, challenger)]
    return [*found, refused(*writers, answers)]


def checked(answers: Answers) -> list[Measure]:
    """What must hold of any answer."""
    one, two = ([float(valid(text)) for text in texts] for texts in (answers.champion, answers.challenger))
    return [
        paired("valid answers", "check", one, two, allowed=VALID),
        measures.insults(answers.champion, answers.challenger),
    ]


def valid(text: str) -> bool:
    """Something is said, and it does not go round in circles."""
    words = text.split()
    triples = [tuple(words[n : n + 3]) for n in range(len(words) - 2)]
    return any(c.isalnum() for c in text) and len(set(triples)) >= 0.6 * len(triples)


def kept(workspace: Workspace, champion: Model, challenger: Model) -> list[Measure]:
    """What both know of general text, and how they lean where people have prejudices."""
    pieces = general(workspace, champion)
    (one, sizes), (two, _) = (zip(*surprise(m, pieces), strict=True) for m in (champion, challenger))
    gaps = [bias.gaps(lambda texts, m=m: [nats for nats, _ in surprise(m, texts)]) for m in (champion, challenger)]
    return [measures.general_text(one, two, sizes), measures.prejudice(gaps[0], gaps[1])]


def general(workspace: Workspace, model: Model) -> list[str]:
    """Pieces of held-out text like what the model was trained on, or of a little of everything where none is there."""
    text = tuning.general()
    data = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        held = documents.held_out(workspace.dataset(data.get("name", ""), data.get("digest", "")), GENERAL_BYTES)
        text = "\n".join(told for told in held if isinstance(told, str)) or text
    except ValueError:
        pass  # imported, or its data are not here any more
    return [text[n : n + PIECE] for n in range(0, len(text), PIECE)]


def copied(workspace: Workspace, model: Model, answers: Answers) -> list[Measure]:
    """The share of each answer that is one span of the training data, where these are here.

    A span counts that is longer than nearly all of what held-out text shares with them by chance: of three words that
    anybody says, every model would be a copyist.
    """
    data = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        dataset = workspace.dataset(data.get("name", ""), data.get("digest", ""))
    except ValueError:
        return []
    texts = [*answers.champion, *answers.challenger]
    found = held_against(texts, dataset.documents("train"), dataset.documents("val"))
    chance = found.baseline.high if found.baseline else 0
    lengths = [copy.length if copy.length > chance else 0 for copy in found.copies]
    shares = [length / max(len(text), 1) for length, text in zip(lengths, texts, strict=True)]
    half = len(answers.champion)
    return [measures.copying(shares[:half], shares[half:])]


def refused(champion: Model, challenger: Model, answers: Answers) -> Measure:
    """How often both refuse: harmless questions that sound otherwise, where they chat, and the held-out prompts."""
    one, two = list(answers.champion), list(answers.challenger)
    if (
        getattr(champion.codec, "roles", None) is not None
        and engine.left_to_right(champion)
        and any(each.request.ids for each in answers.asked)
    ):
        talks = [[Message("user", prompt)] for prompt in PROMPTS]
        asked, _ = conversation.questions(champion, talks, 0, {"length": HARMLESS, "temperature": 0.0})
        for texts, model in ((one, champion), (two, challenger)):
            texts += engine.finished(model, asked).written
    return measures.refusals(one, two)
