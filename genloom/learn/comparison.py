"""Champion and challenger on held-out ratings, and on their answers to the same prompts."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom.capabilities import ExactLikelihood
from genloom.learn.eval_prompts import EvalPrompt
from genloom.learn.reward_model import RewardModel
from genloom.model import Model
from genloom.model.design import Design
from genloom.rate import auto_rater
from genloom.rate.gate import Measure, average_by_prompt, measure_scores, measure_win_rate
from genloom.store.workspace import Workspace
from genloom.train.preference.dataset import PreferenceDataset, PreferenceSides, precompute_reference_nll

NUM_NOISE_DRAWS = 16  # to estimate a loss that is a bound


@dataclass(frozen=True)
class AnswerPairs:
    """Answers of both versions to the same prompts, with the same nonces."""

    eval_prompts: Sequence[EvalPrompt]
    champion: list[Any]
    challenger: list[Any]


def measure_agreement(
    champion: Model,
    challenger: Model,
    held_dataset: PreferenceDataset,
    prompts: Sequence[str],
    is_length_normalized: bool,
    alpha: float,
) -> Measure:
    """Measure how often the challenger moved towards the raters' preference on held-out pairs; chance is one half.

    For single answers: whether desirable ones gained more than the median, and undesirable ones less. `prompts` are
    the keys of the preferences.
    """
    implicit_rewards = compute_implicit_rewards(champion, challenger, held_dataset, is_length_normalized)
    if held_dataset.rejected:
        margins = implicit_rewards[0] - implicit_rewards[1]
    else:
        margins = (implicit_rewards[0] - np.median(implicit_rewards[0])) * np.where(held_dataset.desirable, 1, -1)
    outcomes = (margins > 0) + 0.5 * (margins == 0)
    return measure_win_rate(
        "held-out ratings, by likelihood", average_by_prompt(prompts, outcomes.tolist()), alpha=alpha
    )


def compute_implicit_rewards(
    champion: Model, challenger: Model, dataset: PreferenceDataset, is_length_normalized: bool
) -> np.ndarray:
    """Return how much more likely the challenger finds each answer, in nats or nats per token, S N."""
    sides = PreferenceSides("dpo" if dataset.rejected else "kto", dataset, champion.design.context_length)
    num_draws = 1 if isinstance(champion.objective, ExactLikelihood) else NUM_NOISE_DRAWS
    champion_nll, challenger_nll = (
        precompute_reference_nll(model.objective, dict(model.parts.items()), sides, num_draws)
        for model in (champion, challenger)
    )
    if not is_length_normalized or dataset.samples is not None:  # a sample is one term
        return champion_nll - challenger_nll
    return (champion_nll - challenger_nll) / np.array(
        [[max(len(row), 1) for row in side] for side in sides.list_answer_sides()]
    )


@dataclass(frozen=True)
class AnswerScorer:
    """A scorer of answers to a prompt; higher is better."""

    name: str
    score: Callable[[str, Any], float]  # of a prompt and an answer

    def score_answers(self, eval_prompts: Sequence[EvalPrompt], texts: Sequence[Any]) -> np.ndarray:
        return np.array(
            [self.score(eval_prompt.prompt, answer) for eval_prompt, answer in zip(eval_prompts, texts, strict=True)]
        )

    def compare_answers(self, answers: AnswerPairs) -> np.ndarray:
        """Return whether the challenger's answer is better: 1, 0.5 for a tie, 0."""
        champion_scores, challenger_scores = (
            self.score_answers(answers.eval_prompts, texts) for texts in (answers.champion, answers.challenger)
        )
        return (challenger_scores > champion_scores) + 0.5 * (challenger_scores == champion_scores)


def build_check_scorer(spec: str, medium: str) -> AnswerScorer:
    """Return a check of a medium as a scorer, by a spec like "length:max_length=1"."""
    name, check = auto_rater.parse_check(spec, medium)
    return AnswerScorer(name, lambda prompt, answer: check(answer).score)


def require_checks(workspace: Workspace, model: str, specs: Sequence[str]) -> None:
    """Raise GenloomError for a check that there is not for the medium of a model, or whose settings are wrong."""
    if not specs:
        return
    job = tomllib.loads((workspace.get_model(model).folder / "job.toml").read_text(encoding="utf-8"))
    for spec in specs:
        auto_rater.parse_check(spec, Design.from_job(job).medium)


def measure_answers(scorer: AnswerScorer, answers: AnswerPairs, alpha: float) -> Measure:
    """Measure which answers a scorer prefers."""
    return measure_win_rate(f"held-out answers, by {scorer.name}", scorer.compare_answers(answers), alpha=alpha)


def pick_preferred_versions(scorer: AnswerScorer, answers: AnswerPairs) -> tuple[str, ...]:
    """Return whose answer to each prompt the scorer prefers; "" for a tie."""
    return tuple(
        {0.0: "champion", 1.0: "challenger"}.get(float(outcome), "") for outcome in scorer.compare_answers(answers)
    )


def measure_rewards(reward_model: RewardModel, answers: AnswerPairs) -> Measure:
    """Measure the reward of both versions, in log-odds."""
    champion_rewards, challenger_rewards = (
        reward_model.score_answers(answers.eval_prompts, texts) for texts in (answers.champion, answers.challenger)
    )
    return measure_scores("reward model", "reward", champion_rewards, challenger_rewards)
