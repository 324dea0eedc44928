"""Adapters: identity at first, summed, equal after merging, and the only thing that training changes or saves."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genloom.networks import dense, dit, lora, ngram, recurrent, transformer, unet
from genloom.networks.dropout import set_dropout_keys
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive
from genloom.testing import assert_close, check_network, draw_inputs, perturb_weights
from genloom.train import checkpoint
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig, classify_parameters
from genloom.types import Batch, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

SPACE = TokenSpace(vocab_size=13, context_length=12)
SPEC = NetworkSpec(SPACE, SPACE, is_causal=True)
CONDITIONED_SPEC = replace(SPEC, condition=ConditionSpec(vector=2))
SMALL = transformer.Config(width=16, depth=2, heads=4, key_heads=2)
CONFIGS = {
    "plain": lora.Config(3, 5.0),
    "one target": lora.Config(2, 8.0, ("k",)),
    "queries and values": lora.Config(4, 4.0, ("q", "v")),
    "rslora": lora.Config(4, 3.0, use_rslora=True),
    "dora": lora.Config(3, 5.0, use_dora=True),
    "dora, some targets": lora.Config(3, 5.0, ("v", "gate", "down"), use_dora=True),
}
BASES = {
    "grouped": SMALL,
    "untied, with biases": replace(SMALL, tie_embeddings=False, bias="all"),
    "relu2": replace(SMALL, activation="relu2"),
}
X = torch.randint(SPACE.vocab_size, (3, 9), generator=torch.Generator().manual_seed(0))


def build_network(config: transformer.Config = SMALL) -> nn.Module:
    torch.manual_seed(0)
    return perturb_weights(transformer.build(SPEC, config)).eval()


@torch.no_grad()
def train_newest(network: nn.Module, seed: int = 1) -> nn.Module:
    """Change the newest adapter as training would."""
    rng = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.add_(torch.randn(p.shape, generator=rng) * 0.2)
    return network


def outputs(network: nn.Module) -> Tensor:
    return network(X).detach()


@pytest.mark.parametrize(
    ("base", "config_name"),
    [
        (base, config_name)
        for base in BASES
        for config_name in CONFIGS
        if base != "relu2" or "gate" not in CONFIGS[config_name].targets
    ],
)
def test_an_adapter_starts_as_the_identity_and_merges_to_the_same_outputs(base: str, config_name: str) -> None:
    network = build_network(BASES[base])
    before, names = outputs(network), list(network.state_dict())
    lora.attach_adapter(network, CONFIGS[config_name])
    assert_close(outputs(network), before, "a fresh adapter is the identity")
    adapted = outputs(train_newest(network))
    assert (adapted - before).abs().max() > 0.01
    merged = lora.merge_adapters(network)
    assert_close(outputs(merged), adapted, "the merged network is the adapted one")
    assert list(merged.state_dict()) == names
    assert not any(isinstance(part, lora.Adapter | lora.LoRALinear | lora.TiedLinear) for part in merged.modules())
    assert_close(outputs(network), adapted, "merging leaves the adapted network as it is")


@pytest.mark.parametrize("config_name", CONFIGS)
def test_an_adapter_equals_its_formula(config_name: str) -> None:
    """W x + scale B A x, target by target; with DoRA, rows rescaled to their learned norms."""
    config = CONFIGS[config_name]
    network = build_network()
    plain = {path: network.get_parameter(f"{path}.weight").detach().clone() for path in lora.find_targets(network)}
    lora.attach_adapter(network, config)
    train_newest(network)
    merged = lora.merge_adapters(network)
    for path, linear, adapter in lora.iter_adapters(network):
        expected = plain[path].clone()
        factors = zip(adapter.A.chunk(len(adapter.row_slices)), adapter.row_slices.values(), strict=True)
        start = 0
        for A, rows in factors:
            size = rows.stop - rows.start
            B = adapter.B[start : start + size]
            expected[rows] += config.scale * (B @ A).detach()
            if adapter.gain is not None:
                norms = plain[path][rows].norm(dim=1) * (1 + adapter.gain[start : start + size].detach())
                expected[rows] *= (norms / expected[rows].norm(dim=1))[:, None]
            start += size
        assert_close(merged.get_parameter(f"{path}.weight").detach(), expected, f"the merged {path}")
        x = torch.randn(2, 5, linear.in_features, generator=torch.Generator().manual_seed(2))
        assert_close(linear(x).detach(), x @ expected.mT, f"the adapted {path}")


def test_scales() -> None:
    assert lora.Config(4, 6.0).scale == 1.5
    assert lora.Config(4, 6.0, use_rslora=True).scale == 3.0


def build_pair() -> nn.Module:
    network = build_network()
    lora.attach_adapter(network, CONFIGS["plain"], "one")
    train_newest(network)
    lora.attach_adapter(network, CONFIGS["dora, some targets"], "two/2.0")
    return train_newest(network, seed=2)


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in lora.merge_adapters(network).parameters()])


def test_adapters_sum_and_switch_without_changing_the_base() -> None:
    network, base = build_pair(), build_network()
    weights_by_names = {}
    for names in ((), ("one",), ("two/2.0",), ("one", "two/2.0")):
        lora.set_active_adapters(network, names)
        weights_by_names[names] = weights(network)
        assert_close(outputs(lora.merge_adapters(network)), outputs(network), f"merged {names}")
    plain = torch.cat([p.detach().flatten() for p in base.parameters()])
    assert torch.equal(weights_by_names[()], plain)
    expected = weights_by_names[("one",)] + weights_by_names[("two/2.0",)] - plain
    assert_close(weights_by_names[("one", "two/2.0")], expected, "two adapters are summed")
    lora.set_active_adapters(network, ())
    assert torch.equal(outputs(network), outputs(base))


def test_a_sharing_copy_switches_on_its_own_and_shares_all_tensors() -> None:
    network = build_pair()
    other = lora.copy_sharing_tensors(network)
    lora.set_active_adapters(other, ())
    assert torch.equal(outputs(other), outputs(build_network()))
    assert (outputs(network) - outputs(other)).abs().max() > 0.01
    own, shared = ({t.data_ptr() for t in (*n.parameters(), *n.buffers())} for n in (network, other))
    assert own == shared


def test_only_the_newest_adapter_has_parameters_and_state() -> None:
    network = build_pair()
    names = [name for name, _ in network.named_parameters()]
    assert names == list(network.state_dict())
    assert names
    assert all(name.rsplit(".", 2)[1] in "01" and name.rsplit(".", 1)[1] in ("A", "B", "gain") for name in names)
    own = [p for _, _, a in lora.iter_adapters(network) if a.name == "two/2.0" for p in a.parameters()]
    assert {id(p) for p in network.parameters()} == {id(p) for p in own}
    assert set(classify_parameters(network).values()) == {"adapter"}


def test_a_tied_head_stays_tied_in_copies_of_another_dtype() -> None:
    network = build_pair()
    for copy in (network, deepcopy(network), deepcopy(network).to(torch.bfloat16), lora.copy_sharing_tensors(network)):
        assert copy.get_submodule("head").weight is copy.get_submodule("embedding.embed").weight
    half = deepcopy(network).to(torch.bfloat16)
    assert {t.dtype for t in (*half.parameters(), *half.buffers()) if t.is_floating_point()} == {torch.bfloat16}
    assert (outputs(half).float() - outputs(network)).abs().max() < 0.15 * outputs(network).abs().max()
    merged = lora.merge_adapters(network)
    assert merged.get_submodule("head").weight is merged.get_submodule("embedding.embed").weight


def test_an_adapted_network_meets_the_contracts() -> None:
    check_network(build_pair(), SPEC)
    signal = NetworkSpec(SignalSpace(3), SignalSpace(2), has_time=True)
    network = perturb_weights(dense.build(signal, dense.Config(width=24)))
    lora.attach_adapter(network, lora.Config(2, 4.0))
    check_network(train_newest(network), signal)
    lora.merge_adapters(network)


def test_adapters_attach_to_the_base_of_an_ngram_network() -> None:
    network = ngram.build(SPEC, ngram.Config(order=2, base=SMALL))
    network.fit(X.flatten().numpy())
    stored, network = perturb_weights(network).state_dict(), ngram.build(SPEC, ngram.Config(order=2, base=SMALL)).eval()
    network.load_state_dict(stored)
    lora.attach_adapter(network, lora.Config(2, 4.0))
    train_newest(network)
    assert_close(outputs(lora.merge_adapters(network)), outputs(network), "merged")


def test_dropout_acts_in_training_only() -> None:
    network = build_network()
    lora.attach_adapter(network, lora.Config(4, 8.0, dropout=0.5))
    train_newest(network)
    expected = outputs(network)
    set_dropout_keys({"model": network}, Noise(0, (1, 2, 3)))
    assert torch.equal(outputs(network), expected)
    network.train()
    assert not torch.equal(network(X), expected)


@pytest.mark.slow
def test_the_compiled_network_computes_the_same() -> None:
    network = build_pair()
    expected = outputs(network)
    network.compile(backend="aot_eager", dynamic=False)
    assert_close(outputs(network), expected, "compiled")


@pytest.mark.parametrize(
    ("make", "code", "fields"),
    [
        (lambda: lora.Config(0), "adapter_rank", {"rank": 0}),
        (lambda: lora.Config(4, 0.0), "adapter_alpha", {"alpha": 0.0}),
        (lambda: lora.Config(4, float("nan")), "adapter_alpha", {}),
        (lambda: lora.Config(dropout=1.0), "adapter_dropout", {"dropout": 1.0}),
        (
            lambda: lora.attach_adapter(build_network(), lora.Config(targets=("q", "w"))),
            "unknown_target",
            {"target": "w", "known": "q, k, v, o, gate, up, down"},
        ),
        (lambda: lora.attach_adapter(build_pair(), lora.Config(), "one"), "adapter_exists", {"name": "one"}),
        (lambda: lora.attach_adapter(build_network(), lora.Config(10**12)), "adapter_memory", {"rank": 10**12}),
        (
            lambda: lora.set_active_adapters(build_pair(), ["one", "three"]),
            "unknown_adapter",
            {"name": "three", "known": "one, two/2.0"},
        ),
        (
            lambda: lora.attach_adapter(recurrent.build(CONDITIONED_SPEC, recurrent.Config(16)), lora.Config()),
            "not_adaptable",
            {},
        ),
    ],
)
def test_misuse_is_an_error(make, code: str, fields: dict[str, Any]) -> None:
    with raises_code(f"networks.{code}", **fields):
        make()


def test_a_merge_that_changes_the_outputs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_pair()
    monkeypatch.setattr(lora.Adapter, "get_delta_weight", lambda self, weight: torch.full_like(weight, 0.01))
    with raises_code("networks.merge_differs", limit=lora.TOLERANCE):
        lora.merge_adapters(network)
    monkeypatch.undo()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with raises_code("networks.merge_differs"):
        lora.merge_adapters(network)


OBJECTIVE = Autoregressive(SPACE)
PLANS = {
    "float32": TrainConfig(steps=6, warmup=1, optimizer=OptimizerConfig(lr_adapter=0.01)),
    "bfloat16": TrainConfig(steps=6, warmup=1, optimizer=OptimizerConfig(lr_adapter=0.01), precision="bfloat16"),
    "averaged, in pieces": TrainConfig(
        steps=6, warmup=1, optimizer=OptimizerConfig(lr_adapter=0.01), ema_decay=0.9, grad_accum_steps=2
    ),
}


def batch_at(step: int) -> Batch:
    return Batch(torch.randint(4, (4, SPACE.context_length), generator=torch.Generator().manual_seed(step)))


def start_run(plan: TrainConfig, config: lora.Config = CONFIGS["plain"]) -> TrainState:
    network = build_network()
    torch.manual_seed(3)
    lora.attach_adapter(network, config)
    return TrainState.from_parts(nn.ModuleDict({"model": network.train()}), OBJECTIVE, plan)


def run_losses(plan: TrainConfig, state: TrainState) -> Iterator[float]:
    return (progress.losses["model"] for progress in train(OBJECTIVE, batch_at, plan, state))


@pytest.mark.parametrize("name", PLANS)
def test_training_changes_only_the_adapters(name: str) -> None:
    state = start_run(PLANS[name])
    network = state.parts["model"]
    before = {n: t.clone() for n, t in network.named_buffers()}
    first, *_, last = run_losses(PLANS[name], state)
    assert last < first
    assert all(torch.equal(t, before[n]) for n, t in network.named_buffers())
    assert all(p.abs().max() > 0 for p in network.parameters())
    assert state.optimizers["model"].momenta == {}, "Muon trains nothing"
    lora.merge_adapters(state.eval_parts["model"])


@pytest.mark.parametrize("config", [CONFIGS["plain"], replace(CONFIGS["dora"], dropout=0.2)], ids=["plain", "more"])
def test_a_run_resumes_to_the_same_bits_from_a_small_checkpoint(tmp_path: Path, config: lora.Config) -> None:
    plan = PLANS["averaged, in pieces"]
    complete, halted = start_run(plan, config), start_run(plan, config)
    for _ in run_losses(plan, complete):
        pass
    for _, _ in zip(range(3), run_losses(plan, halted), strict=False):
        pass
    path = checkpoint.save_checkpoint(halted, tmp_path)
    resumed = start_run(plan, config)
    checkpoint.load_checkpoint(resumed, tmp_path)
    for _ in run_losses(plan, resumed):
        pass
    for name, tensor in complete.to_tensors().items():
        assert torch.equal(tensor, resumed.to_tensors()[name]), name
    size = 4 * sum(p.numel() for p in halted.parts.parameters())
    assert path.stat().st_size < 4 * size + 20_000  # weights, averages, two moments; the base is not in it


IMAGE_SPEC = NetworkSpec(
    SignalSpace(2, (4, 4)), SignalSpace(2, (4, 4)), has_time=True, condition=ConditionSpec(tokens=5)
)
IMAGE_NETWORKS = {
    "dit": lambda: dit.build(IMAGE_SPEC, dit.Config(width=16, depth=2, head_width=8)),
    "unet": lambda: unet.build(
        IMAGE_SPEC, unet.Config(width=8, channel_mult=(1, 2), num_res_blocks=1, head_width=4, norm_groups=4)
    ),
}


@pytest.mark.parametrize("targets", [(), ("q", "v", "o")], ids=str)
@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_adapters_of_image_networks_attach_to_targets_of_fused_layers(name: str, targets: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = perturb_weights(IMAGE_NETWORKS[name]()).eval()
    x, t, cond = draw_inputs(IMAGE_SPEC, num_rows=3)
    before, names = network(x, t, cond=cond).detach(), list(network.state_dict())
    lora.attach_adapter(network, lora.Config(3, 5.0, targets, use_dora=True))
    assert_close(network(x, t, cond=cond).detach(), before, "a fresh adapter is the identity")
    assert {path.rsplit(".", 1)[-1] for path, _, _ in lora.iter_adapters(network)} >= {"qkv", "out"}
    adapted = train_newest(network)(x, t, cond=cond).detach()
    assert (adapted - before).abs().max() > 0.01
    merged = lora.merge_adapters(network)
    assert_close(merged(x, t, cond=cond).detach(), adapted, "the merged network is the adapted one")
    assert sorted(merged.state_dict()) == sorted(names)
