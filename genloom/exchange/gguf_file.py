"""Read GGUF files: every common quantisation by the `gguf` library, under Hugging Face's names."""

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
from genloom.errors import GenloomError
from genloom.exchange.architectures import ArchitectureSpec, parse_hf_config
from genloom.exchange.gguf_header import Header, TensorInfo, read_header
from genloom.exchange.provenance import parse_repository
from genloom.exchange.source_model import SourceModel, build_chat_codec, explain_import_errors
from genloom.exchange.vocabulary import from_gguf
from genloom.exchange.weight_mapping import TensorLoader
from genloom.networks.attention import RotaryScaling
from genloom.text_format import remove_controls

LLAMA3_LENGTHS = (8192, 4096, 16384, 32768)  # context lengths before scaling
# Fields of our own exports, for Llama 3's scaling with other factors: a GGUF file has only the resulting divisors.
OWN_ROPE_FIELDS = tuple(
    f"genloom.rope.{name}" for name in ("original_context_length", "low_freq_factor", "high_freq_factor")
)

ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "gpt2": "GPT2LMHeadModel",
}  # fmt: skip

# Names in a GGUF file, and Hugging Face's; the part after the last dot is the same.
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
GPT2_TRANSPOSED = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
_BLOCK = re.compile(r"blk\.(\d{1,4})\.(\w+)\.(weight|bias)")


def import_gguf() -> ModuleType:
    """Return the `gguf` package; raises GenloomError if it is missing."""
    try:
        import gguf
    except ImportError:
        raise GenloomError("exchange.gguf_not_installed") from None
    return gguf


def read(path: Path) -> SourceModel:
    """Return the model in a GGUF file; raises GenloomError for unknown, missing or inconsistent content."""
    import_gguf()
    file_header = read_header(path, list_block_sizes())
    with explain_import_errors(path):
        config = build_config(path, file_header)
        codec, notes = build_codec(file_header.metadata, parse_hf_config(config))
        tensors = rename_tensors(path, file_header, config)
    return SourceModel(
        config,
        tensors,
        lambda name: load_tensor(path, file_header.tensors[name]) if name in file_header.tensors else None,
        is_gguf=True,
        codec=codec,
        paths=(path,),
        name=remove_controls(str(file_header.metadata.get("general.name", path.stem)))[:200],
        licence=remove_controls(str(file_header.metadata.get("general.license", "unknown")))[:200],
        base_model=parse_repository(file_header.metadata.get("general.base_model.0.repo_url")),
        notes=notes,
    )


def list_block_sizes() -> dict[int, tuple[int, int]]:
    """Return for each type of quantisation that can be read the numbers per block and the bytes per block."""
    gguf = import_gguf()
    quant_types = gguf.quants._type_traits.keys() | {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16}
    return {int(kind): gguf.GGML_QUANT_SIZES[kind] for kind in quant_types}


