"""The reward model: fitted to the ratings, calibrated on held-out ones, and applied to answers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from genloom.learn.eval_prompts import EvalPrompt
from genloom.learn.reward_features import (
    Features,
    extract_answer_features,
    extract_output_features,
    extract_text_features,
    has_features,
)
from genloom.model import Model
from genloom.rate.calibration import Calibration, measure_calibration
from genloom.rate.preferences import Preference
from genloom.rate.prompts import Split
from genloom.store.workspace import Workspace
from genloom.train.preference import reward_head
from genloom.train.preference.dataset import TokenRows

NUM_FOLDS = 5


@dataclass(frozen=True)
class RewardModel:
    """A linear head on features of the champion's outputs, and its calibration."""

    champion: Model
    head: reward_head.RewardHead
    calibration: Calibration
    median_reward: float  # of the rated answers

    def score_tokens(self, prompts: TokenRows, answers: TokenRows, texts: Sequence[str]) -> np.ndarray:
        """Return log-odds that an answer is preferred; only differences for the same prompt are meaningful."""
        return self.score_features(extract_text_features(self.champion, prompts, answers, texts))

    def score_answers(self, eval_prompts: Sequence[EvalPrompt], answers: Sequence[Any]) -> np.ndarray:
        """Return the same for answers of any medium, as a model gives them."""
        return self.score_features(extract_answer_features(self.champion, eval_prompts, answers))

    def score_features(self, features: Features) -> np.ndarray:
        return self.head.score_features(features.features_NF) / self.calibration.temperature

    @property
    def digest(self) -> str:
        parts = (self.head.mean_F, self.head.scale_F, self.head.weight_F, np.float64(self.calibration.temperature))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@dataclass(frozen=True)
class PairFeatures:
    """Features of the chosen and the rejected answer of pairs, N F."""

    pairs: tuple[Preference, ...]
    chosen_NF: np.ndarray
    rejected_NF: np.ndarray
    groups: reward_head.FeatureGroups = ()  # of the features; (): a single group

    def select_pairs(self, indices: Sequence[int]) -> "PairFeatures":
        return PairFeatures(
            tuple(self.pairs[n] for n in indices), self.chosen_NF[indices], self.rejected_NF[indices], self.groups
        )

    def select_split(self, split: Split) -> "PairFeatures":
        return self.select_pairs([n for n, pair in enumerate(self.pairs) if pair.split == split])

    def fit_head(self, strength: float) -> reward_head.RewardHead:
        weights = np.array([float(pair.weight) for pair in self.pairs])
        return reward_head.fit_reward_head(self.chosen_NF, self.rejected_NF, weights, strength, self.groups)

    def compute_margins(self, head: reward_head.RewardHead) -> np.ndarray:
        return head.score_features(self.chosen_NF) - head.score_features(self.rejected_NF)

    @cached_property
    def cross_validation(self) -> tuple[float, np.ndarray]:
        """The best regularisation strength by cross-validation, and every pair's out-of-fold margin with it, N."""
        candidates = [(strength, self.cross_validate_margins(strength)) for strength in reward_head.L2_STRENGTHS]
        return min(candidates, key=lambda candidate: compute_choice_nll(candidate[1]))

    def cross_validate_margins(self, strength: float) -> np.ndarray:
        """Return the margin of each pair by a head fitted to the prompts of the other folds, N."""
        fold_by_prompt = {key: n % NUM_FOLDS for n, key in enumerate(sorted({pair.key for pair in self.pairs}))}
        folds_N = np.array([fold_by_prompt[pair.key] for pair in self.pairs])
        margins_N = np.zeros(len(self.pairs))
        for fold in sorted(set(folds_N.tolist())):
            inside, outside = to_indices(folds_N == fold), to_indices(folds_N != fold)
            if outside:
                margins_N[inside] = self.select_pairs(inside).compute_margins(
                    self.select_pairs(outside).fit_head(strength)
                )
        return margins_N


def extract_pair_features(workspace: Workspace, champion: Model, pairs: Sequence[Preference]) -> PairFeatures | None:
    """Extract features of each output once; None without pairs, and for models without features."""
    if not pairs or not has_features(champion):
        return None
    outputs = list(dict.fromkeys([*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]))
    features = extract_output_features(workspace, champion, outputs)
    position = {output: n for n, output in enumerate(outputs)}
    chosen, rejected = [position[pair.chosen] for pair in pairs], [position[pair.rejected] for pair in pairs]
    return PairFeatures(tuple(pairs), features.features_NF[chosen], features.features_NF[rejected], features.groups)


def build_reward_model(
    champion: Model, train: PairFeatures | None, held_out: PairFeatures | None
) -> RewardModel | None:
    """Fit a head to the training pairs and calibrate it on the held-out ones; None without either.

    Regularisation strength and temperature come from cross-validation on the training prompts.
    """
    if not (train and held_out and train.pairs and held_out.pairs):
        return None
    strength, margins_N = train.cross_validation
    head = train.fit_head(strength)
    head_calibration = measure_calibration(held_out.compute_margins(head), margins_N)
    median_reward = (
        float(np.median(head.score_features(np.concatenate([train.chosen_NF, train.rejected_NF]))))
        / head_calibration.temperature
    )
    return RewardModel(champion, head, head_calibration, median_reward)


def compute_choice_nll(margins: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the raters' choices."""
    return float(np.logaddexp(0, -margins).mean())


def to_indices(mask_N: np.ndarray) -> Sequence[int]:
    return [int(n) for n in np.flatnonzero(mask_N)]
