"""Reproducible noise: fixed values, right distributions, independent rows, token windows as keys."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genloom.noise import CONTEXT_WIDTH, Noise, build_training_noise, fold_in, is_repeated

MANY = Noise(3, tuple(range(400)))
KINDS = ["normal", "uniform", "gumbel"]


def test_the_values_never_change():
    """An output recorded years ago replays only while these stay: no upgrade of numpy or torch may change them."""
    noise = Noise(0x67656E6C6F6F6D, (7, 2**64 - 1))
    normal, uniform, gumbel = (getattr(noise, kind)((3,), 5) for kind in KINDS)
    assert normal.tolist() == [pytest.approx(row, abs=1e-6) for row in NORMAL]
    assert uniform.tolist() == [pytest.approx(row, abs=1e-6) for row in UNIFORM]
    assert gumbel.tolist() == [pytest.approx(row, abs=1e-6) for row in GUMBEL]
    texts = [np.arange(10), np.array([1, 2, 3, 4, 1, 2, 3, 4])]
    assert [noise.sample_tokens(torch.zeros(2, 1000), [t[:n] for t in texts]).tolist() for n in (1, 5, 8)] == TOKENS
    assert fold_in([1, 2, 3, 4]) == FOLDED


NORMAL = [[-1.666436, -0.92347, -1.38952], [0.717029, -0.6355522, -1.028686]]
UNIFORM = [[0.09499923, 0.6106174, 0.4290584], [0.4555896, 0.8468828, 0.8109048]]
GUMBEL = [[-0.8560678, 0.7066689, 0.1670441], [0.2405913, 1.794606, 1.562532]]
TOKENS = [[855, 299], [293, 983], [360, 338]]
FOLDED = 13725386680924731485


def test_numbers_have_their_distributions():
    n = 400 * 500
    normal, uniform, gumbel = (getattr(MANY, kind)((500,)).flatten().double() for kind in KINDS)
    error = 5 / math.sqrt(n)
    assert abs(normal.mean()) < error
    assert abs(normal.var() - 1) < 2 * error
    assert abs((normal**4).mean() - 3) < 0.15
    assert abs((normal > 1.959964).double().mean() - 0.025) < 0.002
    assert abs(uniform.mean() - 0.5) < error
    assert abs(uniform.var() - 1 / 12) < error
    assert uniform.min() > 0
    assert uniform.max() < 1
    assert abs(gumbel.mean() - 0.577216) < 2 * error
    assert abs(gumbel.var() - math.pi**2 / 6) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_rows_and_positions(kind):
    draw = getattr(MANY, kind)
    assert draw(()).shape == (400,)
    assert draw((3, 2)).shape == (400, 3, 2)
    assert draw((3, 2)).dtype == torch.float32
    assert draw((0,)).shape == (400, 0)
    assert torch.equal(draw((5,), 2), draw((5,), 2))
    assert not torch.equal(draw((5,), 2), draw((5,), 3))
    assert torch.equal(getattr(MANY.select_rows(slice(30, 50)), kind)((4,)), draw((4,))[30:50])
    for i in (0, 7, 399):
        assert torch.equal(getattr(Noise(3, (i,)), kind)((4,)), draw((4,))[i : i + 1])


def test_neighbouring_keys_nonces_and_positions_are_independent():
    drawn = [Noise(key, (nonce,)).normal((2000,), at) for key in (0, 1) for nonce in (0, 1) for at in (0, 1)]
    off = np.corrcoef(torch.cat(drawn).numpy()) - np.eye(8)
    assert np.abs(off).max() < 5 / math.sqrt(2000)


@pytest.mark.parametrize("number", [0, 1, 2**63, 2**64 - 1, -1])
def test_every_64_bit_key_nonce_and_position_is_valid(number):
    assert Noise(number, (number,)).normal((3,), number).isfinite().all()
    assert Noise(number, (number,)).sample_tokens(torch.zeros(1, 5), [np.array([2**40, 1, 2, 3, 4])]).shape == (1,)


def draw(noise: Noise, context: list[int], vocab: int = 10**6) -> Tensor:
    """Among so many equal tokens two choices agree only if their noise does."""
    return noise.sample_tokens(torch.zeros(len(noise), vocab), [np.array(context)] * len(noise))


def test_the_last_four_tokens_key_a_sample():
    noise = Noise(1, (5,))
    assert CONTEXT_WIDTH == 4
    assert draw(noise, [9, 8, 1, 2, 3, 4]) == draw(noise, [7, 1, 2, 3, 4]) == draw(noise, [1, 2, 3, 4])
    assert draw(noise, [9, 8, 1, 2, 3, 4]) != draw(noise, [9, 8, 1, 2, 3, 5])
    assert draw(noise, [9, 8, 1, 2, 3, 4]) != draw(noise, [9, 8, 2, 1, 3, 4])
    assert draw(Noise(2, (5,)), [1, 2, 3, 4]) != draw(noise, [1, 2, 3, 4]) != draw(Noise(1, (6,)), [1, 2, 3, 4])


def test_a_window_seen_before_is_keyed_by_its_position():
    noise = Noise(1, (5,))
    first, second = draw(noise, [1, 2, 3, 4]), draw(noise, [1, 2, 3, 4, 1, 2, 3, 4])
    assert first != second
    assert second == draw(noise, [5, 6, 7, 8, 5, 6, 7, 8])  # the same position
    assert second != draw(noise, [0, 1, 2, 3, 4, 1, 2, 3, 4])
    assert draw(noise, [1, 2, 3]) == draw(noise, [3, 2, 1])  # too short for a window
    assert draw(noise, [1, 2, 3]) != draw(noise, [1, 2])


@pytest.mark.parametrize(
    ("context", "seen"),
    [
        ([1, 2, 3, 4], False),
        ([1, 2, 3, 4, 5, 1, 2, 3, 4], True),
        ([1, 1, 1, 1], False),
        ([1, 1, 1, 1, 1], True),
        ([1, 2, 3, 4, 1, 2, 3, 5], False),
    ],
)
def test_repeats(context, seen):
    assert is_repeated(np.array(context), np.array(context[-4:])) is seen


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 5.0, 30.0, 1e5, 1e7])  # the last: close to temperature 0
def test_a_sample_is_the_argmax_of_logits_plus_gumbel_noise(spread):
    """Only few sums are computed; the choice is the one that all of them would give."""
    chance = torch.Generator().manual_seed(1)
    for position in range(1, 40):
        logits = spread * torch.randn(1, 3000, generator=chance)
        logits[:, ::7] = float("-inf")
        context = np.arange(CONTEXT_WIDTH - 1) if position < 4 else np.zeros(3 + position, np.int64)
        gumbel = Noise(1, (5,)).gumbel((3000,), len(context))
        assert Noise(1, (5,)).sample_tokens(logits, [context]) == (logits + gumbel).argmax(1)


@pytest.mark.parametrize("context", [[1], [1, 2, 3, 4, 5], [1, 2, 3, 4, 1, 2, 3, 4]], ids=["short", "new", "seen"])
def test_samples_follow_the_softmax(context):
    logits, n = torch.tensor([0.0, 1.0, -1.0, 2.0, float("-inf")]), 4000
    noise = Noise(11, tuple(range(n)))
    counts = torch.bincount(noise.sample_tokens(logits.expand(n, -1), [np.array(context)] * n), minlength=5)
    expected = n * logits.softmax(0)
    assert counts[4] == 0
    assert float(((counts - expected) ** 2 / expected)[:4].sum()) < 16.3  # chi-square, 3 degrees, p = 0.001


def test_training_noise_does_not_depend_on_the_split_of_a_batch():
    whole = build_training_noise(5, 77, 0, 8)
    assert build_training_noise(5, 77, 0, 3).nonces + build_training_noise(5, 77, 3, 5).nonces == whole.nonces
    others = build_training_noise(5, 78, 0, 8), build_training_noise(5, 76, 0, 8)
    assert not {*whole.nonces} & {*others[0].nonces, *others[1].nonces}
