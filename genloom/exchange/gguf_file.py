"""GGUF files in: every common quantisation through the `gguf` library, under Hugging Face's names."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom.codecs import tokenizer
from genloom.exchange.architectures import Shape, shape_of
from genloom.exchange.gguf_header import Header, Placed, header
from genloom.exchange.source import Source, speaking
from genloom.exchange.vocabulary import from_gguf
from genloom.exchange.weights import Load
from genloom.networks.attention import Scaling

LLAMA3_LENGTHS = (8192, 4096, 16384, 32768)  # of texts before scaling

ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "gpt2": "GPT2LMHeadModel",
}  # fmt: skip

# Names of a GGUF file, and Hugging Face's; what follows the last dot is the same.
LLAMA_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
GPT2_NAMES = {
    "token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f",
    "output": "lm_head", "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
}  # fmt: skip
GPT2_TURNED = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
_BLOCK = re.compile(r"blk\.(\d{1,4})\.(\w+)\.(weight|bias)")


def library() -> ModuleType:
    """The `gguf` package; ValueError with the cure where it is missing."""
    try:
        import gguf
    except ImportError:
        raise ValueError("GGUF files need the package gguf: pip install 'genloom[pretrained]'") from None
    return gguf


def read(path: Path) -> Source:
    """The model in a GGUF file; ValueError says what in it is unknown, missing or a lie."""
    library()
    head = header(path, blocks())
    try:
        config = config_of(path, head)
        codec, notes = codec_of(head.metadata, shape_of(config))
        tensors = renamed(path, head, config)
    except ValueError as error:
        raise ValueError(f"{path} cannot be imported: {error}.") from None
    return Source(
        config,
        tensors,
        lambda name: load(path, head.tensors[name]) if name in head.tensors else None,
        gguf=True,
        codec=codec,
        paths=(path,),
        name=str(head.metadata.get("general.name", path.stem)),
        licence=str(head.metadata.get("general.license", "unknown")),
        notes=notes,
    )


def blocks() -> dict[int, tuple[int, int]]:
    """For each kind of numbers that can be read, how many a block has and how many bytes it takes."""
    gguf = library()
    known = gguf.quants._type_traits.keys() | {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16}
    return {int(kind): gguf.GGML_QUANT_SIZES[kind] for kind in known}


def load(path: Path, place: Placed) -> Tensor:
    """A tensor: F32, F16 and BF16 as they are, the rest on its exact grid in float32."""
    gguf = library()
    kind = gguf.GGMLQuantizationType(place.kind)
    numbers, stored = gguf.GGML_QUANT_SIZES[kind]
    with path.open("rb") as file:
        file.seek(place.begin)
        raw = np.frombuffer(bytearray(file.read(place.size)), np.uint8)
    floats = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    if kind.name in floats:
        return torch.from_numpy(raw).view(floats[kind.name]).view(place.shape)
    rows = raw.reshape(*place.shape[:-1], place.shape[-1] // numbers * stored)
    return torch.from_numpy(gguf.quants.dequantize(rows, kind))


def config_of(path: Path, head: Header) -> dict[str, Any]:
    """The config.json that the metadata amount to."""
    data = head.metadata
    kind = data.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise ValueError(f"its architecture is {kind!r}, and what can be imported is {', '.join(ARCHITECTURES)}")

    def value(key: str, default: Any = None) -> Any:
        return data.get(f"{kind}.{key}", default)

    if value("expert_count"):
        raise ValueError("it is a mixture of experts, which this network is not")
    vocab = len(data["tokenizer.ggml.tokens"]) if isinstance(data.get("tokenizer.ggml.tokens"), list) else 0
    embed = head.tensors.get("token_embd.weight")
    common: dict[str, Any] = {
        "architectures": [ARCHITECTURES[kind]],
        "vocab_size": embed.shape[0] if embed is not None else vocab,
        "tie_word_embeddings": "output.weight" not in head.tensors,
    }
    if kind == "gpt2":
        return common | {
            "n_embd": value("embedding_length"), "n_layer": value("block_count"),
            "n_positions": value("context_length"), "n_head": value("attention.head_count"),
            "n_inner": value("feed_forward_length"),
            "layer_norm_epsilon": value("attention.layer_norm_epsilon", 1e-5),
        }  # fmt: skip
    width, heads = value("embedding_length"), value("attention.head_count")
    whole = isinstance(width, int) and isinstance(heads, int) and heads > 0
    K = value("attention.key_length", width // heads if whole else 0)
    if value("rope.dimension_count", K) != K or value("attention.value_length", K) != K:
        raise ValueError("it turns only a part of each head by its position, which is not known")
    config = common | {
        "hidden_size": width, "num_hidden_layers": value("block_count"), "num_attention_heads": heads,
        "num_key_value_heads": value("attention.head_count_kv", heads), "head_dim": K,
        "intermediate_size": value("feed_forward_length"), "max_position_embeddings": value("context_length"),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"), "rope_theta": value("rope.freq_base", 10000.0),
    }  # fmt: skip
    scaling = value("rope.scaling.type", "none")
    if scaling != "none":
        config["rope_scaling"] = {"rope_type": scaling, "factor": value("rope.scaling.factor")}
    if "rope_freqs.weight" in head.tensors:
        config["rope_scaling"] = llama3(path, head, float(config["rope_theta"]), K)
    return config


def llama3(path: Path, head: Header, base: float, K: int) -> dict[str, Any]:
    """The scaling that a table of divisors of the rotary rates stands for: Llama 3's, or a ValueError."""
    place = head.tensors["rope_freqs.weight"]
    if place.shape != (K // 2,):
        raise ValueError("its rotary divisors (rope_freqs.weight) do not fit its heads")
    divisors_K = load(path, place).float()
    rates_K = base ** (-torch.arange(0, K, 2) / K)
    for length in LLAMA3_LENGTHS:
        scaling = Scaling(float(divisors_K.max()), length)
        if torch.allclose(rates_K / scaling(rates_K), divisors_K, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": scaling.scale, "original_max_position_embeddings": length,
                "low_freq_factor": scaling.low, "high_freq_factor": scaling.high,
            }  # fmt: skip
    raise ValueError("its rotary divisors (rope_freqs.weight) are not those of Llama 3")


def renamed(path: Path, head: Header, config: Mapping[str, Any]) -> dict[str, Load]:
    """The tensors by Hugging Face's names, with its rows of queries and keys and its orientation."""
    gpt2 = config["architectures"][0] == "GPT2LMHeadModel"
    permuted = config["architectures"][0] == "LlamaForCausalLM"
    names, block = (GPT2_NAMES, "transformer.h") if gpt2 else (LLAMA_NAMES, "model.layers")
    found: dict[str, Load] = {}
    for name, place in head.tensors.items():
        if name == "rope_freqs.weight":
            continue
        inside = _BLOCK.fullmatch(name)
        which, kind = (inside[2], inside[3]) if inside else (name.rpartition(".")[0], name.rpartition(".")[2])
        if which not in names:
            raise ValueError(f"it holds the tensor {name!r}, which its architecture does not have")
        change = "turned" if gpt2 and which in GPT2_TURNED and kind == "weight" else ""
        if permuted and which in ("attn_q", "attn_k"):
            change = "num_attention_heads" if which == "attn_q" else "num_key_value_heads"
        new = f"{block}.{int(inside[1])}.{names[which]}.{kind}" if inside else f"{names[which]}.{kind}"
        found[new] = partial(_changed, path, place, change, config)
    return found


def _changed(path: Path, place: Placed, change: str, config: Mapping[str, Any]) -> Tensor:
    tensor = load(path, place)
    if change == "turned":
        return tensor.T
    return halves(tensor, config[change]) if change else tensor


def halves(rows_ND: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys whose neighbours turn together, reordered so that the halves of each head do."""
    if len(rows_ND) % (2 * heads):
        raise ValueError(f"{len(rows_ND)} rows of queries or keys do not make {heads} heads")
    return rows_ND.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def neighbours(rows_ND: Tensor, heads: int) -> Tensor:
    """The inverse of `halves`."""
    return rows_ND.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def codec_of(metadata: Mapping[str, Any], shape: Shape) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """The vocabulary with its roles, and what the user should know of it."""
    content = from_gguf(metadata)
    tokens = metadata["tokenizer.ggml.tokens"]

    def named(which: str) -> str | None:
        number = metadata.get(f"tokenizer.ggml.{which}_token_id")
        return tokens[number] if isinstance(number, int) and 0 <= number < len(tokens) else None

    begins = metadata.get("tokenizer.ggml.pre") == "llama-bpe" or metadata.get("tokenizer.ggml.model") == "llama"
    return speaking(
        content, shape, (named("bos"), named("eos"), bool(metadata.get("tokenizer.ggml.add_bos_token", begins))),
        metadata.get("tokenizer.chat_template"),
    )  # fmt: skip