def load_tensor(path: Path, info: TensorInfo) -> Tensor:
    """Return a tensor: F32, F16 and BF16 in their own precision, all others dequantised exactly to float32."""
    gguf = import_gguf()
    kind = gguf.GGMLQuantizationType(info.kind)
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    with path.open("rb") as file:
        file.seek(info.offset)
        raw = np.frombuffer(bytearray(file.read(info.num_bytes)), np.uint8)
    floats = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    if kind.name in floats:
        return torch.from_numpy(raw).view(floats[kind.name]).view(info.shape)
    rows = raw.reshape(*info.shape[:-1], info.shape[-1] // block_size * block_bytes)
    return torch.from_numpy(gguf.quants.dequantize(rows, kind))


def build_config(path: Path, file_header: Header) -> dict[str, Any]:
    """Return the config.json that corresponds to the metadata."""
    data = file_header.metadata
    kind = data.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise GenloomError("exchange.unsupported_architecture", architecture=kind, supported=", ".join(ARCHITECTURES))

    def field(key: str, default: Any = None) -> Any:
        return data.get(f"{kind}.{key}", default)

    if field("expert_count"):
        raise GenloomError("exchange.mixture_of_experts")
    vocab = len(data["tokenizer.ggml.tokens"]) if isinstance(data.get("tokenizer.ggml.tokens"), list) else 0
    embed = file_header.tensors.get("token_embd.weight")
    common: dict[str, Any] = {
        "architectures": [ARCHITECTURES[kind]],
        "vocab_size": embed.shape[0] if embed is not None else vocab,
        "tie_word_embeddings": "output.weight" not in file_header.tensors,
    }
    if kind == "gpt2":
        return common | {
            "n_embd": field("embedding_length"), "n_layer": field("block_count"),
            "n_positions": field("context_length"), "n_head": field("attention.head_count"),
            "n_inner": field("feed_forward_length"),
            "layer_norm_epsilon": field("attention.layer_norm_epsilon", 1e-5),
        }  # fmt: skip
    width, heads = field("embedding_length"), field("attention.head_count")
    is_valid = isinstance(width, int) and isinstance(heads, int) and heads > 0
    K = field("attention.key_length", width // heads if is_valid else 0)
    if field("rope.dimension_count", K) != K or field("attention.value_length", K) != K:
        raise GenloomError("exchange.partial_rotary")
    config = common | {
        "hidden_size": width, "num_hidden_layers": field("block_count"), "num_attention_heads": heads,
        "num_key_value_heads": field("attention.head_count_kv", heads), "head_dim": K,
        "intermediate_size": field("feed_forward_length"), "max_position_embeddings": field("context_length"),
        "rms_norm_eps": field("attention.layer_norm_rms_epsilon"), "rope_theta": field("rope.freq_base", 10000.0),
    }  # fmt: skip
    if kind != "qwen2":
        config["attention_bias"] = "blk.0.attn_output.bias" in file_header.tensors
        config["mlp_bias"] = "blk.0.ffn_up.bias" in file_header.tensors
    scaling = field("rope.scaling.type", "none")
    if scaling != "none":
        config["rope_scaling"] = {"rope_type": scaling, "factor": field("rope.scaling.factor")}
    if "rope_freqs.weight" in file_header.tensors:
        config["rope_scaling"] = find_llama3_scaling(path, file_header, float(config["rope_theta"]), K)
    return config


def find_llama3_scaling(path: Path, file_header: Header, base: float, K: int) -> dict[str, Any]:
    """Return the scaling for a table of divisors of the rotary rates; raises GenloomError if it is not Llama 3's."""
    info = file_header.tensors["rope_freqs.weight"]
    if info.shape != (K // 2,):
        raise GenloomError("exchange.rotary_divisors", reason="do not fit its heads")
    divisors_K = load_tensor(path, info).float()
    rates_K = base ** (-torch.arange(0, K, 2) / K)
    own_factors = [file_header.metadata.get(name) for name in OWN_ROPE_FIELDS]
    candidates: list[tuple[Any, ...]] = [tuple(own_factors)] if None not in own_factors else []
    for factors in (*candidates, *((length,) for length in LLAMA3_LENGTHS)):
        scaling = RotaryScaling(float(divisors_K.max()), *factors)
        if torch.allclose(rates_K / scaling(rates_K), divisors_K, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": scaling.factor,
                "original_max_position_embeddings": scaling.original_length,
                "low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor,
            }  # fmt: skip
    raise GenloomError("exchange.rotary_divisors", reason="are not those of Llama 3")


def rename_tensors(path: Path, file_header: Header, config: Mapping[str, Any]) -> dict[str, TensorLoader]:
    """Return the tensors by Hugging Face's names, with its order of query and key rows and its orientation."""
    is_gpt2 = config["architectures"][0] == "GPT2LMHeadModel"
    is_permuted = config["architectures"][0] == "LlamaForCausalLM"
    names, block = (GPT2_NAMES, "transformer.h") if is_gpt2 else (LLAMA_NAMES, "model.layers")
    loaders: dict[str, TensorLoader] = {}
    for name, info in file_header.tensors.items():
        if name == "rope_freqs.weight":
            continue
        block_match = _BLOCK.fullmatch(name)
        stem, kind = (
            (block_match[2], block_match[3]) if block_match else (name.rpartition(".")[0], name.rpartition(".")[2])
        )
        if stem not in names:
            raise GenloomError("exchange.unknown_tensor", tensor=name)
        transform = "transposed" if is_gpt2 and stem in GPT2_TRANSPOSED and kind == "weight" else ""
        if is_permuted and stem in ("attn_q", "attn_k"):
            transform = "num_attention_heads" if stem == "attn_q" else "num_key_value_heads"
        hf_name = f"{block}.{int(block_match[1])}.{names[stem]}.{kind}" if block_match else f"{names[stem]}.{kind}"
        loaders[hf_name] = partial(_load_transformed, path, info, transform, config)
    return loaders


def _load_transformed(path: Path, info: TensorInfo, transform: str, config: Mapping[str, Any]) -> Tensor:
    tensor = load_tensor(path, info)
    if transform == "transposed":
        return tensor.T
    return unpermute_rotary(tensor, config[transform]) if transform else tensor


def unpermute_rotary(rows_ND: Tensor, heads: int) -> Tensor:
    """Reorder rows of queries or keys from pairs of neighbours to pairs of the halves of each head."""
    if len(rows_ND) % (2 * heads):
        raise GenloomError("exchange.rows_per_head", rows=len(rows_ND), heads=heads)
    return rows_ND.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def permute_rotary(rows_ND: Tensor, heads: int) -> Tensor:
    """Invert `unpermute_rotary`."""
    return rows_ND.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def build_codec(metadata: Mapping[str, Any], spec: ArchitectureSpec) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """Return the codec with its chat template, and notes for the user."""
    content = from_gguf(metadata)
    tokens = metadata["tokenizer.ggml.tokens"]

    def token_name(which: str) -> str | None:
        token_id = metadata.get(f"tokenizer.ggml.{which}_token_id")
        return tokens[token_id] if isinstance(token_id, int) and 0 <= token_id < len(tokens) else None

    has_bos = metadata.get("tokenizer.ggml.pre") == "llama-bpe" or metadata.get("tokenizer.ggml.model") == "llama"
    has_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", has_bos))
    boundary_tokens = (token_name("bos"), token_name("eos"), has_bos)
    return build_chat_codec(content, spec, boundary_tokens, metadata.get("tokenizer.chat_template"))
