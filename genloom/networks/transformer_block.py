"""The blocks of a transformer: attention, cross-attention to a prompt, and an MLP.

Shape letters: B batch, L length, D width, H heads, K head width, F hidden width.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.networks.attention import apply_rotary, build_row_slices, compute_attention
from genloom.networks.dropout import Dropout
from genloom.networks.kv_cache import LayerCache, update_layer_cache
from genloom.types import Condition, NetworkSpec

if TYPE_CHECKING:
    from genloom.networks.transformer import Config


def build_norm(config: "Config") -> nn.RMSNorm | nn.LayerNorm:
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.width, config.norm_eps)


class TransformerBlock(nn.Module):
    def __init__(self, config: "Config", spec: NetworkSpec, is_modulated: bool):
        super().__init__()
        D = config.width
        self.is_causal = spec.is_causal
        self.attention = SelfAttention(config)
        self.cross_attention = CrossAttention(config, spec.condition.tokens) if spec.condition.tokens else None
        self.mlp = Mlp(config)
        self.norm_attention, self.norm_mlp = build_norm(config), build_norm(config)
        self.dropout_attention, self.dropout_mlp = Dropout(config.dropout), Dropout(config.dropout)
        self.modulation = nn.Linear(D, 6 * D) if is_modulated else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        h_BLD: Tensor,
        cos_sin: tuple[Tensor, Tensor] | None,
        attn_mask: Tensor | None,
        mod_BD: Tensor | None,
        cond: Condition | None,
        layer_cache: LayerCache | None,
    ) -> Tensor:
        a, m = self.norm_attention(h_BLD), self.norm_mlp
        if self.modulation is None:
            h_BLD = h_BLD + self.dropout_attention(self.attention(a, cos_sin, attn_mask, self.is_causal, layer_cache))
            if self.cross_attention is not None:
                h_BLD = h_BLD + self.cross_attention(h_BLD, cond)
            return h_BLD + self.dropout_mlp(self.mlp(m(h_BLD)))
        # Adaptive normalisation (DiT, Peebles and Xie 2023); the zero start makes it the identity.
        assert mod_BD is not None
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(F.silu(mod_BD))[:, None].chunk(6, -1)
        a = self.attention(a * (1 + scale) + shift, cos_sin, attn_mask, self.is_causal, layer_cache)
        h_BLD = h_BLD + (1 + gate) * self.dropout_attention(a)
        if self.cross_attention is not None:
            h_BLD = h_BLD + self.cross_attention(h_BLD, cond)
        return h_BLD + (1 + gate2) * self.dropout_mlp(self.mlp(m(h_BLD) * (1 + scale2) + shift2))


class SelfAttention(nn.Module):
    def __init__(self, config: "Config"):
        super().__init__()
        D, self.heads, self.key_heads = config.width, config.heads, config.key_heads or config.heads
        self.K = config.K
        self.qkv = nn.Linear(D, (self.heads + 2 * self.key_heads) * self.K, bias=config.bias != "")
        self.out = nn.Linear(self.heads * self.K, D, bias=config.bias in ("attention", "all"))
        self.qk_norms = nn.ModuleList(nn.RMSNorm(self.K, config.norm_eps) for _ in range(2)) if config.qk_norm else None
        nn.init.normal_(self.qkv.weight, std=D**-0.5)
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        h_BLD: Tensor,
        cos_sin: tuple[Tensor, Tensor] | None,
        attn_mask: Tensor | None,
        is_causal: bool,
        layer_cache: LayerCache | None,
    ) -> Tensor:
        B, L, _ = h_BLD.shape
        qkv = self.qkv(h_BLD).view(B, L, -1, self.K).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.key_heads, self.key_heads], 1)
        if self.qk_norms is not None:
            q, k = self.qk_norms[0](q), self.qk_norms[1](k)
        if cos_sin is not None:
            q, k = apply_rotary(q, cos_sin), apply_rotary(k, cos_sin)
        if layer_cache is not None:
            k, v = update_layer_cache(layer_cache, k, v)
        out_BHLK = compute_attention(q, k, v, attn_mask, is_causal and attn_mask is None)
        return self.out(out_BHLK.transpose(1, 2).reshape(B, L, -1))

    def adaptable_layers(self) -> dict[str, dict[str, slice]]:
        """Return the linear layers that adapters attach to: for each, the rows of every target."""
        queries, keys = self.heads * self.K, self.key_heads * self.K
        return {"qkv": build_row_slices(q=queries, k=keys, v=keys), "out": build_row_slices(o=self.out.out_features)}


class CrossAttention(nn.Module):
    """Cross-attention to a prompt's states; a learned state, always present, stands for "no prompt"."""

    def __init__(self, config: "Config", in_features: int):
        super().__init__()
        D, self.heads = config.width, config.heads
        self.norm = nn.RMSNorm(D, config.norm_eps)
        self.q_proj = nn.Linear(D, D, bias=False)
        self.kv_proj = nn.Linear(in_features, 2 * D, bias=False)
        self.null_state = nn.Parameter(torch.zeros(in_features))
        self.out = nn.Linear(D, D, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, h_BLD: Tensor, cond: Condition | None) -> Tensor:
        B, L, D = h_BLD.shape
        states = self.null_state.expand(B, 1, -1)
        attn_mask = None
        if cond is not None and cond.tokens is not None:
            states = torch.cat([states, cond.tokens.to(h_BLD.dtype)], 1)
            if cond.mask is not None:
                attn_mask = F.pad(cond.mask, (1, 0), value=True)[:, None, None]
        q = self.q_proj(self.norm(h_BLD)).view(B, L, self.heads, -1).transpose(1, 2)
        k, v = self.kv_proj(states).view(B, states.shape[1], 2 * self.heads, -1).transpose(1, 2).chunk(2, 1)
        return self.out(compute_attention(q, k, v, attn_mask).transpose(1, 2).reshape(B, L, D))


class Mlp(nn.Module):
    def __init__(self, config: "Config"):
        super().__init__()
        D, self.activation, self.is_gated = config.width, config.activation, config.activation == "swiglu"
        mlp_width = config.hidden_width
        self.up = nn.Linear(D, (1 + self.is_gated) * mlp_width, bias=config.bias == "all")
        self.down = nn.Linear(mlp_width, D, bias=config.bias == "all")
        nn.init.normal_(self.up.weight, std=D**-0.5)
        nn.init.zeros_(self.down.weight)

    def forward(self, h_BLD: Tensor) -> Tensor:
        if self.is_gated:
            gate, up = self.up(h_BLD).chunk(2, -1)
            return self.down(F.silu(gate) * up)
        if self.activation == "gelu":
            return self.down(F.gelu(self.up(h_BLD), approximate="tanh"))
        h_BLF = F.relu(self.up(h_BLD))
        return self.down(h_BLF * h_BLF)  # a product: torch's square is several times slower here

    def adaptable_layers(self) -> dict[str, dict[str, slice]]:
        """Return the linear layers that adapters attach to: for each, the rows of every target."""
        mlp_width = self.down.in_features
        up = build_row_slices(gate=mlp_width, up=mlp_width) if self.is_gated else build_row_slices(up=mlp_width)
        return {"up": up, "down": build_row_slices(down=self.down.out_features)}
