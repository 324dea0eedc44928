"""The settings of preference training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genloom.capabilities import ScaledLikelihood
from genloom.errors import GenloomError, format_suggestion
from genloom.objectives.augmented_likelihood import AugmentedLikelihood
from genloom.objectives.dpo import DPO
from genloom.objectives.grpo import GRPO
from genloom.objectives.kto import KTO
from genloom.settings import apply_overrides, parse_settings, to_table
from genloom.train.job import Job
from genloom.types import Batch, Objective, Parts

METHODS = ("dpo", "kto", "weighted", "grpo", "reinvent")
ROLLOUT_METHODS = ("grpo", "reinvent")  # which train on the model's own samples, with rewards
DEFAULTS: Mapping[str, Mapping[str, Any]] = {"reinvent": {"replay_weight": 0.0}}  # the reference is in its loss


@dataclass(frozen=True)
class PreferenceConfig:
    """Settings of preference training; genloom.objectives.dpo, kto and grpo explain them."""

    method: str = "dpo"
    beta: float = 0.1
    rpo_alpha: float = 0.1
    is_length_normalized: bool = False  # mean instead of sum of token log-likelihoods, so that length has no effect
    label_smoothing: float = 0.1  # assumed share of reversed ratings
    should_filter_noisy_labels: bool = True  # drop pairs that a reward model fitted to the others contradicts
    replay_weight: float = 5.0  # of the model's earlier training data
    num_generations: int = 4  # of grpo: rollouts per prompt
    advantage_estimator: Literal["grpo", "rloo"] = "grpo"
    rewards: tuple[str, ...] = ("model",)  # of grpo: the reward model, machine checks, or both; of reinvent: checks
    sigma: float = 500.0  # of reinvent: nats that a score of 1 is worth
    num_replayed: int = 24  # of reinvent: rows of a step that are the best samples so far
    family_size: int = 25  # of reinvent: variants of a family (of molecules: a scaffold) that are rewarded; 0: all

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            hint = format_suggestion(self.method, METHODS)
            raise GenloomError(
                "train.unknown_preference_method", value=self.method, hint=hint, methods=", ".join(METHODS)
            )
        if self.num_generations < 2:
            raise GenloomError("train.few_generations", value=self.num_generations)
        if self.num_replayed < 0 or self.family_size < 0:
            raise GenloomError("train.negative_memory", replayed=self.num_replayed, family=self.family_size)

    def build_objective(self, base: Objective[Batch], reference: Parts) -> Objective[Any]:
        """Return the objective around `base`; `reference` is empty if the batches hold its log-likelihoods."""
        beta = self.beta * (base.nats_per_term if isinstance(base, ScaledLikelihood) else 1.0)  # beta is per nat
        match self.method:
            case "dpo":
                return DPO(base, reference, beta, self.rpo_alpha, self.is_length_normalized, self.label_smoothing)
            case "kto":
                return KTO(base, reference, beta, self.rpo_alpha)
            case "grpo":
                return GRPO(base, reference, beta)
            case "reinvent":
                return AugmentedLikelihood(base, reference, self.sigma)
            case _:
                return base

    @property
    def rows_per_prompt(self) -> int:
        """The number of rows per prompt in a batch."""
        return self.num_generations if self.method == "grpo" else 1


def build_default_config(method: str) -> PreferenceConfig:
    """Return the default settings of a method; GenloomError for an unknown one."""
    return PreferenceConfig(method, **DEFAULTS.get(method, {}))


def get_preference_config(job: Job) -> PreferenceConfig:
    return parse_settings(PreferenceConfig, job.learning, "learning")


def parse_preference_config(method: str, overrides: Mapping[str, str]) -> PreferenceConfig:
    """Parse the `learning.` overrides of a request. Raises ValueError for an unknown setting."""
    learning_overrides = {path: text for path, text in overrides.items() if path.startswith("learning.")}
    return parse_settings(
        PreferenceConfig,
        apply_overrides({"learning": to_table(build_default_config(method))}, learning_overrides)["learning"],
        "learning",
    )
