"""Every network meets the contracts in every spec: batches, padding, conditions, causality, cached decoding."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from genloom import plugins
from genloom.networks import attention, dense, ngram, recurrent, transformer
from genloom.networks.embedding import read_field
from genloom.settings import parse_settings
from genloom.testing import assert_close, check_network, draw_inputs, perturb_weights
from genloom.train.data.token_stream import get_count_split, get_num_folds
from genloom.types import Batch, Condition, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

TOKENS, SERIES, VECTOR = TokenSpace(vocab_size=11, context_length=9), SignalSpace(2, (6,)), SignalSpace(3)
SMALL = transformer.Config(width=16, depth=2, heads=4)
GPT2 = replace(SMALL, qk_norm=False, bias="all", norm="layer", positions="learned", activation="gelu")
CAUSAL_SPEC = NetworkSpec(TOKENS, TOKENS, is_causal=True)


def fit_ngram(network: ngram.Ngram) -> ngram.Ngram:
    network.fit(np.random.default_rng(0).integers(0, TOKENS.vocab_size, 400))
    return network


CAUSAL_NETWORKS = {
    "transformer": lambda spec: transformer.build(spec, SMALL),
    "transformer-shared-keys": lambda spec: transformer.build(spec, replace(SMALL, key_heads=2)),
    "transformer-one-key-head": lambda spec: transformer.build(spec, replace(SMALL, key_heads=1)),
    "transformer-plain": lambda spec: transformer.build(spec, replace(SMALL, qk_norm=False, activation="relu2")),
    "transformer-untied": lambda spec: transformer.build(spec, replace(SMALL, tie_embeddings=False, softcap=5.0)),
    "transformer-wide-heads": lambda spec: transformer.build(spec, replace(SMALL, head_width=6, key_heads=2)),
    "transformer-qwen2": lambda spec: transformer.build(spec, replace(SMALL, qk_norm=False, bias="qkv")),
    "transformer-gpt2": lambda spec: transformer.build(spec, GPT2),
    "transformer-window": lambda spec: transformer.build(spec, replace(SMALL, window=3)),
    "transformer-scaled": lambda spec: transformer.build(spec, replace(SMALL, rotary_scale=8.0, rotary_length=20)),
    "recurrent": lambda spec: recurrent.build(spec, recurrent.Config(width=16, depth=2)),
    "recurrent-untied": lambda spec: recurrent.build(spec, recurrent.Config(width=16, depth=1, tie_embeddings=False)),
    "ngram": lambda spec: fit_ngram(ngram.build(spec, ngram.Config(order=4, base=SMALL))),
    "ngram-basis": lambda spec: fit_ngram(ngram.build(spec, ngram.Config(order=4, base=SMALL, count_features=True))),
    "ngram-unigram": lambda spec: fit_ngram(ngram.build(spec, ngram.Config(1, 2, SMALL))),
}


@pytest.mark.parametrize("name", CAUSAL_NETWORKS)
@pytest.mark.parametrize(
    "cond",
    [ConditionSpec(), ConditionSpec(vector=3), ConditionSpec(tokens=5), ConditionSpec(tokens=5, vector=3)],
    ids=str,
)
def test_causal_networks(name, cond):
    spec = replace(CAUSAL_SPEC, condition=cond)
    if cond.tokens and "recurrent" in name:
        with raises_code("networks.recurrent_condition"):
            CAUSAL_NETWORKS[name](spec)
    else:
        check_network(CAUSAL_NETWORKS[name](spec), spec)


SPECS = {
    "masked tokens": NetworkSpec(TOKENS, TOKENS, condition=ConditionSpec(tokens=2, vector=2)),
    "series": NetworkSpec(SERIES, SERIES, has_time=True),
    "series, all conditions": NetworkSpec(SERIES, SERIES, has_time=True, condition=ConditionSpec(2, 3, 1)),
    "series to vector": NetworkSpec(SERIES, SignalSpace(5), condition=ConditionSpec(field=2)),
    "tokens to vector": NetworkSpec(TOKENS, SignalSpace(5), condition=ConditionSpec(vector=2)),
    "last token to vector": NetworkSpec(TOKENS, SignalSpace(5), is_causal=True),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_transformer_meets_the_contracts_of_other_specs(name):
    check_network(transformer.build(SPECS[name], SMALL), SPECS[name])


@pytest.mark.parametrize("cond", [ConditionSpec(), ConditionSpec(tokens=5)], ids=str)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("grid", [(2, 4), (2, 2, 2)], ids=str)
def test_the_transformer_reads_tokens_of_a_grid(causal, cond, grid):
    space = replace(TOKENS, grid=grid)
    spec = NetworkSpec(space, space, is_causal=causal, condition=cond)
    check_network(transformer.build(spec, replace(SMALL, head_width=8)), spec)


@pytest.mark.parametrize("name", ["transformer", "transformer-window", "transformer-gpt2", "ngram-basis"])
def test_a_field_beside_tokens(name):
    """Columns go with tokens: a causal network reads that of the token it predicts, whether at once or in pieces."""
    spec = NetworkSpec(TOKENS, TOKENS, is_causal=True, condition=ConditionSpec(tokens=5, field=2))
    check_network(CAUSAL_NETWORKS[name](spec), spec)


def test_a_column_of_a_field_goes_with_its_token():
    x, field = torch.zeros(1, 9, dtype=torch.long), torch.zeros(1, 1, 8)
    field[0, 0, 3] = 1  # of the fourth token after BOS
    spec = NetworkSpec(TOKENS, TOKENS, is_causal=True, condition=ConditionSpec(field=1))
    network = perturb_weights(transformer.build(spec, SMALL)).eval()
    output = network(x, cond=Condition(field=field))
    assert (output != network(x))[0].any(1).nonzero()[0] == 3, "where the fourth token is predicted"
    assert torch.equal(network(x, cond=Condition(field=field[:, :, :4])), output)
    two_rows = read_field(Condition(field=torch.tensor([[[5.0, 6]], [[7, 8]]])), torch.tensor([-1, 0, 1, 2]), 2, 1)
    assert two_rows.tolist() == [[[0, 5, 6, 0]], [[0, 7, 8, 0]]]


def test_the_transformer_reads_tokens_of_another_grid():
    spec = NetworkSpec(replace(TOKENS, grid=(2, 4)), replace(TOKENS, grid=(2, 4)))
    network = perturb_weights(transformer.build(spec, SMALL)).eval()
    x = torch.arange(17).view(1, -1) % TOKENS.vocab_size
    space = replace(TOKENS, grid=(4, 4), context_length=17)
    larger = transformer.build(NetworkSpec(space, space), SMALL).eval()
    larger.load_state_dict(network.state_dict())
    assert torch.equal(network.at_size((4, 4))(x), larger(x))
    assert not torch.allclose(network(x), larger(x))
    with raises_code("networks.size_is_fixed"):
        transformer.build(spec, replace(SMALL, positions="learned")).at_size((4, 4))


CLIP = SignalSpace(2, (16, 4))
PADDED_NETWORKS = {
    "unet": (
        NetworkSpec(CLIP, CLIP, has_time=True, condition=ConditionSpec(tokens=3, vector=2, field=1)),
        {"width": 8, "channel_mult": (1, 2, 2), "attention_max_positions": 16, "head_width": 4, "norm_groups": 4},
    ),
    "dit": (
        NetworkSpec(CLIP, CLIP, has_time=True, condition=ConditionSpec(tokens=3, vector=2, field=1)),
        {"width": 16, "depth": 2, "head_width": 8, "positions": "rotary"},
    ),
    "convolution": (
        NetworkSpec(CLIP, SignalSpace(3, (4, 1)), condition=ConditionSpec(tokens=3, vector=2, field=1)),
        {"width": 4},
    ),
    "convolution up": (NetworkSpec(SignalSpace(3, (4, 1)), CLIP, condition=ConditionSpec(vector=2)), {"width": 4}),
}


@pytest.mark.parametrize("name", PADDED_NETWORKS)
def test_a_padded_signal_equals_a_shorter_one(name):
    """Padding counts neither in convolutions nor in attention nor in normalization."""
    spec, settings = PADDED_NETWORKS[name]
    module = plugins.find_part("network", name.partition(" ")[0])
    network = perturb_weights(module.build(spec, module.Config(**settings))).eval()
    x, t, cond = draw_inputs(spec, num_rows=2)
    length = x.shape[2] // 2
    padded = network(x, t, cond=cond, lengths=torch.tensor([length, length]))
    field = None if cond.field is None else cond.field[:, :, :length]
    short_network = network.at_size((length, *x.shape[3:]))
    short = short_network(x[:, :, :length], t, cond=replace(cond, field=field))
    assert_close(padded[:, :, : short.shape[2]], short, "a padded signal")


def test_grid_coordinates_and_their_angles():
    coordinates = attention.to_grid_coordinates((2, 3), torch.arange(7))
    assert coordinates.tolist() == [[-1, -1], [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    plain, on_grid = attention.RotaryEmbedding(8, 100.0), attention.RotaryEmbedding(8, 100.0, grid=(2, 3))
    position = torch.tensor([5])  # the second of the second row: coordinate 1 on both axes, each with its frequencies
    assert_close(
        on_grid.compute_cos_sin(position, torch.float32)[0],
        plain.compute_cos_sin(torch.tensor([1]), torch.float32)[0],
        "both axes at 1",
    )


def test_the_recurrent_network_gives_a_vector():
    spec = NetworkSpec(TOKENS, SignalSpace(5), is_causal=True, condition=ConditionSpec(vector=2))
    check_network(recurrent.build(spec, recurrent.Config(width=16)), spec)


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(VECTOR, VECTOR, has_time=True, condition=ConditionSpec(vector=2, field=1)),
        NetworkSpec(SERIES, VECTOR, condition=ConditionSpec(field=2)),
        NetworkSpec(VECTOR, SignalSpace(1, (4, 4)), condition=ConditionSpec(vector=2)),
        NetworkSpec(SignalSpace(3, (2, 4, 4)), SignalSpace(1)),
    ],
    ids=str,
)
def test_the_dense_network_maps_any_signal(spec):
    check_network(dense.build(spec, dense.Config(width=24)), spec)


@pytest.mark.parametrize(
    ("network", "spec", "code"),
    [
        (transformer, NetworkSpec(VECTOR, VECTOR), "transformer_input"),
        (transformer, NetworkSpec(SignalSpace(1, (4, 4)), SignalSpace(1, (4, 4))), "transformer_input"),
        (transformer, NetworkSpec(SERIES, SignalSpace(2, (7,))), "transformer_output"),
        (recurrent, NetworkSpec(TOKENS, TOKENS), "recurrent_input"),
        (recurrent, NetworkSpec(SERIES, SERIES, is_causal=True), "recurrent_input"),
        (recurrent, NetworkSpec(TOKENS, TOKENS, is_causal=True, has_time=True), "recurrent_condition"),
        (
            recurrent,
            NetworkSpec(TOKENS, TOKENS, is_causal=True, condition=ConditionSpec(field=1)),
            "recurrent_condition",
        ),
        (dense, NetworkSpec(TOKENS, TOKENS), "dense_spaces"),
        (dense, NetworkSpec(VECTOR, VECTOR, condition=ConditionSpec(tokens=1)), "dense_prompt"),
        (ngram, NetworkSpec(TOKENS, TOKENS), "ngram_spec"),
        (ngram, NetworkSpec(TOKENS, SignalSpace(3), is_causal=True), "ngram_spec"),
    ],
)
def test_a_spec_that_a_network_does_not_support_is_an_error(network, spec, code):
    with raises_code(f"networks.{code}"):
        network.build(spec, network.Config())


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"width": 30}, "transformer_width", {"width": 30}),
        ({"width": 12, "heads": 4}, "transformer_width", {"width": 12}),
        ({"head_width": 5}, "transformer_width", {}),
        ({"heads": 0}, "transformer_sizes", {"heads": 0}),
        ({"depth": 0}, "transformer_sizes", {"depth": 0}),
        ({"key_heads": 3}, "key_heads", {"key_heads": 3}),
        ({"dropout": 1.0}, "dropout", {"dropout": 1.0}),
        ({"activation": "tanh"}, "transformer_choice", {"setting": "activation"}),
        ({"norm": "batch"}, "transformer_choice", {"setting": "norm"}),
        ({"bias": "some"}, "transformer_choice", {"setting": "bias"}),
        ({"positions": "none"}, "transformer_choice", {"setting": "positions"}),
    ],
    ids=str,
)
def test_invalid_settings_of_a_transformer_are_errors(changes, code, fields):
    with raises_code(f"networks.{code}", **fields):
        transformer.build(CAUSAL_SPEC, replace(SMALL, **changes))


def test_heads_on_a_grid_need_pairs_of_channels_for_every_axis():
    space = replace(TOKENS, grid=(2, 2, 2))
    with raises_code("networks.transformer_grid", axes=3, minimum=6):
        transformer.build(NetworkSpec(space, space, is_causal=True), SMALL)


@pytest.mark.parametrize(("length", "window"), [(4, 0), (12, 4)])
def test_a_sliding_window_with_a_cache_equals_one_pass(length, window):
    """A network attends no further back than its window or context length, with and without a cache."""
    spec = NetworkSpec(TokenSpace(11, length), TokenSpace(11, length), is_causal=True)
    network = perturb_weights(transformer.build(spec, replace(SMALL, window=window))).eval()
    x = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        full = network(x)
        cache = network.init_cache(3, 12)
        pieces = [network(x[:, a:b], cache=cache) for a, b in ((0, 3), (3, 4), (4, 9), (9, 12))]
        assert_close(torch.cat(pieces, 1), full, "pieces equal one pass")
        changed = x.clone()
        changed[:, 0] = (x[:, 0] + 1) % 11
        reach = 2 * (4 - 1)  # of two layers with a window of four positions
        assert_close(network(changed)[:, reach + 1 :], full[:, reach + 1 :], "tokens beyond the reach change nothing")


@pytest.mark.parametrize("window", [4, 16])
def test_explicit_attention_in_bfloat16_equals_the_fused_one(window):
    torch.manual_seed(0)
    spec = NetworkSpec(TokenSpace(11, window), TokenSpace(11, window), is_causal=True)
    network = perturb_weights(transformer.build(spec, SMALL)).eval().requires_grad_(False)
    x = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(0))
    exact, rough = network(x), network.to(torch.bfloat16)(x)
    assert (exact - rough.float()).abs().max() < 0.05 * exact.abs().max()


def test_adjacent_heads_share_grouped_keys():
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 4, generator=rng) for heads in (4, 2, 2))
    grouped = attention.compute_attention(q, k, v, is_causal=True)
    for head in range(4):
        alone = attention.compute_attention(q[:, [head]], k[:, [head // 2]], v[:, [head // 2]], is_causal=True)
        assert_close(grouped[:, [head]], alone, "head h reads key head h // 2")


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_the_softmax_of_scaled_scores(masked):
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, generator=rng) for _ in range(3))
    attn_mask = torch.ones(5, 5, dtype=torch.bool).tril() if masked else torch.ones(5, 5, dtype=torch.bool)
    scores = (q @ k.mT / 2).masked_fill(~attn_mask, float("-inf"))
    assert_close(attention.compute_attention(q, k, v, is_causal=masked), scores.softmax(-1) @ v, "attention")
    assert_close(attention.attend_explicitly(q, k, v, attn_mask), scores.softmax(-1) @ v, "explicit attention")
    if masked:
        assert_close(
            attention.attend_explicitly(q, k, v, is_causal=True), scores.softmax(-1) @ v, "the mask within the product"
        )


def test_a_mask_cached_in_inference_mode_works_in_training():
    attention.get_cached_causal_bias.cache_clear()
    q = torch.randn(1, 1, 4, 4, dtype=torch.bfloat16)
    with torch.inference_mode():
        attention.compute_attention(q, q, q, is_causal=True)
    q.requires_grad_(True)
    attention.compute_attention(q, q, q, is_causal=True).sum().backward()
    assert q.grad is not None


def test_rotary_scores_depend_on_distance_alone():
    rotary = attention.RotaryEmbedding(8, 10000.0)
    rng = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 1, 1, 8, generator=rng), torch.randn(1, 1, 1, 8, generator=rng)

    def score(i: int, j: int) -> float:
        rotated = (
            attention.apply_rotary(x, rotary.compute_cos_sin(torch.tensor([p]), torch.float32))
            for x, p in ((q, i), (k, j))
        )
        return float(next(rotated).flatten() @ next(rotated).flatten())

    assert score(7, 3) == pytest.approx(score(104, 100), abs=1e-4)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)
    assert score(0, 0) == pytest.approx(float(q.flatten() @ k.flatten()), abs=1e-5)


def test_llama_scaling_keeps_short_waves_and_stretches_long_ones():
    plain, llama = (
        attention.RotaryEmbedding(64, 10000.0),
        attention.RotaryEmbedding(64, 10000.0, attention.RotaryScaling(8.0, 256)),
    )
    ratio = plain.inv_freq_K / llama.inv_freq_K
    assert ratio[0] == 1, "a wave of six positions has many cycles within 256"
    assert ratio[-1] == pytest.approx(8.0)
    assert (ratio.diff() >= -1e-5).all(), "it grows between them"
    assert_close(
        attention.RotaryEmbedding(64, 10000.0, attention.RotaryScaling(2.0)).inv_freq_K,
        plain.inv_freq_K / 2,
        "without a length, all frequencies scale",
    )


def test_the_options_of_gpt2_add_no_weights_by_default():
    names = set(transformer.build(CAUSAL_SPEC, SMALL).state_dict())
    added = set(transformer.build(CAUSAL_SPEC, GPT2).state_dict()) - names
    assert not {name for name in names if "bias" in name or "pos_embed" in name}
    assert {name.removeprefix("blocks.0.") for name in added if not name.startswith("blocks.1.")} == {
        "pos_embed.weight", "norm.bias", "norm_attention.bias", "norm_mlp.bias",
        "attention.qkv.bias", "attention.out.bias", "mlp.up.bias", "mlp.down.bias",
    }  # fmt: skip


def test_an_untrained_ngram_network_equals_its_counts():
    network = fit_ngram(
        ngram.build(CAUSAL_SPEC, ngram.Config(order=3, base=replace(SMALL, tie_embeddings=False)))
    ).eval()
    x, _, _ = draw_inputs(CAUSAL_SPEC, 2)
    logits = network(x).detach()
    assert_close(logits.softmax(-1).sum(-1), torch.ones(x.shape), "a distribution")
    assert network.count_model is not None
    nats = -logits.log_softmax(-1)[0, :-1].gather(1, x[0, 1:, None])[:, 0]
    assert_close(nats, -network.count_model.log_prob(x[0].numpy())[1:].copy(), "the log-probabilities of the counts")


def test_the_ngram_network_trains_on_the_counts_of_the_other_folds():
    stream = np.concatenate([np.tile([0, 1], 50), np.tile([0, 2], 50)])
    network = ngram.build(CAUSAL_SPEC, ngram.Config(order=2, num_folds=2, base=replace(SMALL, tie_embeddings=False)))
    network.fit(stream)
    x = torch.tensor([[0, 0, 0]])

    def most_likely() -> int:
        return int(network(x).detach()[0, 1].argmax())

    network.begin_step(0)  # rows come from the first fold, counts from the second
    assert most_likely() == 2
    network.begin_step(1)
    assert most_likely() == 1
    network.begin_step(2)
    assert most_likely() == 2


def test_with_a_count_split_the_beginning_is_counted_and_the_rest_trained_on():
    stream = np.concatenate([np.tile([0, 1], 50), np.tile([0, 2], 50)])
    network = ngram.build(
        CAUSAL_SPEC, ngram.Config(order=2, count_split=100, base=replace(SMALL, tie_embeddings=False))
    )
    network.fit(stream)
    network.begin_step(7)
    logits = network(torch.tensor([[0, 0, 0]])).detach()
    assert logits[0, 1].argmax() == 1
    assert_close(network.eval()(torch.tensor([[0, 0, 0]])), logits, "the same in training and evaluation")
    assert get_count_split(nn.ModuleDict({"model": network})) == 100
    assert get_num_folds(nn.ModuleDict({"model": network})) == ngram.num_folds({"count_split": 100}) == 1


def test_a_count_split_that_leaves_no_text_to_train_on_is_an_error():
    with raises_code("networks.count_split_too_large", count_split=90, num_tokens=90):
        fit_to_stream(np.tile([0, 1], 45), ngram.Config(order=2, count_split=90))


def test_the_same_text_is_counted_once():
    stream = np.tile([0, 1, 2], 50)
    config = ngram.Config(order=3, num_folds=2)
    counts = ngram.build_count_model(config, TOKENS.vocab_size, stream)
    network = fit_to_stream(stream, config)
    assert network.count_model is counts
    assert fit_to_stream(stream, config).fold_models is network.fold_models
    for other, text in (
        (config, stream[::-1]),
        (replace(config, order=2), stream),
        (replace(config, num_folds=3), stream),
    ):
        refitted = fit_to_stream(text, other)
        assert refitted.count_model is not counts
        assert (refitted.order, len(refitted.fold_models)) == (other.order, other.num_folds)
    again = fit_to_stream(stream, config)
    assert again.count_model is not counts, "the cache holds only the latest"
    assert again.count_model is not None
    for name, array in again.count_model.to_arrays().items():
        assert np.array_equal(array, counts.to_arrays()[name])


def test_too_little_memory_for_the_counts_is_an_error_before_counting(monkeypatch):
    stream = np.tile([0, 1, 3], 70)
    required = ngram.estimate_table_bytes(ngram.Config(order=3, num_folds=2), len(stream))
    for free, fails in ((required - 1, True), (required, False)):
        monkeypatch.setattr(ngram, "measure_memory", lambda free=free: SimpleNamespace(available=free))
        if fails:
            with raises_code("networks.counts_memory", required_gb=required / 1e9, count_split=21):
                fit_to_stream(stream, ngram.Config(order=3, num_folds=2))
        else:
            fit_to_stream(stream, ngram.Config(order=3, num_folds=2))


def fit_to_stream(stream: np.ndarray, config: ngram.Config) -> ngram.Ngram:
    network = ngram.build(CAUSAL_SPEC, replace(config, base=SMALL))
    network.fit(stream)
    return network


def test_the_state_dict_contains_the_counts():
    network = perturb_weights(fit_ngram(ngram.build(CAUSAL_SPEC, ngram.Config(order=4, base=SMALL)))).eval()
    saved = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    empty = ngram.build(CAUSAL_SPEC, ngram.Config(order=4, base=SMALL)).eval()
    x, _, _ = draw_inputs(CAUSAL_SPEC, 3)
    with raises_code("networks.ngram_not_fitted"):
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
    """A working copy, an average and a reference share the counts, which never change."""
    network = fit_ngram(ngram.build(CAUSAL_SPEC, ngram.Config(order=4, base=SMALL)))
    copy = perturb_weights(network)
    assert isinstance(copy, ngram.Ngram)
    assert copy.count_model is network.count_model


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order": 0}, "ngram_order"),
        ({"order": 9}, "ngram_order"),
        ({"num_folds": 1}, "ngram_folds"),
        ({"count_split": -1}, "ngram_count_split"),
    ],
    ids=str,
)
def test_ngram_settings_out_of_range_are_errors(changes, code):
    with raises_code(f"networks.{code}", **changes):
        fit_ngram(ngram.build(CAUSAL_SPEC, ngram.Config(base=SMALL, **changes)))


@pytest.mark.parametrize("key", ["hashed", "hash_buckets"])
def test_settings_of_the_removed_hashed_tables_are_accepted_when_off(key):
    """Models of earlier versions store every setting."""
    assert parse_settings(transformer.Config, {key: 0, "width": 32}, "network") == transformer.Config(width=32)
    assert parse_settings(ngram.Config, {"base": {key: 0}}, "network") == ngram.Config()
    with raises_code("core.unknown_setting"):
        parse_settings(transformer.Config, {key: 64}, "network")


def test_a_batch_slices_all_its_tensors():
    x, _, cond = draw_inputs(NetworkSpec(TOKENS, TOKENS, condition=ConditionSpec(tokens=2, vector=3)), 4)
    batch = Batch(x, cond, weight=torch.ones(4), mask=x > 0, lengths=torch.arange(4))
    part = batch.select_rows(slice(1, 3))
    assert len(part) == 2
    assert part.cond is not None
    for name in ("x", "weight", "mask", "lengths"):
        assert torch.equal(getattr(part, name), getattr(batch, name)[1:3])
    for name in ("tokens", "mask", "vector"):
        assert torch.equal(getattr(part.cond, name), getattr(cond, name)[1:3])
