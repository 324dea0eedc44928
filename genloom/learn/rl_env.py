"""What a model practises on: rated prompts, tried anew at every step, and the judges of what it tries."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom.generate import engine
from genloom.learn.eval_prompts import EvalPrompt, to_ids
from genloom.learn.reward_model import RewardModel
from genloom.model import Model
from genloom.noise import Noise
from genloom.rate.auto_rater import parse_check
from genloom.store.files import write_atomic
from genloom.train.preference.dataset import TokenRows
from genloom.train.preference.rollouts import ScoredRollouts
from genloom.types import TokenSpace

REWARD_MODEL = "model"  # the name of the judge that was fitted to the ratings
RewardFn = Callable[[TokenRows, TokenRows, Sequence[str]], np.ndarray]  # of prompts, answers and what these say


@dataclass(frozen=True)
class RLEnvironment:
    """Prompts with their judges, by name."""

    eval_prompts: tuple[EvalPrompt, ...]
    reward_fns: Mapping[str, RewardFn]
    reward_model_digest: str = ""  # the digest of the reward model, where it is a judge

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_json()).hexdigest()

    def __len__(self) -> int:
        return len(self.eval_prompts)

    def to_json(self) -> bytes:
        entries = [
            {
                "before": eval_prompt.prompt_ids,
                "eos_ids": eval_prompt.request.eos_ids,
                "max_tokens": get_max_tokens(eval_prompt),
            }
            for eval_prompt in self.eval_prompts
        ]
        return json.dumps(
            {"prompts": entries, "judges": list(self.reward_fns), "fitted": self.reward_model_digest}
        ).encode()

    def save(self, folder: Path) -> None:
        write_atomic(folder / "practice.json", self.to_json())

    def sample_rollouts(self, model: Model, indices: Sequence[int], nonces: Sequence[int]) -> ScoredRollouts:
        """Attempts drawn as the model believes, without the controls of its outputs: the gradient is of that belief."""
        eval_prompts = [self.eval_prompts[n] for n in indices]
        max_tokens = max(get_max_tokens(eval_prompt) for eval_prompt in eval_prompts)
        request = engine.Request(
            tuple(eval_prompt.prompt for eval_prompt in eval_prompts),
            tuple(nonces),
            params={"max_tokens": max_tokens},
            prompt_ids=tuple(eval_prompt.prompt_ids for eval_prompt in eval_prompts),
            eos_ids=eval_prompts[0].request.eos_ids,
        )
        params, _, _ = engine.prepare_sampling(model, request)
        noise = Noise(engine.NOISE_KEY, request.nonces)
        *_, tokens = model.objective.sample(dict(model.parts.items()), len(eval_prompts), None, noise, params)
        space = model.codec.space
        assert isinstance(space, TokenSpace), "exercise() lets no other model in"
        stop_ids = (space.eos, *request.eos_ids)
        rows = zip(tokens.cpu().numpy(), eval_prompts, strict=True)
        answer_ids = tuple(
            to_ids(truncate_at_stop(row[: get_max_tokens(eval_prompt)], stop_ids)) for row, eval_prompt in rows
        )
        prompt_ids = tuple(eval_prompt.prompt_ids for eval_prompt in eval_prompts)
        texts = [model.codec.decode([n for n in ids if n not in stop_ids]) for ids in answer_ids]
        return ScoredRollouts(
            prompt_ids,
            answer_ids,
            np.stack([reward_fn(prompt_ids, answer_ids, texts) for reward_fn in self.reward_fns.values()]),
        )


def get_max_tokens(eval_prompt: EvalPrompt) -> int:
    return int(eval_prompt.request.params.get("max_tokens") or engine.DEFAULT_MAX_TOKENS)


def truncate_at_stop(row: np.ndarray, stop_ids: Sequence[int]) -> np.ndarray:
    """A row with the first symbol that ends it, and nothing after."""
    stop_positions = np.flatnonzero(np.isin(row, stop_ids))
    return row[: stop_positions[0] + 1] if len(stop_positions) else row


def build_rl_env(
    model: Model, eval_prompts: Sequence[EvalPrompt], rewards: Sequence[str], reward_model: RewardModel | None
) -> RLEnvironment:
    """Practice on prompts with judges: "model" is the reward model, others are machine checks like "length:max_length=9".

    Raises ValueError for a model that cannot practise, and where the ratings hold no pairs to fit a reward model to.
    """
    if not isinstance(model.codec.space, TokenSpace) or not engine.is_left_to_right(model):
        raise ValueError("Only a model that writes from left to right can practise so far: use --method dpo or kto.")
    if not rewards:
        raise ValueError('Practice needs a judge: --reward model, or a check like --reward "length:max_length=20".')
    reward_fns: dict[str, RewardFn] = {}
    for spec in rewards:
        if spec != REWARD_MODEL:
            reward_fns[spec] = build_check_reward(spec)
        elif reward_model is None:
            raise ValueError(
                "A reward model is fitted to pairs, and there are too few here: rate pairs (genloom arena), or let a "
                'check judge: --reward "length:max_length=20".'
            )
        else:
            reward_fns[spec] = reward_model.score_tokens
    return RLEnvironment(
        tuple(eval_prompts),
        reward_fns,
        reward_model.digest if reward_model is not None and REWARD_MODEL in reward_fns else "",
    )


def build_check_reward(spec: str) -> RewardFn:
    check: Callable[[Any], Any] = parse_check(spec)[1]
    return lambda prompts, answers, texts: np.array([check(text).score for text in texts])
