"""A judge learns from pairs which of two samples is better, and begins from what a model knows."""

import math
from copy import deepcopy

import pytest
import torch

from genloom import plugins
from genloom.noise import build_training_noise
from genloom.objectives.reward import Reward, init_reward_model
from genloom.testing import assert_close, check_network, perturb_weights
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, PreferencePairs, TokenSpace

JUDGES = [("TOKENS", "transformer"), ("TOKENS", "recurrent"), ("VECTOR", "dense"), ("SERIES", "transformer")]


def judge_of(toys, space, network):
    reward = Reward(getattr(toys, space))
    module = plugins.find_part("network", network)
    torch.manual_seed(0)
    part = module.build(reward.network_specs["reward"], module.Config(**toys.SIZES[network]))
    return reward, torch.nn.ModuleDict({"reward": part})


def pairs_at(toys, space, rows):
    kinds = torch.ones(rows, dtype=torch.long)
    return lambda step: PreferencePairs(
        Batch(toys.world(space, rows, step, kinds)), Batch(toys.world(space, rows, step, 1 - kinds))
    )


@pytest.mark.parametrize(("space", "network"), JUDGES)
def test_a_judge_learns_which_is_better(toys, space, network):
    reward, parts = judge_of(toys, space, network)
    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    plan = TrainConfig(steps=80, optimizer=adam)
    state = TrainState.from_parts(parts, reward, plan)
    for _ in train(reward, pairs_at(toys, reward.space, 16), plan, state):
        pass
    held = pairs_at(toys, reward.space, 64)(1000)
    with torch.no_grad():
        win, lose = (reward.score(dict(parts.items()), batch) for batch in (held.chosen, held.rejected))
    assert (win > lose).float().mean() > 0.95
    assert (win + lose).mean().abs() < (win - lose).mean(), "scores lie around zero"


@pytest.mark.parametrize(("space", "network"), JUDGES)
def test_the_loss_is_the_log_odds_of_the_choice_row_by_row(toys, space, network):
    reward, parts = judge_of(toys, space, network)
    stirred_parts = {name: perturb_weights(part).eval() for name, part in parts.items()}
    check_network(stirred_parts["reward"], reward.roles["reward"])
    pairs, noise = pairs_at(toys, reward.space, 5)(0), build_training_noise(0, 0, 0, 5)
    loss = Reward(reward.space, center_rewards_coefficient=0.0).loss(stirred_parts, pairs, reward.turns[0], noise)
    win, lose = (reward.score(stirred_parts, batch) for batch in (pairs.chosen, pairs.rejected))
    assert_close(loss.per_sample, -torch.sigmoid(win - lose).log(), "Bradley and Terry")
    alone = Reward(reward.space, center_rewards_coefficient=0.0).loss(
        stirred_parts, pairs.rows(slice(1, 2)), reward.turns[0], noise
    )
    assert_close(alone.per_sample, loss.per_sample[1:2], "a row alone")


def test_a_fresh_judge_prefers_nothing(toys):
    reward, parts = judge_of(toys, "TOKENS", "transformer")
    loss = reward.loss(
        dict(parts.items()), pairs_at(toys, reward.space, 3)(0), reward.turns[0], build_training_noise(0, 0, 0, 3)
    )
    assert loss.per_sample.tolist() == pytest.approx([math.log(2)] * 3)


def test_a_judge_begins_with_what_the_model_knows(toys):
    model = deepcopy(toys.trained("autoregressive-transformer"))["model"]
    _, parts = judge_of(toys, "TOKENS", "transformer")
    init_reward_model(parts["reward"], model)
    own, learned = parts["reward"].state_dict(), model.state_dict()
    assert all(torch.equal(own[name], learned[name]) for name in own if not name.startswith("head."))
    assert not own["head.weight"].any()


def test_a_judge_makes_nothing():
    with pytest.raises(ValueError, match="judges what others made"):
        Reward(TokenSpace(4, 7)).sample({}, 1, None, build_training_noise(0, 0, 0, 1), None)
