"""The environment of reinforcement learning: rated prompts, with new rollouts at every step, and their rewards."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from genloom import plugins
from genloom.errors import GenloomError
from genloom.generate import conditions, engine
from genloom.learn.eval_prompts import EvalPrompt, to_ids
from genloom.learn.reward_model import RewardModel
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.noise import Noise
from genloom.rate.auto_rater import parse_check
from genloom.store.files import write_atomic
from genloom.train.preference.dataset import TokenRows
from genloom.train.preference.rollouts import ScoredRollouts
from genloom.types import Condition, TokenSpace

REWARD_MODEL = "model"  # the name of the reward model among the rewards
RewardFn = Callable[[TokenRows, TokenRows, Sequence[Any]], np.ndarray]  # of prompts, answers, and the answers as text


@dataclass(frozen=True)
class RLEnvironment:
    """Prompts, and reward functions by name."""

    eval_prompts: tuple[EvalPrompt, ...]
    default_max_tokens: int  # of an answer, where its prompt does not say
    reward_fns: Mapping[str, RewardFn]
    reward_model_digest: str = ""  # if it is one of the rewards
    has_conditions: bool = False  # whether the model reads prompts as conditions, or others
    medium: ModuleType | None = None  # of the answers

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_json()).hexdigest()

    def __len__(self) -> int:
        return len(self.eval_prompts)

    def to_json(self) -> bytes:
        entries = [
            {
                "before": each.prompt_ids,
                "ends": each.request.eos_ids,
                "length": self.get_max_tokens(each),
                **({"conditions": each.prompt} if self.has_conditions else {}),
            }
            for each in self.eval_prompts
        ]
        # An interrupted run is found again by the digest of these bytes: the keys never change.
        fields = {"prompts": entries, "judges": list(self.reward_fns), "fitted": self.reward_model_digest}
        return json.dumps(fields).encode()

    def get_max_tokens(self, eval_prompt: EvalPrompt) -> int:
        return int(eval_prompt.request.params.get("max_tokens") or self.default_max_tokens)

    def save(self, folder: Path) -> None:
        write_atomic(folder / "practice.json", self.to_json())

    def sample_rollouts(self, model: Model, indices: Sequence[int], nonces: Sequence[int]) -> ScoredRollouts:
        """Sample rollouts from the model's own distribution, without the sampling parameters of its outputs.

        The policy gradient is that of this distribution.
        """
        eval_prompts = [self.eval_prompts[n] for n in indices]
        max_tokens = max(map(self.get_max_tokens, eval_prompts))
        request = engine.Request(
            tuple(eval_prompt.request.prompts[0] for eval_prompt in eval_prompts),
            tuple(nonces),
            params={"max_tokens": max_tokens},
            prompt_ids=tuple(eval_prompt.prompt_ids for eval_prompt in eval_prompts),
            eos_ids=eval_prompts[0].request.eos_ids,
            given=tuple(values for eval_prompt in eval_prompts for values in eval_prompt.request.given),
        )
        cond = conditions.encode_condition(model, request.prompts, request.given)
        params, _, _ = engine.prepare_sampling(model, request)
        noise = Noise(engine.UNMARKED_NOISE_KEY, request.nonces)
        *_, tokens = model.objective.sample(dict(model.parts.items()), len(eval_prompts), cond, noise, params)
        space = model.codec.space
        assert isinstance(space, TokenSpace), "build_rl_env() admits no other model"
        stop_ids = (space.eos, *request.eos_ids)
        rows = zip(tokens.cpu().numpy(), eval_prompts, strict=True)
        answer_ids = tuple(
            to_ids(truncate_at_stop(row[: self.get_max_tokens(eval_prompt)], stop_ids)) for row, eval_prompt in rows
        )
        prompt_ids = tuple(eval_prompt.prompt_ids for eval_prompt in eval_prompts)
        texts = [model.codec.decode([n for n in ids if n not in stop_ids]) for ids in answer_ids]
        return ScoredRollouts(
            prompt_ids,
            answer_ids,
            np.stack([reward_fn(prompt_ids, answer_ids, texts) for reward_fn in self.reward_fns.values()]),
            cond,
            tuple(texts),
        )

    def identify_answers(self, rollouts: ScoredRollouts) -> list[tuple[str, str]]:
        """Return the key and the family of each rollout, by its medium; without one, its tokens are the key."""
        if self.medium is None:
            return [(str(ids), "") for ids in rollouts.answers]
        identify_value, find_family = (get_ability(self.medium, name) for name in ("identify_value", "find_family"))
        return [(identify_value(value), find_family(value) if find_family else "") for value in rollouts.values]

    def get_prompt_ids(self, index: int) -> tuple[int, ...]:
        return self.eval_prompts[index].prompt_ids

    def encode_condition(self, model: Model, indices: Sequence[int]) -> Condition | None:
        """Return the conditions of prompts, a row each."""
        requests = [self.eval_prompts[n].request for n in indices]
        given = tuple(values for request in requests for values in request.given)
        return conditions.encode_condition(model, tuple(request.prompts[0] for request in requests), given)


def truncate_at_stop(row: np.ndarray, stop_ids: Sequence[int]) -> np.ndarray:
    """Cut a row after its first stop token."""
    stop_positions = np.flatnonzero(np.isin(row, stop_ids))
    return row[: stop_positions[0] + 1] if len(stop_positions) else row


def build_rl_env(
    model: Model, eval_prompts: Sequence[EvalPrompt], rewards: Sequence[str], reward_model: RewardModel | None
) -> RLEnvironment:
    """Build the environment with rewards: "model" is the reward model, others are checks like "length:max_length=9".

    Raises GenloomError for a model without left-to-right sampling, and if there is no reward model.
    """
    if not engine.is_open_sequence(model.codec.space) or not engine.is_left_to_right(model):
        raise GenloomError("learn.not_autoregressive")
    if not rewards:
        raise GenloomError("learn.no_reward")
    reward_fns: dict[str, RewardFn] = {}
    for spec in rewards:
        if spec != REWARD_MODEL:
            reward_fns[spec] = build_check_reward(spec, model.design.medium)
        elif reward_model is None:
            raise GenloomError("learn.no_reward_model")
        else:
            reward_fns[spec] = reward_model.score_tokens
    return RLEnvironment(
        tuple(eval_prompts),
        engine.get_default_max_tokens(model),
        reward_fns,
        reward_model.digest if reward_model is not None and REWARD_MODEL in reward_fns else "",
        bool(model.conditioners),
        plugins.find_part("medium", model.design.medium),
    )


def build_check_reward(spec: str, medium: str) -> RewardFn:
    """Return a check as a reward, which scores a value once: some checks are costly."""
    _, check = parse_check(spec, medium)
    identify_value, scores = get_ability(plugins.find_part("medium", medium), "identify_value"), dict[str, float]()

    def score_values(prompts: TokenRows, answers: TokenRows, values: Sequence[Any]) -> np.ndarray:
        keys = [identify_value(value) for value in values]
        for key, value in zip(keys, values, strict=True):
            if key not in scores:
                scores[key] = check(value).score
        return np.array([scores[key] for key in keys])

    return score_values
