"""A diffusion transformer over the patches of a grid (DiT, Peebles and Xie 2023) and a prompt's states.

Shape letters: B batch, C channels, N patches, S states of the prompt, L = S + N, D width, H heads, K head width.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from math import prod
from operator import floordiv, mod, mul, truediv
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.networks.attention import apply_rotary, build_row_slices, compute_attention
from genloom.networks.embedding import ModulationEmbedding, PromptProjection, concat_field, mask_padding
from genloom.types import Condition, NetworkSpec, SignalSpace

POSITIONS = ("learned", "interpolated", "rotary")
INTERPOLATION_BY_AXES = ("linear", "bilinear", "trilinear")
SHIFT_DIVISOR = 8  # one feature in 8 comes from the neighbour on each side


@dataclass(frozen=True)
class Config:
    width: int = 256
    depth: int = 6
    head_width: int = 64
    patch_size: int = 2  # grid cells of each axis in one patch
    patch_sizes: tuple[int, ...] = ()  # the same by axis, e.g. (1, 2, 2) for video; (): patch_size on all axes
    positions: str = "interpolated"  # learned on one grid, for others too; "learned": that one only; "rotary": none
    mlp_width: int = 0  # hidden width of SwiGLU; 0: 8/3 x width, rounded up to 32
    norm_eps: float = 1e-5

    def compute_patch(self, axes: int) -> tuple[int, ...]:
        """Return the shape of a patch."""
        return self.patch_sizes or (self.patch_size,) * axes


def build(spec: NetworkSpec, config: Config) -> "DiT":
    if not (isinstance(spec.input, SignalSpace) and isinstance(spec.output, SignalSpace) and spec.input.size):
        raise GenloomError("networks.dit_spaces", input=spec.input, output=spec.output)
    if spec.output.size != spec.input.size:
        raise GenloomError("networks.dit_output", input=spec.input, output=spec.output)
    patch = config.compute_patch(len(spec.input.size))
    if len(patch) != len(spec.input.size) or min(patch) < 1 or any(map(mod, spec.input.size, patch)):
        raise GenloomError("networks.patch_size", patch_size=patch, grid=spec.input.size)
    if config.positions not in POSITIONS:
        raise GenloomError("networks.dit_positions", value=config.positions, known=", ".join(map(repr, POSITIONS)))
    if min(config.width, config.head_width, config.depth) < 1:
        raise GenloomError("networks.dit_sizes", width=config.width, head_width=config.head_width, depth=config.depth)
    minimum = 2 * len(spec.input.size)  # for a rotary frequency on each axis
    if config.width % config.head_width or config.head_width % 2 or config.head_width < minimum:
        raise GenloomError("networks.dit_width", width=config.width, head_width=config.head_width, minimum=minimum)
    return DiT(spec, spec.input, spec.output, config)


def resize_config(settings: Mapping[str, Any], width: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the settings for one of the planner's model sizes; explicit settings win."""
    width = settings.get("width", width)
    head_width = next(k for k in (64, 48, 32, 16, 8, 4, width) if width % k == 0)
    return {"width": width, "depth": depth, "head_width": head_width, **settings}


