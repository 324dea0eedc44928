"""Adapters in PEFT's format: the library loads ours, we load the library's, and a mismatch is an error."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genloom.networks import dit, lora, peft, transformer
from genloom.testing import assert_close, draw_inputs, perturb_weights
from genloom.types import ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

SPACE = TokenSpace(vocab_size=31, context_length=16)
SPEC = NetworkSpec(SPACE, SPACE, is_causal=True)
SMALL = transformer.Config(
    width=16, depth=2, heads=4, key_heads=2, mlp_width=24, qk_norm=False, tie_embeddings=False, rotary_base=10000.0
)
X = torch.randint(SPACE.vocab_size, (2, 11), generator=torch.Generator().manual_seed(0))
CONFIGS = {
    "plain": lora.Config(3, 5.0),
    "queries and values": lora.Config(4, 4.0, ("q", "v")),
    "rslora": lora.Config(4, 3.0, ("k", "up", "o"), use_rslora=True),
    "dora": lora.Config(3, 5.0, use_dora=True),
    "dora, some targets": lora.Config(3, 5.0, ("v", "gate", "down"), use_dora=True, use_rslora=True),
}


def build_network() -> nn.Module:
    torch.manual_seed(0)
    return perturb_weights(transformer.build(SPEC, SMALL)).eval()


@torch.no_grad()
def train_adapter(network: nn.Module, seed: int = 1) -> None:
    rng = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.add_(torch.randn(p.shape, generator=rng) * 0.2)


def build_transformers_twin(network: nn.Module) -> nn.Module:
    """Return the same network in the transformers library."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=SPACE.vocab_size,
        hidden_size=SMALL.width,
        intermediate_size=SMALL.mlp_width,
        num_hidden_layers=SMALL.depth,
        num_attention_heads=SMALL.heads,
        num_key_value_heads=SMALL.key_heads,
        rms_norm_eps=SMALL.norm_eps,
        tie_word_embeddings=False,
    )
    ours = network.state_dict()
    names = {"model.embed_tokens.weight": "embedding.embed.weight", "model.norm.weight": "norm.weight"}
    names["lm_head.weight"] = "head.weight"
    tensors = {name: ours[own] for name, own in names.items()}
    for i in range(SMALL.depth):
        block, layer = f"blocks.{i}", f"model.layers.{i}"
        tensors[f"{layer}.input_layernorm.weight"] = ours[f"{block}.norm_attention.weight"]
        tensors[f"{layer}.post_attention_layernorm.weight"] = ours[f"{block}.norm_mlp.weight"]
        for path, spans in lora.find_targets(network).items():
            for target, rows in spans.items() if path.startswith(block) else ():
                tensors[f"{peft.to_peft_module(path, target)}.weight"] = ours[f"{path}.weight"][rows]
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(tensors)
    return model


def logits(model: Any) -> Tensor:
    return model(X).logits.detach()


def test_the_twin_computes_the_same() -> None:
    network = build_network()
    assert_close(network(X).detach(), logits(build_transformers_twin(network)), "plain logits")


@pytest.mark.parametrize("config_name", CONFIGS)
def test_peft_loads_ours(config_name: str, tmp_path: Path) -> None:
    from peft import PeftModel

    network = build_network()
    base = build_transformers_twin(network)
    lora.attach_adapter(network, CONFIGS[config_name])
    train_adapter(network)
    peft.save_peft_adapter(network, "default", tmp_path)
    loaded = PeftModel.from_pretrained(base, tmp_path).eval()
    assert_close(network(X).detach(), logits(loaded), "logits through peft")


@pytest.mark.parametrize("config_name", CONFIGS)
def test_we_load_adapters_of_peft(config_name: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    network, config = build_network(), CONFIGS[config_name]
    modules = [peft.MODULE_NAMES[target].rsplit(".", 1)[-1] for target in config.targets or peft.MODULE_NAMES]
    reference = get_peft_model(
        build_transformers_twin(network),
        LoraConfig(
            r=config.rank,
            lora_alpha=int(config.alpha),
            target_modules=modules,
            use_rslora=config.use_rslora,
            use_dora=config.use_dora,
            lora_dropout=0.1,
        ),
    ).eval()
    with torch.no_grad():
        for name, p in reference.named_parameters():
            if "lora_" in name:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1)
    reference.save_pretrained(str(tmp_path))
    plain = network(X).detach()
    peft.load_peft_adapter(network, tmp_path, "reference")
    network.eval()
    assert (network(X) - plain).abs().max() > 0.01
    assert_close(network(X).detach(), logits(reference), "logits of the adapter that peft saved")
    assert lora.list_adapter_names(network) == ["reference"]
    loaded = next(adapter.config for _, _, adapter in lora.iter_adapters(network))
    targets = tuple(target for spans in lora.find_targets(network).values() for target in spans)
    known = tuple(dict.fromkeys(targets))
    expected = tuple(target for target in known if target in (config.targets or known))
    assert loaded == replace(config, targets=expected, dropout=0.1)


