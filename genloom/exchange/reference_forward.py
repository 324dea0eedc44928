"""An independent forward pass of each architecture over a source's own tensors, the reference of the parity check.

It shares no code with the networks and reads no converted weight, so that a mistake in names, order, transposition or
settings shows. Shape letters: L length, D width, H heads, G key heads, K head width, V vocabulary.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# The names of the tensors in the two file formats; {} stands for the number of the block.
HF_NAMES = {
    "embed": "model.embed_tokens", "norm": "model.norm", "head": "lm_head", "n1": "model.layers.{}.input_layernorm",
    "n2": "model.layers.{}.post_attention_layernorm", "q": "model.layers.{}.self_attn.q_proj",
    "k": "model.layers.{}.self_attn.k_proj", "v": "model.layers.{}.self_attn.v_proj",
    "o": "model.layers.{}.self_attn.o_proj", "qn": "model.layers.{}.self_attn.q_norm",
    "kn": "model.layers.{}.self_attn.k_norm", "gate": "model.layers.{}.mlp.gate_proj",
    "up": "model.layers.{}.mlp.up_proj", "down": "model.layers.{}.mlp.down_proj",
}  # fmt: skip
GGUF_NAMES = {
    "embed": "token_embd", "norm": "output_norm", "head": "output", "n1": "blk.{}.attn_norm", "n2": "blk.{}.ffn_norm",
    "q": "blk.{}.attn_q", "k": "blk.{}.attn_k", "v": "blk.{}.attn_v", "o": "blk.{}.attn_output",
    "qn": "blk.{}.attn_q_norm", "kn": "blk.{}.attn_k_norm", "gate": "blk.{}.ffn_gate", "up": "blk.{}.ffn_up",
    "down": "blk.{}.ffn_down", "place": "position_embd", "qkv": "blk.{}.attn_qkv",
}  # fmt: skip
HF_GPT2_NAMES = {
    "embed": "transformer.wte", "place": "transformer.wpe", "norm": "transformer.ln_f", "head": "lm_head",
    "n1": "transformer.h.{}.ln_1", "n2": "transformer.h.{}.ln_2", "qkv": "transformer.h.{}.attn.c_attn",
    "o": "transformer.h.{}.attn.c_proj", "up": "transformer.h.{}.mlp.c_fc", "down": "transformer.h.{}.mlp.c_proj",
}  # fmt: skip

TensorGetter = Callable[[str], Tensor | None]  # returns a tensor by its name in the file, or None


@torch.inference_mode()
def compute_reference_logits(
    config: Mapping[str, Any], get_tensor: TensorGetter, is_gguf: bool, ids: list[int]
) -> Tensor:
    """Return the logits (L, V) in float32 of one row of ids."""
    is_gpt2 = config["architectures"][0] == "GPT2LMHeadModel"
    names = GGUF_NAMES if is_gguf else HF_GPT2_NAMES if is_gpt2 else HF_NAMES

    def get_weight(part: str, block: int, kind: str) -> Tensor | None:
        tensor = get_tensor(f"{names[part].format(block)}.{kind}")
        return None if tensor is None else tensor.float()

    def linear(x: Tensor, part: str, block: int = 0) -> Tensor:
        matrix = get_weight(part, block, "weight")
        assert matrix is not None, part
        matrix = matrix.T if is_gpt2 and not is_gguf and part not in ("head", "embed") else matrix
        return F.linear(x, matrix, get_weight(part, block, "bias"))

    def apply_norm(x: Tensor, part: str, block: int = 0) -> Tensor:
        scale = get_weight(part, block, "weight")
        if scale is None:
            return x  # no norm of queries and keys
        if is_gpt2:
            return F.layer_norm(
                x, x.shape[-1:], scale, get_weight(part, block, "bias"), config.get("layer_norm_epsilon", 1e-5)
            )
        return x * (x.square().mean(-1, keepdim=True) + config.get("rms_norm_eps", 1e-6)).rsqrt() * scale

    embed = get_weight("embed", 0, "weight")
    assert embed is not None
    h_LD = embed[ids]
    if is_gpt2:
        positions = get_weight("place", 0, "weight")
        assert positions is not None
        h_LD = h_LD + positions[: len(ids)]
    rotate = None if is_gpt2 else build_rotary(config, get_tensor, is_gguf, len(ids))
    for i in range(config["n_layer" if is_gpt2 else "num_hidden_layers"]):
        a = apply_norm(h_LD, "n1", i)
        if is_gpt2:
            q, k, v = linear(a, "qkv", i).chunk(3, -1)
        else:
            q, k, v = (linear(a, part, i) for part in "qkv")
        h_LD = h_LD + linear(
            compute_attention(config, q, k, v, lambda x, part, i=i: apply_norm(x, part, i), rotate), "o", i
        )
        m = apply_norm(h_LD, "n2", i)
        if is_gpt2:
            h_LD = h_LD + linear(F.gelu(linear(m, "up", i), approximate="tanh"), "down", i)
        else:
            h_LD = h_LD + linear(F.silu(linear(m, "gate", i)) * linear(m, "up", i), "down", i)
    is_tied = config.get("tie_word_embeddings", is_gpt2)
    return linear(apply_norm(h_LD, "norm"), "embed" if is_tied else "head")


def compute_attention(
    config: Mapping[str, Any], q: Tensor, k: Tensor, v: Tensor, apply_norm: Any, rotate: Any
) -> Tensor:
    """Return the causal attention of one row, head by head."""
    L, is_gpt2 = len(q), "n_head" in config
    heads = config["n_head" if is_gpt2 else "num_attention_heads"]
    groups = heads if is_gpt2 else config.get("num_key_value_heads") or heads
    distance = torch.arange(L)[:, None] - torch.arange(L)
    is_visible = distance >= 0
    if config["architectures"][0] == "MistralForCausalLM" and config.get("sliding_window"):
        is_visible &= distance < config["sliding_window"]
    queries, keys, values = (x.view(L, n, -1).unbind(1) for x, n in ((q, heads), (k, groups), (v, groups)))
    out = []
    for h, q_LK in enumerate(queries):
        group = h * groups // heads
        k_LK = keys[group]
        if not is_gpt2:
            q_LK, k_LK = rotate(apply_norm(q_LK, "qn")), rotate(apply_norm(k_LK, "kn"))
        scores_LL = (q_LK @ k_LK.T / q_LK.shape[-1] ** 0.5).masked_fill(~is_visible, float("-inf"))
        out.append(scores_LL.softmax(-1) @ values[group])
    return torch.cat(out, -1)


def build_rotary(
    config: Mapping[str, Any], get_tensor: TensorGetter, is_gguf: bool, length: int
) -> Callable[[Tensor], Tensor]:
    """Return a function that applies rotary positions, as complex numbers.

    Llama's GGUF files pair neighbours, all other files the two halves of a head.
    """
    K = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = scaling.get("rope_theta") or config.get("rope_theta") or 10000.0
    rates = [base ** (-2 * i / K) for i in range(K // 2)]
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    factors = get_tensor("rope_freqs.weight") if is_gguf else None
    if factors is not None:
        rates = [rate / float(factor) for rate, factor in zip(rates, factors, strict=True)]
    elif kind == "linear":
        rates = [rate / scaling["factor"] for rate in rates]
    elif kind == "llama3":
        rates = [scale_llama3_rate(rate, scaling) for rate in rates]
    angles = torch.arange(length, dtype=torch.float64)[:, None] * torch.tensor(rates, dtype=torch.float64)
    rotations = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
    is_interleaved = is_gguf and config["architectures"][0] in ("LlamaForCausalLM", "MistralForCausalLM")

    def rotate(x_LK: Tensor) -> Tensor:
        pairs = x_LK.view(length, K // 2, 2) if is_interleaved else torch.stack(x_LK.chunk(2, -1), -1)
        rotated = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * rotations)
        return rotated.flatten(1) if is_interleaved else torch.cat(rotated.unbind(-1), -1)

    return rotate


def scale_llama3_rate(rate: float, scaling: Mapping[str, Any]) -> float:
    """Scale a rate as Llama 3 does: long waves are stretched, short ones stay, and those between are interpolated."""
    wave = 2 * torch.pi / rate
    longest = scaling["original_max_position_embeddings"]
    if wave < longest / scaling["high_freq_factor"]:
        return rate
    if wave > longest / scaling["low_freq_factor"]:
        return rate / scaling["factor"]
    smooth = (longest / wave - scaling["low_freq_factor"]) / (scaling["high_freq_factor"] - scaling["low_freq_factor"])
    return (1 - smooth) * rate / scaling["factor"] + smooth * rate