class DiT(nn.Module):
    """Maps x, B C *size, to B C' *size. A prompt's states pass through all blocks together with the patches."""

    def __init__(self, spec: NetworkSpec, input_space: SignalSpace, output_space: SignalSpace, config: Config):
        super().__init__()
        self.spec, self.config = spec, config
        self.patch = config.compute_patch(len(input_space.size))
        self.grid = tuple(map(floordiv, input_space.size, self.patch))
        self.out_channels = output_space.channels
        D, patch_volume = config.width, prod(self.patch)
        self.in_proj = nn.Linear((input_space.channels + spec.condition.field) * patch_volume, D)
        self.trained_grid = self.grid
        self.pos_embed = None if config.positions == "rotary" else nn.Embedding(prod(self.grid), D)
        if self.pos_embed is not None:
            nn.init.normal_(self.pos_embed.weight, std=0.02)
        self.prompt_proj = PromptProjection(spec.condition.tokens, D) if spec.condition.tokens else None
        self.mod_embed = (
            ModulationEmbedding(spec.has_time, spec.condition.vector, D)
            if spec.has_time or spec.condition.vector
            else None
        )
        self.modulation = nn.Linear(D, 6 * D)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.skips = nn.ParameterList(nn.Parameter(torch.zeros(D)) for _ in range(config.depth // 2))
        self.norm = nn.RMSNorm(D, config.norm_eps)
        self.head = nn.Linear(D, output_space.channels * patch_volume)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, x: Tensor, t: Tensor | None = None, cond: Condition | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        h_BLD = self.in_proj(self.patchify(x, cond, lengths))
        if self.pos_embed is not None:
            h_BLD = h_BLD + self.compute_pos_embed(self.pos_embed.weight)
        N = h_BLD.shape[1]
        mod_BD = (
            h_BLD.new_zeros(len(x), self.config.width) if self.mod_embed is None else self.mod_embed(t, cond, h_BLD)
        )
        attn_mask, S = None, 0
        if self.prompt_proj is not None and cond is not None and cond.tokens is not None:
            states_BSD, pooled_BD = self.prompt_proj(cond.tokens, cond.mask)
            h_BLD, mod_BD, S = torch.cat([states_BSD, h_BLD], 1), mod_BD + pooled_BD, states_BSD.shape[1]
            attn_mask = None if cond.mask is None else F.pad(cond.mask, (0, N), value=True)[:, None, None]
        is_valid_BL = None
        if lengths is not None:  # patches beyond the length of a row are neither attended to nor shifted into others
            patch_lengths = lengths.to(x.device).add(self.patch[0] - 1).div(self.patch[0], rounding_mode="floor")
            is_valid_BN = (torch.arange(self.grid[0], device=x.device) < patch_lengths[:, None]).repeat_interleave(
                N // self.grid[0], 1
            )
            is_valid_BL = F.pad(is_valid_BN, (S, 0), value=True)
            key_mask = is_valid_BL[:, None, None]
            attn_mask = key_mask if attn_mask is None else attn_mask & key_mask
        scale = tuple(map(truediv, self.trained_grid, self.grid)) if self.config.positions == "interpolated" else ()
        cos_sin = compute_grid_cos_sin(S, self.grid, self.config.head_width, h_BLD, scale)
        modulation_BD = self.modulation(F.silu(mod_BD))
        skip_states: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            if i >= len(self.blocks) - len(self.skips):  # long skips (U-ViT, Bao et al. 2023)
                h_BLD = h_BLD + self.skips[len(skip_states) - 1] * skip_states.pop()
            h_BLD = block(h_BLD, cos_sin, attn_mask, modulation_BD, self.grid, is_valid_BL)
            if i < len(self.skips):
                skip_states.append(h_BLD)
        return self.unpatchify(self.head(self.norm(h_BLD[:, S:])))

    def at_size(self, size: tuple[int, ...]) -> "DiT":
        """Return the network for signals of this size."""
        if len(size) != len(self.patch) or any(map(mod, size, self.patch)):
            raise GenloomError("networks.patch_size", patch_size=self.patch, grid=size)
        grid = tuple(map(floordiv, size, self.patch))
        if self.config.positions == "learned" and grid != self.trained_grid:
            raise GenloomError("networks.size_is_fixed", size=size)
        other = copy(self)  # with the same weights
        other.grid = grid
        return other

    def compute_pos_embed(self, weight_ND: Tensor) -> Tensor:
        """Return the learned vector of each patch, interpolated from the trained grid if it is another."""
        if self.grid == self.trained_grid:
            return weight_ND
        grid_1DN = weight_ND.mT.view(1, -1, *self.trained_grid)
        mode = INTERPOLATION_BY_AXES[len(self.grid) - 1]
        return F.interpolate(grid_1DN, self.grid, mode=mode).flatten(2)[0].mT

    def patchify(self, x: Tensor, cond: Condition | None, lengths: Tensor | None = None) -> Tensor:
        """Return the patches of the signal and of its field condition, B N (C x cells of a patch)."""
        x = concat_field(x.to(self.in_proj.weight.dtype), cond, self.spec.condition.field)
        x, axes = mask_padding(x, lengths), len(self.grid)
        x = x.view(*x.shape[:2], *(n for pair in zip(self.grid, self.patch, strict=True) for n in pair))
        sides, offsets = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
        return x.permute(0, *sides, 1, *offsets).reshape(len(x), prod(self.grid), -1)

    def unpatchify(self, patches_BNP: Tensor) -> Tensor:
        """Return the grid of patches, the inverse of `patchify`."""
        axes = len(self.grid)
        x = patches_BNP.view(len(patches_BNP), *self.grid, self.out_channels, *self.patch)
        dims = (dim for i in range(axes) for dim in (1 + i, 2 + axes + i))
        return x.permute(0, 1 + axes, *dims).reshape(len(x), self.out_channels, *map(mul, self.grid, self.patch))


class DiTBlock(nn.Module):
    """Attention and SwiGLU; all blocks share one modulation, and each adds its own constant (PixArt).

    Both read some features of a patch from its neighbours, a convolution at no cost (Wang et al. 2022, "When shift
    operation meets vision transformer").
    """

    def __init__(self, config: Config):
        super().__init__()
        D, self.K = config.width, config.head_width
        mlp_width = config.mlp_width or -(-8 * D // 3 // 32) * 32
        self.norms = nn.ModuleList(nn.RMSNorm(D, config.norm_eps, elementwise_affine=False) for _ in range(2))
        self.qk_norms = nn.ModuleList(nn.RMSNorm(self.K, config.norm_eps) for _ in range(2))
        self.scale_shift_table = nn.Parameter(torch.zeros(6 * D))
        self.qkv, self.out = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.down = nn.Linear(D, 2 * mlp_width, bias=False), nn.Linear(mlp_width, D, bias=False)
        for in_linear, out_linear in ((self.qkv, self.out), (self.up, self.down)):
            nn.init.normal_(in_linear.weight, std=D**-0.5)
            nn.init.zeros_(out_linear.weight)

    def forward(
        self,
        h_BLD: Tensor,
        cos_sin: tuple[Tensor, Tensor],
        attn_mask: Tensor | None,
        modulation_BD: Tensor,
        grid: tuple[int, ...],
        is_valid_BL: Tensor | None = None,
    ) -> Tensor:
        modulation = (modulation_BD + self.scale_shift_table)[:, None].chunk(6, -1)
        shift, scale, gate, shift2, scale2, gate2 = modulation
        attention_input = shift_patches(self.norms[0](h_BLD) * (1 + scale) + shift, grid, is_valid_BL)
        h_BLD = h_BLD + (1 + gate) * self.apply_attention(attention_input, cos_sin, attn_mask)
        mlp_input = shift_patches(self.norms[1](h_BLD) * (1 + scale2) + shift2, grid, is_valid_BL)
        a, b = self.up(mlp_input).chunk(2, -1)
        return h_BLD + (1 + gate2) * self.down(F.silu(a) * b)

    def apply_attention(self, h_BLD: Tensor, cos_sin: tuple[Tensor, Tensor], attn_mask: Tensor | None) -> Tensor:
        B, L, D = h_BLD.shape
        q, k, v = self.qkv(h_BLD).view(B, L, 3, -1, self.K).permute(2, 0, 3, 1, 4)
        q, k = apply_rotary(self.qk_norms[0](q), cos_sin), apply_rotary(self.qk_norms[1](k), cos_sin)
        return self.out(compute_attention(q, k, v, attn_mask).transpose(1, 2).reshape(B, L, D))

    def adaptable_layers(self) -> dict[str, dict[str, slice]]:
        """Return the linear layers that adapters attach to: for each, the rows of every target."""
        D, mlp_width = self.out.out_features, self.down.in_features
        attention = {"qkv": build_row_slices(q=D, k=D, v=D), "out": build_row_slices(o=D)}
        return {
            **attention,
            "up": build_row_slices(gate=mlp_width, up=mlp_width),
            "down": build_row_slices(down=D),
        }


def shift_patches(h_BLD: Tensor, grid: tuple[int, ...], is_valid_BL: Tensor | None = None) -> Tensor:
    """Return the patches with a few features from the next patch on each side; zero beyond the edge, and in padding."""
    if is_valid_BL is not None:
        h_BLD = h_BLD.masked_fill(~is_valid_BL[..., None], 0)
    num_patches = prod(grid)
    states_BSD, patches = h_BLD[:, :-num_patches], h_BLD[:, -num_patches:].unflatten(1, grid)
    shift_width = h_BLD.shape[2] // SHIFT_DIVISOR
    shift_groups = patches[..., : 2 * len(grid) * shift_width].split(shift_width, -1)
    shifted_groups = [shift_axis(part, axis=1 + i // 2, is_previous=i % 2 == 0) for i, part in enumerate(shift_groups)]
    blend = torch.cat([*shifted_groups, patches[..., 2 * len(grid) * shift_width :]], -1)
    return torch.cat([states_BSD, blend.flatten(1, -2)], 1)


def shift_axis(x: Tensor, axis: int, is_previous: bool) -> Tensor:
    """Return the neighbours on one side along an axis."""
    inner, edge = x.narrow(axis, 0 if is_previous else 1, x.shape[axis] - 1), torch.zeros_like(x.narrow(axis, 0, 1))
    return torch.cat([edge, inner] if is_previous else [inner, edge], axis)


def compute_grid_cos_sin(
    num_states: int, grid: tuple[int, ...], width: int, like: Tensor, scale: tuple[float, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (L, K) that rotate queries and keys by their coordinates (Su et al. 2021).

    The states of a prompt lie on the diagonal that leads away from the first patch. With `scale`, the centres of the
    patches are scaled on each axis, so that a grid of another size spans the trained one (Chen et al. 2023).
    """
    axes, num_angles = len(grid), width // 2
    # Features that do not suffice for another frequency on every axis are not rotated.
    inv_freq = 100.0 ** (-torch.arange(0, num_angles - axes + 1, axes, device=like.device) / num_angles)
    patch_coordinates = torch.cartesian_prod(*(torch.arange(n, device=like.device) for n in grid)).view(-1, axes)
    if any(factor != 1 for factor in scale):
        patch_coordinates = (patch_coordinates + 0.5) * torch.tensor(scale, device=like.device) - 0.5
    state_coordinates = -torch.arange(1, num_states + 1, device=like.device)[:, None].expand(-1, axes)
    angles = (torch.cat([state_coordinates, patch_coordinates])[:, :, None] * inv_freq).flatten(1)
    angles = F.pad(angles, (0, num_angles - angles.shape[1]))
    full_angles = torch.cat([angles, angles], -1)
    return full_angles.cos().to(like.dtype), full_angles.sin().to(like.dtype)
