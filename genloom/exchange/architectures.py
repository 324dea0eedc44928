"""The supported architectures: conversion of a config.json to the settings of a transformer, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genloom.errors import GenloomError, format_message
from genloom.networks.transformer import Config

MAX_VOCAB, MAX_CONTEXT = 1 << 20, 1 << 24


@dataclass(frozen=True)
class ArchitectureSpec:
    """The content of a config.json: the network, its context length and its vocabulary size."""

    architecture: str
    network: Config
    context_length: int
    vocab_size: int


SUPPORTED_ARCHITECTURES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "GPT2LMHeadModel",
)


def parse_hf_config(config: Mapping[str, Any]) -> ArchitectureSpec:
    """Return the spec that a config.json describes.

    Raises GenloomError for an architecture that is not in SUPPORTED_ARCHITECTURES, and for unsupported settings.
    """
    architectures = config.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else config.get("model_type")
    if not name:
        raise GenloomError("exchange.no_architecture", supported=", ".join(SUPPORTED_ARCHITECTURES))
    if name not in SUPPORTED_ARCHITECTURES:
        raise GenloomError(
            "exchange.unsupported_architecture", architecture=name, supported=", ".join(SUPPORTED_ARCHITECTURES)
        )
    network = _parse_gpt2(config) if name == "GPT2LMHeadModel" else _parse_llama(name, config)
    context_length = read_int(
        config, "n_positions" if name == "GPT2LMHeadModel" else "max_position_embeddings", MAX_CONTEXT, 2048
    )
    return ArchitectureSpec(name, network, context_length, read_int(config, "vocab_size", MAX_VOCAB))


def _parse_llama(name: str, config: Mapping[str, Any]) -> Config:
    check_allowed(config, {"hidden_act": ("silu",), "partial_rotary_factor": (1.0,), "use_sliding_window": (False,)})
    heads = read_int(config, "num_attention_heads", 1024)
    window = config.get("sliding_window") if name == "MistralForCausalLM" else 0
    return Config(
        width=read_int(config, "hidden_size", 1 << 17),
        depth=read_int(config, "num_hidden_layers", 1024),
        heads=heads,
        key_heads=read_int(config, "num_key_value_heads", 1024, heads),
        mlp_width=read_int(config, "intermediate_size", 1 << 19),
        head_width=read_int(config, "head_dim", 1 << 12, 128 if name == "Qwen3ForCausalLM" else 0),
        bias=_parse_bias(name, config),
        qk_norm=name == "Qwen3ForCausalLM",
        tie_embeddings=bool(config.get("tie_word_embeddings", False)),
        window=window if isinstance(window, int) and window > 0 else 0,
        norm_eps=read_float(config, "rms_norm_eps", 1e-6),
        **_parse_rotary(config),
    )


def _parse_bias(name: str, config: Mapping[str, Any]) -> str:
    """Return which layers have a bias; Qwen2 always has it in the same ones, whatever its config says."""
    can_have_bias = name in ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
    has_attention_bias = bool(config.get("attention_bias"))
    can_have_mlp_bias = name == "LlamaForCausalLM" and has_attention_bias
    check_allowed(config, {"attention_bias": (can_have_bias, False), "mlp_bias": (can_have_mlp_bias, False)})
    if name == "Qwen2ForCausalLM":
        return "qkv"
    return "all" if config.get("mlp_bias") else "attention" if has_attention_bias else ""


def _parse_gpt2(config: Mapping[str, Any]) -> Config:
    check_allowed(config, {"activation_function": ("gelu_new", "gelu_pytorch_tanh"), "scale_attn_weights": (True,)})
    check_allowed(config, {"scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,)})
    width, heads = read_int(config, "n_embd", 1 << 17), read_int(config, "n_head", 1024)
    return Config(
        width=width,
        depth=read_int(config, "n_layer", 1024),
        heads=heads,
        key_heads=heads,
        mlp_width=read_int(config, "n_inner", 1 << 19, 4 * width),
        activation="gelu",
        norm="layer",
        bias="all",
        positions="learned",
        qk_norm=False,
        tie_embeddings=bool(config.get("tie_word_embeddings", True)),
        norm_eps=read_float(config, "layer_norm_epsilon", 1e-5),
    )


def _parse_rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the rotary positions, from the old or the new spelling of their base and scaling."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise GenloomError("exchange.unsupported_setting", setting="rope_parameters", value=rope)
    base = read_float(
        {"rope_theta": 10000.0, **_pick_key(config, "rope_theta"), **_pick_key(rope, "rope_theta")}, "rope_theta"
    )
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise GenloomError("exchange.partial_rotary")
    if kind == "default":
        return {"rotary_base": base}
    if kind == "linear":
        return {"rotary_base": base, "rotary_scale": read_float(rope, "factor")}
    if kind == "llama3":
        return {
            "rotary_base": base,
            "rotary_scale": read_float(rope, "factor"),
            "rotary_length": read_int(rope, "original_max_position_embeddings", MAX_CONTEXT),
            "rotary_low": read_float(rope, "low_freq_factor"),
            "rotary_high": read_float(rope, "high_freq_factor"),
        }
    raise GenloomError("exchange.unsupported_rope_scaling", kind=kind)


def to_hf_config(network: Config, context_length: int, vocab_size: int) -> dict[str, Any]:
    """Return the config.json of a network; raises GenloomError for settings that no architecture can express."""
    name = find_architecture(network)
    if name == "GPT2LMHeadModel":
        return {
            "architectures": [name], "model_type": "gpt2", "n_embd": network.width, "n_layer": network.depth,
            "n_head": network.heads, "n_inner": network.hidden_width, "n_positions": context_length,
            "vocab_size": vocab_size, "activation_function": "gelu_new", "layer_norm_epsilon": network.norm_eps,
            "tie_word_embeddings": network.tie_embeddings,
        }  # fmt: skip
    rotary: dict[str, Any] = {"rope_type": "default"}
    if network.rotary_scale != 1:
        rotary = {"rope_type": "linear", "factor": network.rotary_scale}
    if network.rotary_length:
        rotary |= {
            "rope_type": "llama3", "factor": network.rotary_scale, "low_freq_factor": network.rotary_low,
            "high_freq_factor": network.rotary_high, "original_max_position_embeddings": network.rotary_length,
        }  # fmt: skip
    config = {
        "architectures": [name], "model_type": name.removesuffix("ForCausalLM").lower(), "hidden_act": "silu",
        "hidden_size": network.width, "num_hidden_layers": network.depth, "num_attention_heads": network.heads,
        "num_key_value_heads": network.key_heads or network.heads, "head_dim": network.K,
        "intermediate_size": network.hidden_width, "max_position_embeddings": context_length,
        "vocab_size": vocab_size, "rms_norm_eps": network.norm_eps, "rope_theta": network.rotary_base,
        "tie_word_embeddings": network.tie_embeddings, "attention_bias": bool(network.bias),
        "mlp_bias": network.bias == "all", "rope_parameters": {**rotary, "rope_theta": network.rotary_base},
    }  # fmt: skip
    if name == "MistralForCausalLM":
        config["sliding_window"] = network.window
    return config


def find_architecture(network: Config) -> str:
    """Return the architecture that computes the same; raises GenloomError if there is none."""
    cure = format_message("exchange.train_exportable")
    for setting, is_inexpressible in (("softcap", network.softcap != 0), ("activation", network.activation == "relu2")):
        if is_inexpressible:
            value = getattr(network, setting)
            raise GenloomError("exchange.inexpressible_setting", setting=setting, value=value, cure=cure)
    has_learned_positions = network.positions == "learned"
    if has_learned_positions and (network.norm, network.bias, network.activation, network.qk_norm) == (
        "layer",
        "all",
        "gelu",
        False,
    ):
        if network.width != network.heads * network.K or network.key_heads not in (0, network.heads):
            raise GenloomError("exchange.not_gpt2_heads", cure=cure)
        return "GPT2LMHeadModel"
    traits = (network.qk_norm, network.bias, bool(network.window))
    names = {
        **{(False, bias, False): "LlamaForCausalLM" for bias in ("", "attention", "all")},
        (False, "", True): "MistralForCausalLM",
        (False, "qkv", False): "Qwen2ForCausalLM",
        **{(True, bias, False): "Qwen3ForCausalLM" for bias in ("", "attention")},
    }
    if has_learned_positions or network.norm != "rms" or network.activation != "swiglu" or traits not in names:
        raise GenloomError("exchange.inexpressible_combination", cure=cure)
    return names[traits]


def check_allowed(config: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise GenloomError for a setting of a config.json that has none of the values that are supported."""
    for key, values in allowed.items():
        if config.get(key) is not None and config[key] not in values:
            raise GenloomError("exchange.unsupported_setting", setting=key, value=config[key])


def _pick_key(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: config[key]} if config.get(key) is not None else {}


def read_int(config: Mapping[str, Any], key: str, limit: int, default: int | None = None) -> int:
    """Return a whole number of a config.json; GenloomError for another value, or one out of bounds."""
    value = config.get(key)
    value = default if value is None else value
    if type(value) is not int or not 0 <= value <= limit or (value == 0 and default != 0):
        raise GenloomError("exchange.bad_integer", setting=key, value=value, limit=limit)
    return value


def read_float(config: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """Return a number of a config.json; GenloomError for another value, or one out of bounds."""
    value = config.get(key, default)
    if type(value) not in (int, float) or not 0 < value < 1e12:
        raise GenloomError("exchange.bad_number", setting=key, value=value)
    return float(value)
