"""Best-of-n of the champion without training: the reward model chooses among several answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genloom.generate import engine
from genloom.learn.comparison import AnswerScorer
from genloom.learn.eval_prompts import EvalPrompt, generate_answers
from genloom.learn.reward_model import RewardModel
from genloom.model import Model
from genloom.rate.gate import Measure, measure_win_rate
from genloom.store.workspace import Workspace


@dataclass(frozen=True)
class BestOfN:
    """A reward model that chooses among answers, and the scorer of the choice (else the reward model itself)."""

    reward_model: RewardModel
    scorer: AnswerScorer | None

    def compare_answers(
        self, eval_prompts: Sequence[EvalPrompt], first_answers: Sequence[Any], second_answers: Sequence[Any]
    ) -> list[float]:
        """Return for each prompt whether the second answer beats the first: 1, 0.5 for a tie, 0."""
        score_answers = self.reward_model.score_answers if self.scorer is None else self.scorer.score_answers
        first_scores, second_scores = (score_answers(eval_prompts, texts) for texts in (first_answers, second_answers))
        return ((second_scores > first_scores) + 0.5 * (second_scores == first_scores)).tolist()


def measure_best_of_n(
    workspace: Workspace,
    champion: Model,
    best_of_n: BestOfN,
    eval_prompts: Sequence[EvalPrompt],
    first_answers: Sequence[Any],
    count: int,
    run: str,
) -> tuple[Measure, ...]:
    """Measure how often the champion's best of `count` answers, and its first good one, beat its first answer.

    Best-of-n (Stiennon et al. 2020), and rejection sampling: answers are sampled until one has a reward above the
    median of rated answers, at most `count`. Neither is a proof for or against a challenger.
    """
    resampled_prompts = [
        replace(eval_prompt, request=replace(eval_prompt.request, nonces=(nonce,)))
        for eval_prompt, nonces in zip(
            eval_prompts,
            draw_nonces(eval_prompts, count, engine.is_open_sequence(champion.codec.space)),
            strict=True,
        )
        for nonce in nonces
    ]
    texts = generate_answers(workspace, champion, resampled_prompts, {"learn": run})
    scores_NK = best_of_n.reward_model.score_answers(resampled_prompts, texts).reshape(len(eval_prompts), count)
    row_starts = np.arange(len(eval_prompts)) * count
    best_answers = [texts[n] for n in row_starts + scores_NK.argmax(1)]
    is_good_NK = scores_NK > best_of_n.reward_model.median_reward
    choice_N = np.where(is_good_NK.any(1), is_good_NK.argmax(1), scores_NK.argmax(1))
    accepted_answers = [texts[n] for n in row_starts + choice_N]
    mean_draws = np.where(is_good_NK.any(1), is_good_NK.argmax(1) + 1, count).mean()
    scorer_name = best_of_n.scorer.name if best_of_n.scorer else "the reward model itself"
    answers_by_name = {
        f"best of {count}, by {scorer_name}": best_answers,
        f"first above the median, of {mean_draws:.1f} on average, by {scorer_name}": accepted_answers,
    }
    return tuple(
        replace(measure_win_rate(name, best_of_n.compare_answers(eval_prompts, first_answers, answers)), is_proof=False)
        for name, answers in answers_by_name.items()
    )


def draw_nonces(eval_prompts: Sequence[EvalPrompt], count: int, is_sequence: bool) -> list[tuple[int, ...]]:
    """Draw `count` new nonces for each prompt."""
    nonces = engine.build_request(
        [eval_prompt.prompt for eval_prompt in eval_prompts], count, 1, (), {}, is_sequence
    ).nonces
    return [nonces[n : n + count] for n in range(0, len(nonces), count)]
