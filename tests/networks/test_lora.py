"""Adapters: nothing at first, sums of each other, the same once merged, and all that training moves or stores."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genloom.networks import dense, dit, lora, ngram, recurrent, transformer, unet
from genloom.networks.dropout import set_dropout_keys
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive
from genloom.testing import assert_close, check_network, perturb_weights, random_inputs
from genloom.train import checkpoint
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig, classify_parameters
from genloom.types import Batch, ConditionSpec, NetworkSpec, SignalSpace, TokenSpace

SPACE = TokenSpace(vocab_size=13, context_length=12)
ROLE = NetworkSpec(SPACE, SPACE, is_causal=True)
TOLD = replace(ROLE, condition=ConditionSpec(vector=2))
SMALL = transformer.Config(width=16, depth=2, heads=4, key_heads=2)
WAYS = {
    "plain": lora.Config(3, 5.0),
    "one target": lora.Config(2, 8.0, ("k",)),
    "queries and values": lora.Config(4, 4.0, ("q", "v")),
    "rank-stabilised": lora.Config(4, 3.0, use_rslora=True),
    "decomposed": lora.Config(3, 5.0, use_dora=True),
    "decomposed, some": lora.Config(3, 5.0, ("v", "gate", "down"), use_dora=True),
}
BASES = {
    "grouped": SMALL,
    "untied, with biases": replace(SMALL, tied=False, bias="all"),
    "relu2": replace(SMALL, activation="relu2"),
}
X = torch.randint(SPACE.vocab_size, (3, 9), generator=torch.Generator().manual_seed(0))


def built(config: transformer.Config = SMALL) -> nn.Module:
    torch.manual_seed(0)
    return perturb_weights(transformer.build(ROLE, config)).eval()


@torch.no_grad()
def learned(network: nn.Module, seed: int = 1) -> nn.Module:
    """As if the newest adapter had been trained."""
    chance = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.add_(torch.randn(p.shape, generator=chance) * 0.2)
    return network


def outputs(network: nn.Module) -> Tensor:
    return network(X).detach()


@pytest.mark.parametrize(
    ("base", "way"),
    [(base, way) for base in BASES for way in WAYS if base != "relu2" or "gate" not in WAYS[way].targets],
)
def test_an_adapter_changes_nothing_then_something_and_merges_to_the_same(base: str, way: str) -> None:
    network = built(BASES[base])
    before, names = outputs(network), list(network.state_dict())
    lora.attach(network, WAYS[way])
    assert_close(outputs(network), before, "a fresh adapter is the identity")
    adapted = outputs(learned(network))
    assert (adapted - before).abs().max() > 0.01
    merged = lora.merge(network)
    assert_close(outputs(merged), adapted, "the merged network is the adapted one")
    assert list(merged.state_dict()) == names
    assert not any(isinstance(part, lora.Adapter | lora.LoRALinear | lora.TiedLinear) for part in merged.modules())
    assert_close(outputs(network), adapted, "merging leaves the adapted network as it is")


@pytest.mark.parametrize("way", WAYS)
def test_an_adapter_is_its_formula(way: str) -> None:
    """W x + scale B A x, target by target; with decomposed weights, rows rescaled to their learned lengths."""
    config = WAYS[way]
    network = built()
    plain = {path: network.get_parameter(f"{path}.weight").detach().clone() for path in lora.find_targets(network)}
    lora.attach(network, config)
    learned(network)
    merged = lora.merge(network)
    for path, linear, adapter in lora.iter_adapters(network):
        expected = plain[path].clone()
        factors = zip(adapter.A.chunk(len(adapter.spans)), adapter.spans.values(), strict=True)
        done = 0
        for A, rows in factors:
            size = rows.stop - rows.start
            B = adapter.B[done : done + size]
            expected[rows] += config.scale * (B @ A).detach()
            if adapter.gain is not None:
                lengths = plain[path][rows].norm(dim=1) * (1 + adapter.gain[done : done + size].detach())
                expected[rows] *= (lengths / expected[rows].norm(dim=1))[:, None]
            done += size
        assert_close(merged.get_parameter(f"{path}.weight").detach(), expected, f"the merged {path}")
        x = torch.randn(2, 5, linear.in_features, generator=torch.Generator().manual_seed(2))
        assert_close(linear(x).detach(), x @ expected.mT, f"the adapted {path}")


def test_scales() -> None:
    assert lora.Config(4, 6.0).scale == 1.5
    assert lora.Config(4, 6.0, use_rslora=True).scale == 3.0


def pair() -> nn.Module:
    network = built()
    lora.attach(network, WAYS["plain"], "one")
    learned(network)
    lora.attach(network, WAYS["decomposed, some"], "two/2.0")
    return learned(network, seed=2)


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in lora.merge(network).parameters()])


def test_adapters_sum_and_are_switched_without_touching_the_base() -> None:
    network, base = pair(), built()
    found = {}
    for names in ((), ("one",), ("two/2.0",), ("one", "two/2.0")):
        lora.set_active_adapters(network, names)
        found[names] = weights(network)
        assert_close(outputs(lora.merge(network)), outputs(network), f"merged {names}")
    plain = torch.cat([p.detach().flatten() for p in base.parameters()])
    assert torch.equal(found[()], plain)
    both = found[("one",)] + found[("two/2.0",)] - plain
    assert_close(found[("one", "two/2.0")], both, "two adapters are summed")
    lora.set_active_adapters(network, ())
    assert torch.equal(outputs(network), outputs(base))


def test_a_sharing_copy_is_switched_by_itself_and_holds_no_second_base() -> None:
    network = pair()
    other = lora.copy_sharing_tensors(network)
    lora.set_active_adapters(other, ())
    assert torch.equal(outputs(other), outputs(built()))
    assert (outputs(network) - outputs(other)).abs().max() > 0.01
    mine, theirs = ({t.data_ptr() for t in (*n.parameters(), *n.buffers())} for n in (network, other))
    assert mine == theirs


def test_only_the_newest_adapter_is_a_parameter_or_in_the_state() -> None:
    network = pair()
    names = [name for name, _ in network.named_parameters()]
    assert names == list(network.state_dict())
    assert names
    assert all(name.rsplit(".", 2)[1] in "01" and name.rsplit(".", 1)[1] in ("A", "B", "gain") for name in names)
    own = [p for _, _, a in lora.iter_adapters(network) if a.name == "two/2.0" for p in a.parameters()]
    assert {id(p) for p in network.parameters()} == {id(p) for p in own}
    assert set(classify_parameters(network).values()) == {"adapter"}


def test_a_tied_head_stays_tied_in_copies_of_another_type() -> None:
    network = pair()
    for copy in (network, deepcopy(network), deepcopy(network).to(torch.bfloat16), lora.copy_sharing_tensors(network)):
        assert copy.get_submodule("head").weight is copy.get_submodule("embedding.embed").weight
    half = deepcopy(network).to(torch.bfloat16)
    assert {t.dtype for t in (*half.parameters(), *half.buffers()) if t.is_floating_point()} == {torch.bfloat16}
    assert (outputs(half).float() - outputs(network)).abs().max() < 0.15 * outputs(network).abs().max()
    merged = lora.merge(network)
    assert merged.get_submodule("head").weight is merged.get_submodule("embedding.embed").weight


def test_an_adapted_network_keeps_the_contracts() -> None:
    check_network(pair(), ROLE)
    signal = NetworkSpec(SignalSpace(3), SignalSpace(2), has_time=True)
    network = perturb_weights(dense.build(signal, dense.Config(width=24)))
    lora.attach(network, lora.Config(2, 4.0))
    check_network(learned(network), signal)
    lora.merge(network)


def test_the_ngram_networks_base_is_adapted() -> None:
    network = ngram.build(ROLE, ngram.Config(order=2, base=SMALL))
    network.fit(X.flatten().numpy())
    stored, network = perturb_weights(network).state_dict(), ngram.build(ROLE, ngram.Config(order=2, base=SMALL)).eval()
    network.load_state_dict(stored)
    lora.attach(network, lora.Config(2, 4.0))
    learned(network)
    assert_close(outputs(lora.merge(network)), outputs(network), "merged")


def test_dropout_leaves_out_in_training_only() -> None:
    network = built()
    lora.attach(network, lora.Config(4, 8.0, dropout=0.5))
    learned(network)
    still = outputs(network)
    set_dropout_keys({"model": network}, Noise(0, (1, 2, 3)))
    assert torch.equal(outputs(network), still)
    network.train()
    assert not torch.equal(network(X), still)


@pytest.mark.slow
def test_compiled_it_computes_the_same() -> None:
    network = pair()
    want = outputs(network)
    network.compile(backend="aot_eager", dynamic=False)
    assert_close(outputs(network), want, "compiled")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lora.Config(0), "rank of an adapter is 1 or more, got 0"),
        (lambda: lora.Config(4, 0.0), "alpha of an adapter is above 0"),
        (lambda: lora.Config(4, float("nan")), "alpha of an adapter is above 0"),
        (lambda: lora.Config(dropout=1.0), "dropout of an adapter is a share"),
        (lambda: lora.attach(built(), lora.Config(targets=("q", "w"))), "has no 'w' to adapt. It has: q, k, v, o, ga"),
        (lambda: lora.attach(pair(), lora.Config(), "one"), "There is an adapter 'one' already"),
        (
            lambda: lora.set_active_adapters(pair(), ["one", "three"]),
            "There is no adapter 'three' here. There is: one, two/2.0.",
        ),
        (lambda: lora.attach(recurrent.build(TOLD, recurrent.Config(16)), lora.Config()), "adapt a transformer"),
    ],
)
def test_what_cannot_be_is_one_clear_error(make, words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        make()
    assert words in str(caught.value)


def test_a_merge_that_is_not_the_same_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    network = pair()
    monkeypatch.setattr(lora.Adapter, "get_delta_weight", lambda self, weight: torch.full_like(weight, 0.01))
    with pytest.raises(ValueError, match=r"merged network is not the adapted one: outputs differ by [^\n]+ allowed"):
        lora.merge(network)
    monkeypatch.undo()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        lora.merge(network)


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


def begun(plan: TrainConfig, config: lora.Config = WAYS["plain"]) -> TrainState:
    network = built()
    torch.manual_seed(3)
    lora.attach(network, config)
    return TrainState.from_parts(nn.ModuleDict({"model": network.train()}), OBJECTIVE, plan)


def losses(plan: TrainConfig, state: TrainState) -> Iterator[float]:
    return (progress.losses["model"] for progress in train(OBJECTIVE, batch_at, plan, state))


@pytest.mark.parametrize("name", PLANS)
def test_training_moves_the_adapters_alone(name: str) -> None:
    state = begun(PLANS[name])
    network = state.parts["model"]
    before = {n: t.clone() for n, t in network.named_buffers()}
    first, *_, last = losses(PLANS[name], state)
    assert last < first
    assert all(torch.equal(t, before[n]) for n, t in network.named_buffers())
    assert all(p.abs().max() > 0 for p in network.parameters())
    assert state.optimizers["model"].momenta == {}, "Muon has nothing to do"
    lora.merge(state.eval_parts["model"])


@pytest.mark.parametrize("config", [WAYS["plain"], replace(WAYS["decomposed"], dropout=0.2)], ids=["plain", "more"])
def test_a_run_resumes_to_the_same_bits_from_a_small_checkpoint(tmp_path: Path, config: lora.Config) -> None:
    plan = PLANS["averaged, in pieces"]
    whole, halted = begun(plan, config), begun(plan, config)
    for _ in losses(plan, whole):
        pass
    for _, _ in zip(range(3), losses(plan, halted), strict=False):
        pass
    path = checkpoint.save(halted, tmp_path)
    resumed = begun(plan, config)
    checkpoint.load(resumed, tmp_path)
    for _ in losses(plan, resumed):
        pass
    for name, tensor in whole.to_tensors().items():
        assert torch.equal(tensor, resumed.to_tensors()[name]), name
    size = 4 * sum(p.numel() for p in halted.parts.parameters())
    assert path.stat().st_size < 4 * size + 20_000  # weights, averages, two moments; the base is not in it


PICTURE = NetworkSpec(SignalSpace(2, (4, 4)), SignalSpace(2, (4, 4)), has_time=True, condition=ConditionSpec(tokens=5))
PICTURING = {
    "dit": lambda: dit.build(PICTURE, dit.Config(width=16, depth=2, head_width=8)),
    "unet": lambda: unet.build(
        PICTURE, unet.Config(width=8, channel_mult=(1, 2), num_res_blocks=1, head_width=4, norm_groups=4)
    ),
}


@pytest.mark.parametrize("targets", [(), ("q", "v", "o")], ids=str)
@pytest.mark.parametrize("name", PICTURING)
def test_networks_of_pictures_are_adapted_inside_their_fused_maps(name: str, targets: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = perturb_weights(PICTURING[name]()).eval()
    x, t, cond = random_inputs(PICTURE, num_rows=3)
    before, names = network(x, t, cond=cond).detach(), list(network.state_dict())
    lora.attach(network, lora.Config(3, 5.0, targets, use_dora=True))
    assert_close(network(x, t, cond=cond).detach(), before, "a fresh adapter is the identity")
    assert {path.rsplit(".", 1)[-1] for path, _, _ in lora.iter_adapters(network)} >= {"qkv", "out"}
    adapted = learned(network)(x, t, cond=cond).detach()
    assert (adapted - before).abs().max() > 0.01
    merged = lora.merge(network)
    assert_close(merged(x, t, cond=cond).detach(), adapted, "the merged network is the adapted one")
    assert sorted(merged.state_dict()) == sorted(names)
