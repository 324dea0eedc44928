"""Adapters in PEFT's format: the library loads ours, we load its, and what does not fit is refused."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genloom.networks import lora, peft, transformer
from genloom.testing import assert_close, perturb_weights
from genloom.types import NetworkSpec, TokenSpace

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

SPACE = TokenSpace(vocab_size=31, context_length=16)
ROLE = NetworkSpec(SPACE, SPACE, is_causal=True)
SMALL = transformer.Config(
    width=16, depth=2, heads=4, key_heads=2, mlp_width=24, qk_norm=False, tie_embeddings=False, rotary_base=10000.0
)
X = torch.randint(SPACE.vocab_size, (2, 11), generator=torch.Generator().manual_seed(0))
WAYS = {
    "plain": lora.Config(3, 5.0),
    "queries and values": lora.Config(4, 4.0, ("q", "v")),
    "rank-stabilised": lora.Config(4, 3.0, ("k", "up", "o"), use_rslora=True),
    "decomposed": lora.Config(3, 5.0, use_dora=True),
    "decomposed, some": lora.Config(3, 5.0, ("v", "gate", "down"), use_dora=True, use_rslora=True),
}


def built() -> nn.Module:
    torch.manual_seed(0)
    return perturb_weights(transformer.build(ROLE, SMALL)).eval()


@torch.no_grad()
def learned(network: nn.Module, seed: int = 1) -> None:
    chance = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.add_(torch.randn(p.shape, generator=chance) * 0.2)


def twin(network: nn.Module) -> nn.Module:
    """The same network as transformers has it."""
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
    theirs = {"model.embed_tokens.weight": "embedding.embed.weight", "model.norm.weight": "norm.weight"}
    theirs["lm_head.weight"] = "head.weight"
    tensors = {name: ours[own] for name, own in theirs.items()}
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


def test_the_twin_is_a_twin() -> None:
    network = built()
    assert_close(network(X).detach(), logits(twin(network)), "plain logits")


@pytest.mark.parametrize("way", WAYS)
def test_peft_loads_ours(way: str, tmp_path: Path) -> None:
    from peft import PeftModel

    network = built()
    base = twin(network)
    lora.attach(network, WAYS[way])
    learned(network)
    peft.save_peft_adapter(network, "default", tmp_path)
    loaded = PeftModel.from_pretrained(base, tmp_path).eval()
    assert_close(network(X).detach(), logits(loaded), "logits through peft")


@pytest.mark.parametrize("way", WAYS)
def test_we_load_peft_s(way: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    network, config = built(), WAYS[way]
    modules = [peft.MODULE_NAMES[target].rsplit(".", 1)[-1] for target in config.targets or peft.MODULE_NAMES]
    theirs = get_peft_model(
        twin(network),
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
        for name, p in theirs.named_parameters():
            if "lora_" in name:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1)
    theirs.save_pretrained(str(tmp_path))
    plain = network(X).detach()
    peft.load_peft_adapter(network, tmp_path, "theirs")
    network.eval()
    assert (network(X) - plain).abs().max() > 0.01
    assert_close(network(X).detach(), logits(theirs), "logits of what peft saved")
    assert lora.list_adapter_names(network) == ["theirs"]
    back = next(adapter.config for _, _, adapter in lora.iter_adapters(network))
    every = tuple(target for spans in lora.find_targets(network).values() for target in spans)
    order = tuple(dict.fromkeys(every))
    chosen = tuple(target for target in order if target in (config.targets or order))
    assert back == replace(config, targets=chosen, dropout=0.1)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network = built()
    lora.attach(network, lora.Config(3, 5.0, ("q", "up")))
    learned(network)
    peft.save_peft_adapter(network, "default", tmp_path, "some/base")
    return tmp_path


def test_an_adapter_comes_back_as_it_was(saved: Path) -> None:
    assert json.loads((saved / peft.CONFIG_FILE).read_text())["base_model_name_or_path"] == "some/base"
    network = built()
    peft.load_peft_adapter(network, saved, "again")
    again = saved / "again"
    peft.save_peft_adapter(network, "again", again, "some/base")
    assert (again / peft.CONFIG_FILE).read_bytes() == (saved / peft.CONFIG_FILE).read_bytes()
    assert (again / peft.WEIGHTS_FILE).read_bytes() == (saved / peft.WEIGHTS_FILE).read_bytes()


def test_numbers_of_16_bits_are_read(saved: Path) -> None:
    path = saved / peft.WEIGHTS_FILE
    save_file({name: t.bfloat16() for name, t in load_file(path).items()}, path)
    network = built()
    peft.load_peft_adapter(network, saved)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


KEY = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"


def renamed(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {name if key == KEY else key: tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: renamed(t, KEY.replace("layers.1", "layers.2")),
            "layers.2.self_attn.q_proj.lora_B.weight matches no",
        ),
        (lambda t: renamed(t, "classifier.weight"), "classifier.weight matches nothing in this network"),
        (
            lambda t: {**t, KEY.replace("lora_B", "lora_embedding_B"): t[KEY].clone()},
            "matches nothing in this network; the near",
        ),
        (lambda t: {key: v for key, v in t.items() if key != KEY}, f"{KEY} is missing"),
        (lambda t: {**t, KEY: t[KEY][:-1].contiguous()}, f"{KEY} has the shape (15, 3), and here it must be (16, 3)"),
        (lambda t: {**t, KEY: t[KEY].long()}, "an adapter holds numbers of 16 or 32 bits, and this one ['F32', 'I64']"),
        (lambda t: {}, "this adapter is empty"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_and_change_nothing(saved: Path, change, words: str) -> None:
    path, network = saved / peft.WEIGHTS_FILE, built()
    save_file(change(load_file(path)), path)
    names = list(network.state_dict())
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        peft.load_peft_adapter(network, saved)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert list(network.state_dict()) == names


def test_a_file_that_lies_about_its_size_is_refused(saved: Path) -> None:
    path = saved / peft.WEIGHTS_FILE
    for shape, offsets in (([1 << 40, 1 << 20], [0, 1 << 62]), ([16, 3], [0, 1 << 40]), ([-1, 3], [0, 4])):
        header = json.dumps({KEY: {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"0" * 16)
        with pytest.raises(ValueError, match=r"^[^\n]+ cannot be read: "):
            peft.load_peft_adapter(built(), saved)
    for content in (b"", b"abc", struct.pack("<Q", 1 << 60) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^[^\n]+ cannot be read: "):
            peft.load_peft_adapter(built(), saved)
    path.unlink()
    with pytest.raises(ValueError, match=r"^[^\n]+ cannot be read: "):
        peft.load_peft_adapter(built(), saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modules_to_save": ["lm_head"]}, 'modules_to_save = ["lm_head"] is not supported'),
        ({"bias": "lora_only"}, 'bias = "lora_only" is not supported'),
        ({"lora_bias": True}, "lora_bias = true is not supported"),
        ({"layers_to_transform": [1]}, "layers_to_transform = [1] is not supported"),
        ({"rank_pattern": {"q_proj": 8}}, 'rank_pattern = {"q_proj": 8} is not supported'),
        ({"fan_in_fan_out": True}, "fan_in_fan_out = true is not supported"),
        ({"of_the_future": 3}, "of_the_future = 3 is not supported"),
        ({"init_lora_weights": "pissa"}, "changed the base's weights"),
        ({"peft_type": "LOHA"}, "only adapters of the type LORA"),
        ({"r": "many"}, 'r must be a number, got "many"'),
        ({"r": 0}, "rank of an adapter is 1 or more, got 0"),
        ({"r": 10**12}, "has the shape (3, 16), and here it must be (1000000000000, 16)"),
        ({"lora_alpha": float("nan")}, "lora_alpha must be a number, got NaN"),
        ({"use_dora": True}, "lora_magnitude_vector is missing"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_are_not_supported_are_refused(saved: Path, change: dict[str, Any], words: str) -> None:
    path = saved / peft.CONFIG_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        peft.load_peft_adapter(built(), saved)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, " " * (1 << 20) + "{}"])
def test_a_config_that_is_none_is_refused(saved: Path, content: str) -> None:
    (saved / peft.CONFIG_FILE).write_text(content)
    with pytest.raises(
        ValueError, match=r"^[^\n]+(not the config of an adapter|only adapters of the type LORA)[^\n]+$"
    ):
        peft.load_peft_adapter(built(), saved)


def test_a_network_of_another_family_is_not_written_for_peft() -> None:
    peft.check_peft_compatible(built())
    other = transformer.build(ROLE, replace(SMALL, activation="gelu", positions="learned"))
    with pytest.raises(ValueError, match="Export it whole: --to hf"):
        peft.check_peft_compatible(other)
