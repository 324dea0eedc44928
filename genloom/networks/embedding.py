"""Input layers that map tokens, signals, timesteps and conditions to features.

Shape letters: B batch, L length, S states of a prompt, C channels, D width.
"""

import torch
from torch import Tensor, nn

from genloom.errors import GenloomError
from genloom.types import Condition, ConditionSpec, SignalSpace, TokenSpace


def mask_padding(x: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Set x (B C *size) to zero beyond the length of each row on the first axis; None: no row is padded."""
    return x if lengths_B is None else x.masked_fill(~build_length_mask(x, lengths_B), 0)


def build_length_mask(x: Tensor, lengths_B: Tensor) -> Tensor:
    """Return which positions of x (B C *size) are not padding, for broadcasting: B 1 L, and 1 on the other axes."""
    assert x.ndim > 2, "a vector has no lengths"
    is_valid_BL = torch.arange(x.shape[2], device=x.device) < lengths_B.to(x.device)[:, None]
    return is_valid_BL.view(len(x), 1, -1, *[1] * (x.ndim - 3))


def rescale_lengths(lengths_B: Tensor | None, length: int, new_length: int) -> Tensor | None:
    """Return the lengths of rows after a resampling of the first axis from `length` positions, rounded up."""
    return None if lengths_B is None else -(-lengths_B * new_length).div(length, rounding_mode="floor")


def concat_field(x: Tensor, cond: Condition | None, channels: int) -> Tensor:
    """Append the field condition of this many channels to x (B C *size); a field may be shorter on the first axis."""
    if not channels:
        return x
    field = x.new_zeros(len(x), channels, *x.shape[2:])
    if cond is not None and cond.field is not None:
        if cond.field.shape[2] > x.shape[2] or cond.field.shape[3:] != x.shape[3:]:
            raise GenloomError("networks.field_size", field=tuple(cond.field.shape[2:]), size=tuple(x.shape[2:]))
        field[:, :, : cond.field.shape[2]] = cond.field
    return torch.cat([x, field], 1)


class TokenEmbedding(nn.Module):
    """A learned vector for each token."""

    def __init__(self, input_space: TokenSpace, width: int, std: float):
        super().__init__()
        self.embed = nn.Embedding(input_space.vocab_size, width)
        nn.init.normal_(self.embed.weight, std=std)

    def forward(self, x_BL: Tensor) -> Tensor:
        return self.embed(x_BL)


class SignalEmbedding(nn.Module):
    """Maps a signal of one axis, and a field condition on the same grid, to features."""

    def __init__(self, input_space: SignalSpace, condition_spec: ConditionSpec, width: int):
        super().__init__()
        self.in_proj = nn.Linear(input_space.channels + condition_spec.field, width)
        self.field_channels = condition_spec.field

    def forward(self, x_BCL: Tensor, cond: Condition | None) -> Tensor:
        return self.in_proj(concat_field(x_BCL.to(self.in_proj.weight.dtype), cond, self.field_channels).mT)


def read_field(cond: Condition | None, positions: Tensor, count: int, channels: int) -> Tensor:
    """Return the columns of a field beside tokens (B C *size, row by row) at positions L or B L, B C L.

    Column i belongs to the i-th token after BOS, which is column -1. Columns that there are not are zero.
    """
    positions_BL = positions.expand(count, -1)
    if cond is None or cond.field is None:
        return torch.zeros(count, channels, positions_BL.shape[1], device=positions.device)
    field_BCS = cond.field.flatten(2)
    is_inside_BL = (positions_BL >= 0) & (positions_BL < field_BCS.shape[2])
    index_BCL = torch.where(is_inside_BL, positions_BL, 0)[:, None].expand(-1, channels, -1)
    return field_BCS.gather(2, index_BCL) * is_inside_BL[:, None]


class FieldEmbedding(nn.Module):
    """Maps a field condition beside tokens, position by position, to features."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.proj = nn.Linear(channels, width, bias=False)
        nn.init.normal_(self.proj.weight, std=1.5)

    def forward(self, field_BCL: Tensor) -> Tensor:
        return self.proj(field_BCL.mT.to(self.proj.weight.dtype))


class ModulationEmbedding(nn.Module):
    """Maps the timestep and the condition vector to one vector for adaptive normalization."""

    def __init__(self, has_time: bool, vector: int, width: int):
        super().__init__()
        self.has_time = has_time
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)) if has_time else None
        self.vector = nn.Linear(vector, width, bias=False) if vector else None  # a zero vector has no effect

    def forward(self, t_B: Tensor | None, cond: Condition | None, like: Tensor) -> Tensor:
        mod_BD = like.new_zeros(len(like), like.shape[-1])
        if self.time is not None:
            assert t_B is not None, "this spec has a time input"
            mod_BD = mod_BD + self.time(timestep_embedding(t_B, 64).to(like.dtype))
        if self.vector is not None and cond is not None and cond.vector is not None:
            mod_BD = mod_BD + self.vector(cond.vector.to(like.dtype))
        return mod_BD


class PromptProjection(nn.Module):
    """Maps a prompt's states to features, and their mean to a modulation vector.

    States have a root mean square of 1, those of weighted words more or less; a norm here would undo the weights.
    """

    def __init__(self, in_features: int, width: int):
        super().__init__()
        self.states_proj = nn.Linear(in_features, width, bias=False)
        self.pooled_proj = nn.Linear(in_features, width, bias=False)

    def forward(self, states_BSD: Tensor, mask_BS: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return features B S D, which attention must mask where the mask is off, and a vector B D.

        The vector of a row without states is zero, which has no effect.
        """
        states_BSD = states_BSD.to(self.states_proj.weight.dtype)
        valid_BS = states_BSD.new_ones(states_BSD.shape[:2]) if mask_BS is None else mask_BS.to(states_BSD.dtype)
        mean_BD = (states_BSD * valid_BS[..., None]).sum(1) / valid_BS.sum(1, keepdim=True).clamp(min=1)
        return self.states_proj(states_BSD), self.pooled_proj(mean_BD)


def timestep_embedding(t_B: Tensor, width: int) -> Tensor:
    """Return cosines and sines of times in [0, 1] at geometric frequencies, (B, width)."""
    frequencies = 1000.0 ** torch.linspace(0, 1, width // 2, device=t_B.device)
    angles = t_B.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)