@pytest.fixture
def adapter_folder(tmp_path: Path) -> Path:
    network = build_network()
    lora.attach_adapter(network, lora.Config(3, 5.0, ("q", "up")))
    train_adapter(network)
    peft.save_peft_adapter(network, "default", tmp_path, "some/base")
    return tmp_path


def test_saving_a_loaded_adapter_gives_the_same_bytes(adapter_folder: Path) -> None:
    assert json.loads((adapter_folder / peft.CONFIG_FILE).read_text())["base_model_name_or_path"] == "some/base"
    network = build_network()
    peft.load_peft_adapter(network, adapter_folder, "again")
    again = adapter_folder / "again"
    peft.save_peft_adapter(network, "again", again, "some/base")
    assert (again / peft.CONFIG_FILE).read_bytes() == (adapter_folder / peft.CONFIG_FILE).read_bytes()
    assert (again / peft.WEIGHTS_FILE).read_bytes() == (adapter_folder / peft.WEIGHTS_FILE).read_bytes()


def test_adapters_of_16_bits_load(adapter_folder: Path) -> None:
    path = adapter_folder / peft.WEIGHTS_FILE
    save_file({name: t.bfloat16() for name, t in load_file(path).items()}, path)
    network = build_network()
    peft.load_peft_adapter(network, adapter_folder)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


KEY = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"


def rename_key(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {name if key == KEY else key: tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        (
            lambda t: rename_key(t, KEY.replace("layers.1", "layers.2")),
            "peft_unknown_tensor_nearest",
            {"key": KEY.replace("layers.1", "layers.2")},
        ),
        (lambda t: rename_key(t, "classifier.weight"), "peft_unknown_tensor", {"key": "classifier.weight"}),
        (
            lambda t: {**t, KEY.replace("lora_B", "lora_embedding_B"): t[KEY].clone()},
            "peft_unknown_tensor_nearest",
            {"nearest": KEY},
        ),
        (lambda t: {key: v for key, v in t.items() if key != KEY}, "peft_missing_tensor", {"key": KEY}),
        (
            lambda t: {**t, KEY: t[KEY][:-1].contiguous()},
            "peft_shape",
            {"key": KEY, "shape": (15, 3), "expected": (16, 3)},
        ),
        (lambda t: {**t, KEY: t[KEY].long()}, "peft_dtype", {"dtypes": "F32, I64"}),
        (lambda t: {}, "peft_empty", {}),
    ],
)
def test_tensors_that_do_not_fit_are_errors_and_change_nothing(
    adapter_folder: Path, change, code: str, fields: dict[str, Any]
) -> None:
    path, network = adapter_folder / peft.WEIGHTS_FILE, build_network()
    save_file(change(load_file(path)), path)
    names = list(network.state_dict())
    with raises_code(f"networks.{code}", path=path, **fields):
        peft.load_peft_adapter(network, adapter_folder)
    assert list(network.state_dict()) == names


