"""Reproducible noise: fixed values, right distributions, independent rows, token windows as keys."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genloom.generate.interpolation import SlerpNoise
from genloom.noise import (
    CONTEXT_WIDTH,
    FREE_CONTEXTS,
    POOL_SHARE,
    SIGNAL_POOL_SIZE,
    TOKEN_POOL_SIZE,
    Noise,
    are_free,
    build_training_noise,
    fold_in,
    fold_windows,
    is_free,
    is_repeated,
    pool_normal,
    pool_token_bits,
    to_gumbel,
)
from genloom.types import TokenContext

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
    marked = Noise(0x67656E6C6F6F6D, (7, 2**64 - 1), is_marked=True)
    assert marked.marked_normal((3,), 5).tolist() == [pytest.approx(row, abs=1e-6) for row in MARKED_NORMAL]
    drawn = [marked.sample_tokens(torch.zeros(2, 1000), [t[:n] for t in texts]).tolist() for n in (1, 5, 8)]
    assert drawn == MARKED_TOKENS


NORMAL = [[-1.666436, -0.92347, -1.38952], [0.717029, -0.6355522, -1.028686]]
UNIFORM = [[0.09499923, 0.6106174, 0.4290584], [0.4555896, 0.8468828, 0.8109048]]
GUMBEL = [[-0.8560678, 0.7066689, 0.1670441], [0.2405913, 1.794606, 1.562532]]
TOKENS = [[855, 299], [293, 983], [360, 338]]
FOLDED = 13725386680924731485
MARKED_NORMAL = [[-0.9214596, -0.6228682, 0.8823375], [1.123921, 0.8578304, -0.8796459]]
MARKED_TOKENS = [[855, 299], [390, 956], [536, 338]]


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


# marked noise


def find_context(key: int, is_free: bool) -> list[int]:
    windows = np.arange(400).reshape(100, 4)
    return windows[are_free(key, fold_windows(windows)) == is_free][0].tolist()


def test_tokens_of_one_pool_index_share_their_noise_except_after_free_short_and_repeated_contexts():
    noise = Noise(1, (5, 5 + TOKEN_POOL_SIZE, 6), is_marked=True)

    def draw_rows(context: list[int]) -> tuple[int, int, int]:
        first, second, third = draw(noise, context).tolist()
        return first, second, third

    first, second, third = draw_rows(find_context(1, is_free=False))
    assert first == second != third
    window = find_context(1, is_free=False)
    for context in (find_context(1, is_free=True), [1, 2, 3], [*window, 9, *window]):
        assert len({*draw_rows(context)}) == 3
    unmarked = Noise(1, noise.nonces)
    assert len({*draw(unmarked, window).tolist()}) == 3
    assert draw(unmarked, find_context(1, True)).tolist() == list(draw_rows(find_context(1, True)))


@pytest.mark.parametrize("key", [0, 1, 2**63 + 5, 2**64 - 1])
def test_an_eighth_of_the_contexts_is_free_and_another_key_chooses_others(key):
    folded = fold_windows(np.random.default_rng(0).integers(0, 50_000, (40_000, 4)))
    free = are_free(key, folded)
    assert abs(free.mean() - 1 / FREE_CONTEXTS) < 0.01
    assert abs((free & are_free(key ^ 1, folded)).mean() - 1 / FREE_CONTEXTS**2) < 0.005


def test_windows_are_folded_as_one_by_one():
    windows = np.random.default_rng(0).integers(0, 2**40, (50, 4))
    assert fold_windows(windows).tolist() == [fold_in(row) for row in windows.tolist()]
    assert len(fold_windows(np.zeros((0, 4), np.int64))) == 0


@pytest.mark.parametrize("key", [3, 2**63 + 12345, -1])
def test_the_noise_of_single_tokens_is_that_of_the_sampler(key):
    """What detection computes for the tokens that it sees is what was added to their logits."""
    vocab, pool = 3000, [0, 5, TOKEN_POOL_SIZE - 1]
    noise = Noise(key, tuple(7 * TOKEN_POOL_SIZE + index for index in pool), is_marked=True)
    windows = np.random.default_rng(0).integers(0, 2**20, (40, 4))
    windows = windows[~are_free(key, fold_windows(windows))]
    tokens = np.random.default_rng(1).integers(0, vocab, len(windows))
    bits = pool_token_bits(key, pool, fold_windows(windows), tokens)
    assert bits.shape == (3, len(windows))
    for n, (window, token) in enumerate(zip(windows, tokens, strict=True)):
        # A rival is as likely as the token: the one with the higher noise is drawn.
        rival = (int(token) + 1) % vocab
        rival_bits = pool_token_bits(key, pool, fold_windows(window[None]), np.array([rival]))[:, 0]
        logits = torch.full((3, vocab), float("-inf"))
        logits[:, [token, rival]] = 0.0
        drawn = noise.sample_tokens(logits, [window] * 3).tolist()
        assert drawn == [token if a > b else rival for a, b in zip(bits[:, n], rival_bits, strict=True)]


def test_hashes_of_a_codec_key_the_noise_in_place_of_token_ids():
    noise = Noise(4, (5, 5 + TOKEN_POOL_SIZE), is_marked=True)
    window, hashes = tuple(find_context(4, False)), np.array([12, 3, 40, 7])
    context = TokenContext(window, hashes)
    drawn = noise.sample_tokens(torch.zeros(2, 4), [np.arange(9), np.arange(3)], [context, context]).tolist()
    bits = pool_token_bits(4, [5], np.full(4, fold_in(window), np.uint64), hashes)[0]
    assert drawn == [int(to_gumbel(bits).argmax())] * 2
    logits, alone = torch.zeros(2, 10**6), TokenContext(None, np.arange(10**6))
    assert len({*noise.sample_tokens(logits, [np.arange(9)] * 2, [alone] * 2).tolist()}) == 2
    whole = Noise(4, noise.nonces)
    assert torch.equal(whole.sample_tokens(logits, [np.arange(9)] * 2, [alone] * 2), draw(whole, list(range(9))))


@pytest.mark.parametrize("context", [[1], [1, 2, 3, 4, 5], [1, 2, 3, 4, 1, 2, 3, 4]], ids=["short", "new", "seen"])
@pytest.mark.parametrize("by", ["nonce", "key", "context"])
def test_marked_samples_follow_the_softmax(context, by):
    """Over nonces and, for one pool index, over keys and over contexts: the mark changes no distribution."""
    logits, n = torch.tensor([0.0, 1.0, -1.0, 2.0, float("-inf")]), 4000
    if by == "nonce":
        n = TOKEN_POOL_SIZE
        noise = Noise(11, tuple(range(n)), is_marked=True)
        drawn = noise.sample_tokens(logits.expand(n, -1), [np.array(context)] * n)
    elif by == "key":
        drawn = torch.cat([Noise(k, (3,), True).sample_tokens(logits[None], [np.array(context)]) for k in range(n)])
    elif len(context) == 5:  # of the other contexts the position is the key, which is the same
        contexts = [np.array(context) + 10 * i for i in range(n)]
        drawn = Noise(11, (3,) * n, True).sample_tokens(logits.expand(n, -1), contexts)
    else:
        drawn = torch.cat([Noise(11, (i,), True).sample_tokens(logits[None], [np.array(context)]) for i in range(n)])
    counts, expected = torch.bincount(drawn, minlength=5), n * logits.softmax(0)
    assert counts[4] == 0
    assert float(((counts - expected) ** 2 / expected)[:4].sum()) < 16.3  # chi-square, 3 degrees, p = 0.001


def test_a_marked_signal_is_standard_normal_and_contains_the_noise_of_its_pool_index():
    n = 200_000
    nonces = (9, 9 + SIGNAL_POOL_SIZE, 10)
    marked = Noise(2, nonces, is_marked=True).marked_normal((n,), 3).double()
    error = 5 / math.sqrt(n)
    assert marked.mean(1).abs().max() < error
    assert (marked.var(1) - 1).abs().max() < 2 * error
    assert ((marked**4).mean(1) - 3).abs().max() < 0.15
    pool = pool_normal(2, [9, 10], (n,), 3).double()
    assert (pool.var(1) - 1).abs().max() < 2 * error
    shares = [float((row * pool[0]).mean()) for row in marked]
    assert shares == pytest.approx([POOL_SHARE**0.5, POOL_SHARE**0.5, 0], abs=error)
    assert float((marked[0] * marked[1]).mean()) == pytest.approx(POOL_SHARE, abs=error)
    plain = Noise(2, nonces)
    assert torch.equal(plain.marked_normal((5,), 3), plain.normal((5,), 3))
    half = Noise(2, nonces, is_marked=True).select_rows(slice(1, 3)).marked_normal((n,), 3)
    assert torch.equal(half.double(), marked[1:])


def test_marked_noise_between_two_nonces_is_standard_normal_also_of_one_pool_index():
    n, weights = 100_000, (0.0, 0.3, 0.5, 1.0)
    for other in (6, 5 + SIGNAL_POOL_SIZE):
        noise = SlerpNoise(1, (5,) * 4, True, (other,) * 4, weights)
        values = noise.marked_normal((n,)).double()
        assert (values.var(1) - 1).abs().max() < 10 / math.sqrt(n)
        begin, end = (Noise(1, (nonce,), True).marked_normal((n,))[0] for nonce in (5, other))
        assert torch.allclose(values[0].float(), begin, atol=1e-6)
        assert torch.allclose(values[3].float(), end, atol=1e-6)
        assert torch.equal(noise.select_rows(slice(1, 3)).marked_normal((n,)).double(), values[1:3])


def test_one_context_is_free_as_it_is_among_many() -> None:
    folded = np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64)
    for key in (0, 77, 2**64 - 1):
        assert [is_free(key, int(each)) for each in folded] == are_free(key, folded).tolist()
