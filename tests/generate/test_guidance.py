"""Classifier-free guidance is one formula around any network, its cache included."""

from copy import deepcopy
from typing import Any

import pytest
import torch

from genloom.generate.guidance import ClassifierFreeGuidance, concat_conditions
from genloom.networks import dense, recurrent, transformer
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplerInputs, SamplingParams
from genloom.testing import assert_close, draw_inputs, perturb_weights
from genloom.testing.networks import check_cache
from genloom.types import Condition, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

SYMBOLS, SERIES = TokenSpace(7, 8), SignalSpace(2, (5,))
SMALL = transformer.Config(width=16, depth=2, heads=2)
CASES: dict[str, tuple[Any, Any, NetworkSpec]] = {
    "tokens": (
        transformer,
        SMALL,
        NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True, condition=ConditionSpec(tokens=3, vector=2)),
    ),
    "recurrent": (
        recurrent,
        recurrent.Config(width=16),
        NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True, condition=ConditionSpec(vector=2)),
    ),
    "series": (transformer, SMALL, NetworkSpec(SERIES, SERIES, has_time=True, condition=ConditionSpec(3, 2, 1))),
    "vector": (
        dense,
        dense.Config(width=16),
        NetworkSpec(SignalSpace(3), SignalSpace(3), has_time=True, condition=ConditionSpec(vector=2, field=1)),
    ),
}


def build_case(name: str):
    module, config, role = CASES[name]
    network = perturb_weights(module.build(role, config)).eval().requires_grad_(False)
    return network, role, *draw_inputs(role, 4)


@pytest.mark.parametrize("name", CASES)
def test_the_formula(name):
    network, role, x, t, cond = build_case(name)
    cond_output, uncond_output = network(x, t, cond=cond), network(x, t)
    for scale in (0.0, 1.0, 2.5):
        assert_close(
            ClassifierFreeGuidance(network, scale)(x, t, cond=cond),
            uncond_output + scale * (cond_output - uncond_output),
            f"scale {scale}",
        )
    _, _, other = draw_inputs(role, 4, seed=1)
    against = network(x, t, cond=other)
    assert_close(
        ClassifierFreeGuidance(network, 2.5, other)(x, t, cond=cond),
        against + 2.5 * (cond_output - against),
        "a negative prompt",
    )
    assert_close(
        ClassifierFreeGuidance(network, 2.5)(x, t), uncond_output, "without a condition, guidance has no effect"
    )


def test_a_tuned_network_moves_away_from_its_base():
    network, role, x, t, cond = build_case("series")
    base = deepcopy(network)
    for p in base.parameters():
        p.mul_(0.9)
    cond_output, uncond_output = network(x, t, cond=cond), base(x, t)
    assert_close(
        ClassifierFreeGuidance(network, 2.5, base=base)(x, t, cond=cond),
        uncond_output + 2.5 * (cond_output - uncond_output),
        "no prompt",
    )
    _, _, other = draw_inputs(role, 4, seed=1)
    against = base(x, t, cond=other)
    assert_close(
        ClassifierFreeGuidance(network, 2.5, other, base=base)(x, t, cond=cond),
        against + 2.5 * (cond_output - against),
        "negative",
    )


def test_guidance_is_limited_to_its_interval():
    network, _, x, t, cond = build_case("series")
    guided, limited = ClassifierFreeGuidance(network, 2.5), ClassifierFreeGuidance(network, 2.5, interval=(0.2, 0.7))
    for time, expected in ((0.1, network), (0.2, guided), (0.7, guided), (0.8, network)):
        t = torch.full_like(t, time)
        assert_close(limited(x, t, cond=cond), expected(x, t, cond=cond), f"at {time}")


@pytest.mark.parametrize("name", ["tokens", "recurrent"])
@pytest.mark.parametrize("negative", [False, True])
def test_reading_with_a_cache_equals_reading_at_once(name, negative):
    """`check_cache` reorders rows, and a negative prompt is not reordered: it is the same for all rows."""
    network, role, x, _, cond = build_case(name)
    against = draw_inputs(role, 1, seed=1)[2].map(lambda v: v.expand(4, *v.shape[1:])) if negative else None
    check_cache(ClassifierFreeGuidance(network, 2.0, against), x, cond)


def test_prompts_of_different_lengths_are_padded_and_masked():
    short, long = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    both = concat_conditions(Condition(short), Condition(long, mask=torch.arange(5).expand(2, 5) < 4))
    assert both.tokens is not None
    assert both.mask is not None
    assert both.tokens.shape == (4, 5, 4)
    assert both.mask.sum(1).tolist() == [3, 3, 4, 4]
    assert_close(both.tokens[:2, :3], short, "the shorter prompt is there")


@pytest.mark.parametrize("name", ["tokens", "series"])
def test_a_negative_prompt_of_another_kind_keeps_the_rest_of_the_condition(name):
    """Inputs of only one of the two conditions are null in the other, not dropped from both."""
    network, _, x, t, cond = build_case(name)
    words, vector = Condition(cond.tokens, cond.mask), Condition(vector=cond.vector)
    cond_output, against = network(x, t, cond=vector), network(x, t, cond=words)
    assert_close(
        ClassifierFreeGuidance(network, 2.0, words)(x, t, cond=vector),
        against + 2 * (cond_output - against),
        "vector against words",
    )
    cond_output, against = against, cond_output
    assert_close(
        ClassifierFreeGuidance(network, 2.0, vector)(x, t, cond=words),
        against + 2 * (cond_output - against),
        "words against vector",
    )


def test_sampling_with_the_cache_equals_reading_from_the_start():
    network, role, _, _, cond = build_case("tokens")
    objective = Autoregressive(SYMBOLS, role.condition)
    *_, generated = objective.sample(
        {"model": ClassifierFreeGuidance(network, 2.0)},
        4,
        cond,
        Noise(0, (0, 1, 2, 3)),
        SamplingParams(max_tokens=6, inputs=SamplerInputs(suppressed_tokens=(0,))),
    )
    guided = ClassifierFreeGuidance(network, 2.0)
    x = torch.zeros(4, 1, dtype=torch.long)
    for i in range(6):
        logits = guided(x, cond=cond)[:, -1].index_fill(1, torch.tensor([0]), float("-inf"))
        tokens = Noise(0, (0, 1, 2, 3)).sample_tokens(logits, [row.numpy() for row in x])
        assert tokens.tolist() == generated[:, i].tolist()
        x = torch.cat([x, tokens[:, None]], 1)
