"""Every network keeps the contracts in every role: batches, padding, conditions, causality, reading in pieces."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from genloom import plugins
from genloom.networks import attention, dense, ngram, recurrent, transformer
from genloom.testing import assert_close, check_network, perturb_weights, random_inputs
from genloom.train.data.token_stream import get_count_split, get_num_folds
from genloom.types import Batch, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

SYMBOLS, SERIES, VECTOR = TokenSpace(vocab_size=11, context_length=9), SignalSpace(2, (6,)), SignalSpace(3)
SMALL = transformer.Config(width=16, depth=2, heads=4)
GPT2 = replace(SMALL, qk_norm=False, bias="all", norm="layer", positions="learned", activation="gelu")
READER = NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True)


def fitted(network: ngram.Ngram) -> ngram.Ngram:
    network.fit(np.random.default_rng(0).integers(0, SYMBOLS.vocab_size, 400))
    return network


CAUSAL = {
    "transformer": lambda role: transformer.build(role, SMALL),
    "transformer-shared-keys": lambda role: transformer.build(role, replace(SMALL, key_heads=2)),
    "transformer-one-key-head": lambda role: transformer.build(role, replace(SMALL, key_heads=1)),
    "transformer-plain": lambda role: transformer.build(role, replace(SMALL, qk_norm=False, activation="relu2")),
    "transformer-untied": lambda role: transformer.build(role, replace(SMALL, tied=False, softcap=5.0)),
    "transformer-hashed": lambda role: transformer.build(role, replace(SMALL, hashed=17)),
    "transformer-wide-heads": lambda role: transformer.build(role, replace(SMALL, head_width=6, key_heads=2)),
    "transformer-qwen2": lambda role: transformer.build(role, replace(SMALL, qk_norm=False, bias="qkv")),
    "transformer-gpt2": lambda role: transformer.build(role, GPT2),
    "transformer-window": lambda role: transformer.build(role, replace(SMALL, window=3)),
    "transformer-scaled": lambda role: transformer.build(role, replace(SMALL, rotary_scale=8.0, rotary_length=20)),
    "recurrent": lambda role: recurrent.build(role, recurrent.Config(width=16, depth=2)),
    "recurrent-untied": lambda role: recurrent.build(role, recurrent.Config(width=16, depth=1, tie_embeddings=False)),
    "ngram": lambda role: fitted(ngram.build(role, ngram.Config(order=4, base=SMALL))),
    "ngram-basis": lambda role: fitted(ngram.build(role, ngram.Config(order=4, base=SMALL, count_features=True))),
    "ngram-hashed": lambda role: fitted(ngram.build(role, ngram.Config(1, 2, replace(SMALL, hashed=17)))),
}


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize(
    "cond",
    [ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(tokens=5), ConditionSpec(tokens=5, vector=3)],
    ids=str,
)
def test_causal_networks(name, cond):
    role = replace(READER, condition=cond)
    if cond.tokens and "recurrent" in name:
        with pytest.raises(ValueError, match="choose a transformer"):
            CAUSAL[name](role)
    else:
        check_network(CAUSAL[name](role), role)


BOTH_WAYS = {
    "hidden symbols": NetworkSpec(SYMBOLS, SYMBOLS, condition=ConditionSpec(tokens=2, vector=2)),
    "series": NetworkSpec(SERIES, SERIES, has_time=True),
    "series, all conditions": NetworkSpec(SERIES, SERIES, has_time=True, condition=ConditionSpec(2, 3, 1)),
    "series to vector": NetworkSpec(SERIES, SignalSpace(5), condition=ConditionSpec(field=2)),
    "symbols to vector": NetworkSpec(SYMBOLS, SignalSpace(5), condition=ConditionSpec(vector=2)),
    "last symbol to vector": NetworkSpec(SYMBOLS, SignalSpace(5), is_causal=True),
}


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_transformer_reads_both_ways(name):
    check_network(transformer.build(BOTH_WAYS[name], SMALL), BOTH_WAYS[name])


@pytest.mark.parametrize("cond", [ConditionSpec(), ConditionSpec(tokens=5)], ids=str)
@pytest.mark.parametrize("causal", [True, False])
def test_transformer_reads_codes_of_a_grid(causal, cond):
    codes = replace(SYMBOLS, grid=(2, 4))
    role = NetworkSpec(codes, codes, is_causal=causal, condition=cond)
    check_network(transformer.build(role, SMALL), role)


def test_places_on_a_grid():
    places = attention.to_grid_coordinates((2, 3), torch.arange(7))
    assert places.tolist() == [[-1, -1], [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    plain, turned = attention.RotaryEmbedding(8, 100.0), attention.RotaryEmbedding(8, 100.0, grid=(2, 3))
    at = torch.tensor([5])  # the second of the second row, and so turned by 1 on both axes, each at its own rates
    assert_close(
        turned.compute_cos_sin(at, torch.float32)[0],
        plain.compute_cos_sin(torch.tensor([1]), torch.float32)[0],
        "both axes at 1",
    )


def test_recurrent_gives_a_vector():
    role = NetworkSpec(SYMBOLS, SignalSpace(5), is_causal=True, condition=ConditionSpec(vector=2))
    check_network(recurrent.build(role, recurrent.Config(width=16)), role)


@pytest.mark.parametrize(
    "role",
    [
        NetworkSpec(VECTOR, VECTOR, has_time=True, condition=ConditionSpec(vector=2, field=1)),
        NetworkSpec(SERIES, VECTOR, condition=ConditionSpec(field=2)),
        NetworkSpec(VECTOR, SignalSpace(1, (4, 4)), condition=ConditionSpec(vector=2)),
        NetworkSpec(SignalSpace(3, (2, 4, 4)), SignalSpace(1)),
    ],
    ids=str,
)
def test_dense_maps_any_signal(role):
    check_network(dense.build(role, dense.Config(width=24)), role)


def test_every_network_is_checked_here():
    assert set(plugins.part_names("network")) == {
        "transformer",
        "recurrent",
        "ngram",
        "dense",
        "dit",
        "unet",
        "convolution",
    }


@pytest.mark.parametrize(
    ("network", "role"),
    [
        (transformer, NetworkSpec(VECTOR, VECTOR)),
        (transformer, NetworkSpec(SignalSpace(1, (4, 4)), SignalSpace(1, (4, 4)))),
        (transformer, NetworkSpec(SYMBOLS, SYMBOLS, condition=ConditionSpec(field=1))),
        (transformer, NetworkSpec(SERIES, SignalSpace(2, (7,)))),
        (recurrent, NetworkSpec(SYMBOLS, SYMBOLS)),
        (recurrent, NetworkSpec(SERIES, SERIES, is_causal=True)),
        (recurrent, NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True, has_time=True)),
        (recurrent, NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True, condition=ConditionSpec(field=1))),
        (dense, NetworkSpec(SYMBOLS, SYMBOLS)),
        (dense, NetworkSpec(VECTOR, VECTOR, condition=ConditionSpec(tokens=1))),
        (ngram, NetworkSpec(SYMBOLS, SYMBOLS)),
        (ngram, NetworkSpec(SYMBOLS, SignalSpace(3), is_causal=True)),
        (ngram, NetworkSpec(SYMBOLS, SYMBOLS, is_causal=True, condition=ConditionSpec(field=1))),
    ],
)
def test_a_role_that_a_network_cannot_fill_is_refused(network, role):
    with pytest.raises(ValueError, match=r"[Cc]hoose another network|choose|reads|maps"):
        network.build(role, network.Config())


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 30},
        {"width": 12, "heads": 4},
        {"head_width": 5},
        {"heads": 0},
        {"depth": 0},
        {"key_heads": 3},
        {"activation": "tanh"},
        {"norm": "batch"},
        {"bias": "some"},
        {"positions": "none"},
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"heads|activation|norm|bias|positions"):
        transformer.build(READER, replace(SMALL, **wrong))


@pytest.mark.parametrize(("length", "window"), [(4, 0), (12, 4)])
def test_a_long_context_slides_in_pieces_as_at_once(length, window):
    """Beyond its window, or the length it was made for, a network sees no further back, cached or not."""
    role = NetworkSpec(TokenSpace(11, length), TokenSpace(11, length), is_causal=True)
    network = perturb_weights(transformer.build(role, replace(SMALL, window=window))).eval()
    x = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        full = network(x)
        cache = network.init_cache(3, 12)
        pieces = [network(x[:, a:b], cache_folder=cache) for a, b in ((0, 3), (3, 4), (4, 9), (9, 12))]
        assert_close(torch.cat(pieces, 1), full, "pieces equal the whole")
        changed = x.clone()
        changed[:, 0] = (x[:, 0] + 1) % 11
        reach = 2 * (4 - 1)  # positions that two layers of window four hand on
        assert_close(network(changed)[:, reach + 1 :], full[:, reach + 1 :], "what is out of sight changes nothing")


@pytest.mark.parametrize("window", [4, 16])
def test_attention_written_out_for_bfloat16_equals_the_fused_one(window):
    role = NetworkSpec(TokenSpace(11, window), TokenSpace(11, window), is_causal=True)
    network = perturb_weights(transformer.build(role, SMALL)).eval().requires_grad_(False)
    x = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(0))
    exact, rough = network(x), network.to(torch.bfloat16)(x)
    assert (exact - rough.float()).abs().max() < 0.05 * exact.abs().max()


def test_grouped_keys_are_shared_by_neighbouring_heads():
    chance = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 4, generator=chance) for heads in (4, 2, 2))
    mixed = attention.attend(q, k, v, is_causal=True)
    for head in range(4):
        alone = attention.attend(q[:, [head]], k[:, [head // 2]], v[:, [head // 2]], is_causal=True)
        assert_close(mixed[:, [head]], alone, "head h reads key head h // 2")


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_the_softmax_of_scaled_scores(masked):
    chance = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, generator=chance) for _ in range(3))
    allowed = torch.ones(5, 5, dtype=torch.bool).tril() if masked else torch.ones(5, 5, dtype=torch.bool)
    scores = (q @ k.mT / 2).masked_fill(~allowed, float("-inf"))
    assert_close(attention.attend(q, k, v, is_causal=masked), scores.softmax(-1) @ v, "attention")
    assert_close(attention.attend_explicitly(q, k, v, allowed), scores.softmax(-1) @ v, "attention written out")
    if masked:
        assert_close(
            attention.attend_explicitly(q, k, v, is_causal=True), scores.softmax(-1) @ v, "the mask within the product"
        )


def test_a_mask_made_while_sampling_serves_training_later():
    attention.get_cached_causal_bias.cache_clear()
    q = torch.randn(1, 1, 4, 4, dtype=torch.bfloat16)
    with torch.inference_mode():
        attention.attend(q, q, q, is_causal=True)
    q.requires_grad_(True)
    attention.attend(q, q, q, is_causal=True).sum().backward()
    assert q.grad is not None


def test_rotary_scores_depend_on_distance_alone():
    rotary = attention.RotaryEmbedding(8, 10000.0)
    chance = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 1, 1, 8, generator=chance), torch.randn(1, 1, 1, 8, generator=chance)

    def score(i: int, j: int) -> float:
        turned = (
            attention.apply_rotary(x, rotary.compute_cos_sin(torch.tensor([p]), torch.float32))
            for x, p in ((q, i), (k, j))
        )
        return float(next(turned).flatten() @ next(turned).flatten())

    assert score(7, 3) == pytest.approx(score(104, 100), abs=1e-4)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)
    assert score(0, 0) == pytest.approx(float(q.flatten() @ k.flatten()), abs=1e-5)


def test_scaled_rotary_keeps_short_waves_and_stretches_long_ones():
    plain, llama = (
        attention.RotaryEmbedding(64, 10000.0),
        attention.RotaryEmbedding(64, 10000.0, attention.RotaryScaling(8.0, 256)),
    )
    ratio = plain.inv_freq_K / llama.inv_freq_K
    assert ratio[0] == 1, "a wave of six positions turns often within 256"
    assert ratio[-1] == pytest.approx(8.0)
    assert (ratio.diff() >= -1e-5).all(), "and between them it grows"
    assert_close(
        attention.RotaryEmbedding(64, 10000.0, attention.RotaryScaling(2.0)).inv_freq_K,
        plain.inv_freq_K / 2,
        "without a length, all",
    )


def test_the_options_of_other_families_add_no_weights_by_default():
    names = set(transformer.build(READER, SMALL).state_dict())
    more = set(transformer.build(READER, GPT2).state_dict()) - names
    assert not {name for name in names if "bias" in name or "pos_embed" in name}
    assert {name.removeprefix("blocks.0.") for name in more if not name.startswith("blocks.1.")} == {
        "pos_embed.weight", "norm.bias", "norm_attention.bias", "norm_mlp.bias",
        "attention.qkv.bias", "attention.out.bias", "mlp.up.bias", "mlp.down.bias",
    }  # fmt: skip


def test_the_ngram_network_starts_as_the_counts_alone():
    network = fitted(ngram.build(READER, ngram.Config(order=3, base=replace(SMALL, tied=False)))).eval()
    x, _, _ = random_inputs(READER, 2)
    logits = network(x).detach()
    assert_close(logits.softmax(-1).pooled_proj(-1), torch.ones(x.shape), "a distribution")
    assert network.counts is not None
    nats = -logits.log_softmax(-1)[0, :-1].gather(1, x[0, 1:, None])[:, 0]
    assert_close(nats, -network.counts.log_prob(x[0].numpy())[1:].copy(), "what the counts say of the same row")


def test_the_ngram_network_trains_on_the_other_folds_counts():
    stream = np.concatenate([np.tile([0, 1], 50), np.tile([0, 2], 50)])
    network = ngram.build(READER, ngram.Config(order=2, num_folds=2, base=replace(SMALL, tied=False)))
    network.fit(stream)
    x = torch.tensor([[0, 0, 0]])

    def likeliest() -> int:
        return int(network(x).detach()[0, 1].argmax())

    network.begin_step(0)  # rows come from the first fold, so the counts from the second
    assert likeliest() == 2
    network.begin_step(1)
    assert likeliest() == 1
    network.begin_step(2)
    assert likeliest() == 2


def test_the_ngram_network_counts_the_beginning_and_trains_on_the_rest():
    stream = np.concatenate([np.tile([0, 1], 50), np.tile([0, 2], 50)])
    network = ngram.build(READER, ngram.Config(order=2, count_split=100, base=replace(SMALL, tied=False)))
    network.fit(stream)
    network.begin_step(7)
    logits = network(torch.tensor([[0, 0, 0]])).detach()
    assert logits[0, 1].argmax() == 1
    assert_close(network.eval()(torch.tensor([[0, 0, 0]])), logits, "in training as later")
    assert get_count_split(nn.ModuleDict({"model": network})) == 100
    assert get_num_folds(nn.ModuleDict({"model": network})) == ngram.num_folds({"count_split": 100}) == 1


def test_a_beginning_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match=r"network.count_split is 90, and there are 90 symbols .* none would be left"):
        fitted_to(np.tile([0, 1], 45), ngram.Config(order=2, count_split=90))


def test_the_same_text_is_counted_once():
    stream = np.tile([0, 1, 2], 50)
    settings = ngram.Config(order=3, num_folds=2)
    counts = ngram.build_count_model(settings, SYMBOLS.vocab_size, stream)
    network = fitted_to(stream, settings)
    assert network.counts is counts
    assert fitted_to(stream, settings).others is network.others
    for other, text in (
        (settings, stream[::-1]),
        (replace(settings, order=2), stream),
        (replace(settings, folds=3), stream),
    ):
        found = fitted_to(text, other)
        assert found.counts is not counts
        assert (found.order, len(found.others)) == (other.order, other.num_folds)
    again = fitted_to(stream, settings)
    assert again.counts is not counts, "only the latest is kept"
    assert again.counts is not None
    for name, array in again.counts.to_arrays().items():
        assert np.array_equal(array, counts.to_arrays()[name])


def test_counts_for_which_there_is_no_room_are_refused_before_they_are_made(monkeypatch):
    stream = np.tile([0, 1, 3], 70)
    room = ngram.estimate_table_bytes(ngram.Config(order=3, num_folds=2), len(stream))
    for free, refused in ((room - 1, True), (room, False)):
        monkeypatch.setattr(
            ngram.psutil, "virtual_memory", lambda free=free: SimpleNamespace(get_unavailable_reason=free)
        )
        if refused:
            with pytest.raises(ValueError, match=r"Counting this text takes about 0\.2 GB.*--set network\.apart=21$"):
                fitted_to(stream, ngram.Config(order=3, num_folds=2))
        else:
            fitted_to(stream, ngram.Config(order=3, num_folds=2))


def fitted_to(stream: np.ndarray, config: ngram.Config) -> ngram.Ngram:
    network = ngram.build(READER, replace(config, base=SMALL))
    network.fit(stream)
    return network


def test_counts_travel_with_the_weights():
    network = perturb_weights(fitted(ngram.build(READER, ngram.Config(order=4, base=SMALL)))).eval()
    saved = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    empty = ngram.build(READER, ngram.Config(order=4, base=SMALL)).eval()
    x, _, _ = random_inputs(READER, 3)
    with pytest.raises(ValueError, match="no counts yet"):
        empty(x)
    empty.load_state_dict(saved)
    assert torch.equal(empty(x), network(x))
    half = empty.to(torch.bfloat16)  # must not round the counts or their discounts
    assert_close(
        half.compute_prior(x, None, None)[0],
        network.compute_prior(x, None, None)[0],
        "counts in a copy of lower precision",
    )


def test_copies_share_the_counts():
    """A working copy, an average and a reference need not each hold what never changes."""
    network = fitted(ngram.build(READER, ngram.Config(order=4, base=SMALL)))
    copy = perturb_weights(network)
    assert isinstance(copy, ngram.Ngram)
    assert copy.counts is network.counts


@pytest.mark.parametrize("wrong", [{"order": 0}, {"order": 9}, {"num_folds": 1}, {"count_split": -1}], ids=str)
def test_ngram_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"order|folds|apart"):
        fitted(ngram.build(READER, ngram.Config(base=SMALL, **wrong)))


def test_a_batch_moves_and_cuts_with_all_it_holds():
    x, _, cond = random_inputs(NetworkSpec(SYMBOLS, SYMBOLS, condition=ConditionSpec(tokens=2, vector=3)), 4)
    batch = Batch(x, cond, weight=torch.ones(4), mask=x > 0, lengths=torch.arange(4))
    cut = batch.select_rows(slice(1, 3))
    assert len(cut) == 2
    assert cut.cond is not None
    for name in ("x", "weight", "mask", "lengths"):
        assert torch.equal(getattr(cut, name), getattr(batch, name)[1:3])
    for name in ("tokens", "mask", "vector"):
        assert torch.equal(getattr(cut.cond, name), getattr(cond, name)[1:3])
