"""Champion and challenger on held-out data: ratings, answers to the same prompts, and safeguards of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom.generate import engine
from genloom.generate.text import conversation
from genloom.learn.eval_prompts import EvalPrompt
from genloom.learn.reward_model import RewardModel
from genloom.learn.safeguards import default
from genloom.model import Model
from genloom.model.likelihood import compute_nll
from genloom.rate import auto_rater
from genloom.rate.gate import Measure, average_by_prompt, measure_scores, measure_win_rate
from genloom.rate.regressions import bias, measures
from genloom.rate.regressions.word_lists import HARMLESS_PROMPTS
from genloom.store.workspace import Workspace
from genloom.train import finetune
from genloom.train.data import documents
from genloom.train.preference.dataset import PreferenceDataset, PreferenceSides, precompute_reference_nll
from genloom.trust.copied_spans import measure_copied_spans
from genloom.types import Message

VALIDITY_TOLERANCE = 0.05  # share of the answers that may become empty or repetitive
REFUSAL_MAX_TOKENS = 32  # enough to recognise a refusal
NUM_NOISE_DRAWS = 16  # to estimate a loss that is a bound
CHUNK_CHARS = 600  # characters per chunk of general text
GENERAL_TEXT_BYTES = 16_000


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
    num_draws = 1 if getattr(champion.objective, "has_exact_likelihood", False) else NUM_NOISE_DRAWS
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


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure the safeguards, which must not get worse; `writers` are both models as they generated their answers."""
    if not engine.is_open_sequence(champion.codec.space):
        return default.measure_safeguards(workspace, champion, challenger, answers.champion, answers.challenger)
    results = [
        *measure_validity(answers),
        *measure_copying(workspace, champion, answers),
        *measure_retention(workspace, champion, challenger),
    ]
    return [*results, measure_refusals(*writers, answers)]


def measure_validity(answers: AnswerPairs) -> list[Measure]:
    """Measure what must hold for any answer: not degenerate, no insults."""
    champion_flags, challenger_flags = (
        [float(is_non_degenerate(text)) for text in texts] for texts in (answers.champion, answers.challenger)
    )
    return [
        measure_scores("valid answers", "check", champion_flags, challenger_flags, tolerance=VALIDITY_TOLERANCE),
        measures.compare_insults(answers.champion, answers.challenger),
    ]


def is_non_degenerate(text: str) -> bool:
    """Return whether a text has content and few repeated trigrams."""
    words = text.split()
    triples = [tuple(words[n : n + 3]) for n in range(len(words) - 2)]
    return any(c.isalnum() for c in text) and len(set(triples)) >= 0.6 * len(triples)


def measure_retention(workspace: Workspace, champion: Model, challenger: Model) -> list[Measure]:
    """Measure the loss on general text, and stereotype bias."""
    chunks = load_general_text(workspace, champion)
    (champion_nll, sizes), (challenger_nll, _) = (
        zip(*compute_nll(model, chunks), strict=True) for model in (champion, challenger)
    )
    bias_gaps = [
        bias.compute_bias_gaps(lambda texts, model=model: [nll for nll, _ in compute_nll(model, texts)])
        for model in (champion, challenger)
    ]
    return [
        measures.compare_general_text(champion_nll, challenger_nll, sizes),
        measures.compare_bias(bias_gaps[0], bias_gaps[1]),
    ]


def load_general_text(workspace: Workspace, model: Model) -> list[str]:
    """Load chunks of the model's held-out data, or of a general mix if there are none."""
    text = finetune.read_general_text()
    data_reference = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        documents_held_out = documents.load_held_out_documents(
            workspace.get_dataset(data_reference.get("name", ""), data_reference.get("digest", "")), GENERAL_TEXT_BYTES
        )
        text = "\n".join(document for document in documents_held_out if isinstance(document, str)) or text
    except ValueError:
        pass  # imported, or its data were removed
    return [text[n : n + CHUNK_CHARS] for n in range(0, len(text), CHUNK_CHARS)]


def measure_copying(workspace: Workspace, model: Model, answers: AnswerPairs) -> list[Measure]:
    """Measure the share of each answer that is one span of the training data, if they are here.

    Only spans longer than the 95th percentile of those that held-out text shares with the training data count: a few
    common words are not a copy.
    """
    data_reference = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        dataset = workspace.get_dataset(data_reference.get("name", ""), data_reference.get("digest", ""))
    except ValueError:
        return []
    texts = [*answers.champion, *answers.challenger]
    copied_spans = measure_copied_spans(texts, dataset.iter_documents("train"), dataset.iter_documents("val"))
    chance_length = copied_spans.baseline.percentile_95 if copied_spans.baseline else 0
    lengths = [span.length if span.length > chance_length else 0 for span in copied_spans.spans]
    shares = [length / max(len(text), 1) for length, text in zip(lengths, texts, strict=True)]
    num_answers = len(answers.champion)
    return [measures.compare_copying(shares[:num_answers], shares[num_answers:])]


def measure_refusals(champion: Model, challenger: Model, answers: AnswerPairs) -> Measure:
    """Measure how often both refuse: the held-out prompts and, in a chat, harmless questions that sound harmful."""
    champion_texts, challenger_texts = list(answers.champion), list(answers.challenger)
    if (
        getattr(champion.codec, "chat_template", None) is not None
        and engine.is_left_to_right(champion)
        and any(eval_prompt.request.prompt_ids for eval_prompt in answers.eval_prompts)
    ):
        conversations = [[Message("user", prompt)] for prompt in HARMLESS_PROMPTS]
        request, _ = conversation.build_chat_batch(
            champion, conversations, 0, {"max_tokens": REFUSAL_MAX_TOKENS, "temperature": 0.0}
        )
        for texts, model in ((champion_texts, champion), (challenger_texts, challenger)):
            texts += engine.run_request(model, request).continuations
    return measures.compare_refusals(champion_texts, challenger_texts)