def test_a_file_with_a_false_size_is_an_error(adapter_folder: Path) -> None:
    path = adapter_folder / peft.WEIGHTS_FILE
    for shape, offsets in (([1 << 40, 1 << 20], [0, 1 << 62]), ([16, 3], [0, 1 << 40]), ([-1, 3], [0, 4])):
        header = json.dumps({KEY: {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"0" * 16)
        with raises_code("networks.peft_unreadable", path=path):
            peft.load_peft_adapter(build_network(), adapter_folder)
    for content in (b"", b"abc", struct.pack("<Q", 1 << 60) + b"{}"):
        path.write_bytes(content)
        with raises_code("networks.peft_unreadable", path=path):
            peft.load_peft_adapter(build_network(), adapter_folder)
    path.unlink()
    with raises_code("networks.peft_unreadable", path=path):
        peft.load_peft_adapter(build_network(), adapter_folder)


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        ({"modules_to_save": ["lm_head"]}, "peft_setting", {"field": "modules_to_save", "value": '["lm_head"]'}),
        ({"bias": "lora_only"}, "peft_setting", {"field": "bias", "value": '"lora_only"'}),
        ({"lora_bias": True}, "peft_setting", {"field": "lora_bias"}),
        ({"layers_to_transform": [1]}, "peft_setting", {"field": "layers_to_transform"}),
        ({"rank_pattern": {"q_proj": 8}}, "peft_setting", {"field": "rank_pattern"}),
        ({"fan_in_fan_out": True}, "peft_setting", {"field": "fan_in_fan_out"}),
        ({"of_the_future": 3}, "peft_setting", {"field": "of_the_future", "value": "3"}),
        ({"init_lora_weights": "pissa"}, "peft_init", {"value": '"pissa"'}),
        ({"peft_type": "LOHA"}, "peft_type", {}),
        ({"r": "many"}, "peft_number", {"field": "r", "value": '"many"'}),
        ({"r": 0}, "adapter_rank", {"rank": 0}),
        ({"r": 10**12}, "peft_shape", {"shape": (3, 16), "expected": (10**12, 16)}),
        ({"lora_alpha": float("nan")}, "peft_number", {"field": "lora_alpha", "value": "NaN"}),
        ({"use_dora": True}, "peft_missing_tensor", {}),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else value,
)
def test_unsupported_settings_are_errors(
    adapter_folder: Path, change: dict[str, Any], code: str, fields: dict[str, Any]
) -> None:
    path = adapter_folder / peft.CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with raises_code(f"networks.{code}", **fields):
        peft.load_peft_adapter(build_network(), adapter_folder)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "peft_config"),
        ("[]", "peft_type"),
        ("{", "peft_config"),
        ("[" * 100_000, "peft_config"),
        (" " * (1 << 20) + "{}", "peft_config"),
    ],
    ids=["empty", "list", "truncated", "nested", "large"],
)
def test_a_file_that_is_no_config_is_an_error(adapter_folder: Path, content: str, code: str) -> None:
    (adapter_folder / peft.CONFIG_FILE).write_text(content)
    with raises_code(f"networks.{code}", path=adapter_folder / peft.CONFIG_FILE):
        peft.load_peft_adapter(build_network(), adapter_folder)


def test_a_network_of_another_family_is_not_compatible_with_peft() -> None:
    assert peft.is_peft_compatible(build_network())
    other = transformer.build(SPEC, replace(SMALL, activation="gelu", positions="learned"))
    assert not peft.is_peft_compatible(other)


OLD_KEYS = {
    "modulation.modulation": "modulate.modulate",
    "mod_embed.time.0.time": "inform.time.0.time",
    "mod_embed.time.2.time": "inform.time.2.time",
    "prompt_proj.states_proj.states_proj": "states.read.read",
    "prompt_proj.pooled_proj.pooled_proj": "states.sum.sum",
}


def test_adapters_with_the_keys_of_earlier_versions_load(tmp_path: Path) -> None:
    space = SignalSpace(2, (4, 4))
    spec = NetworkSpec(space, space, has_time=True, condition=ConditionSpec(tokens=5))

    def build_dit() -> nn.Module:
        torch.manual_seed(0)
        return perturb_weights(dit.build(spec, dit.Config(width=16, depth=1, head_width=8))).eval()

    network, (x, t, cond) = build_dit(), draw_inputs(spec, 3)
    lora.attach_adapter(network, lora.Config(2, 4.0))
    train_adapter(network)
    peft.save_peft_adapter(network, "default", tmp_path)
    path, tensors = tmp_path / peft.WEIGHTS_FILE, load_file(tmp_path / peft.WEIGHTS_FILE)
    for new, old in OLD_KEYS.items():
        for suffix in ("lora_A.weight", "lora_B.weight"):
            tensors[f"base_model.model.{old}.{suffix}"] = tensors.pop(f"base_model.model.{new}.{suffix}")
    save_file(tensors, path)
    loaded = build_dit()
    peft.load_peft_adapter(loaded, tmp_path)
    assert torch.equal(loaded(x, t, cond=cond), network(x, t, cond=cond))
