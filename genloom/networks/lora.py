"""Low-rank adapters on a frozen network: attached, summed and switched at run time, and merged into its weights.

Shape letters: N positions, D features in, O features out, T targets in one linear map, R rank x T.
"""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.networks.dropout import Dropout
from genloom.types import NetworkSpec, TokenSpace

TOLERANCE = 1e-4  # of merged outputs in float32, as a share of the largest; sums in another order differ by less
TOLERANCE_16BIT = 0.05  # the same where the weights have 16 bits


@dataclass(frozen=True)
class Config:
    """LoRA (Hu et al. 2021, arXiv:2106.09685): W x + scale * B A x, where W stays as it is."""

    rank: int = 16
    alpha: float = 32.0  # scale = alpha / rank
    targets: tuple[str, ...] = ()  # q k v o gate up down, or what else the network has; (): every linear map inside it
    dropout: float = 0.0  # share of the features an adapter reads that is left out in training
    use_rslora: bool = False  # scale = alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023)
    use_dora: bool = False  # the length of each row of W is learned apart from its direction (DoRA, Liu et al. 2024)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"The rank of an adapter is 1 or more, got {self.rank}.")
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"The alpha of an adapter is above 0, got {self.alpha}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"The dropout of an adapter is a share from 0 to below 1, got {self.dropout}.")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)


class Adapter(nn.Module):
    """A and B of every target that one linear map holds, stacked: all targets read x in one product."""

    kind = "adapter"  # the optimizer's rate and rule for A and B
    target_mask: Tensor  # (rows of B, T): 1 where a row belongs to a target
    row_index: Tensor  # of W, that the rows of B add to
    squared_norms: Tensor  # of the lengths of the rows of W, O

    def __init__(self, name: str, position: int, config: Config, row_slices: dict[str, slice], linear: nn.Linear):
        super().__init__()
        self.name, self.position, self.config, self.row_slices, self.is_active = (
            name,
            position,
            config,
            row_slices,
            True,
        )
        self.out_features, self.dropout = linear.out_features, Dropout(config.dropout)
        sizes = [span.stop - span.start for span in row_slices.values()]
        like, T, num_rows = linear.weight, len(row_slices), sum(sizes)
        self.A = nn.Parameter(like.new_empty(config.rank * T, linear.in_features))
        self.B = nn.Parameter(like.new_zeros(num_rows, config.rank))
        self.gain = nn.Parameter(like.new_zeros(num_rows)) if config.use_dora else None
        nn.init.kaiming_uniform_(self.A, a=5**0.5)
        target_mask = torch.eye(T).repeat_interleave(torch.tensor(sizes), 0).to(like)
        row_index = torch.cat([torch.arange(span.start, span.stop) for span in row_slices.values()]).to(like.device)
        self.register_buffer("target_mask", target_mask, persistent=False)
        self.register_buffer("row_index", row_index, persistent=False)
        if config.use_dora:
            self.register_buffer("squared_norms", like.detach().square().sum(1).clamp(min=1e-12), persistent=False)

    def forward(self, x: Tensor, y: Tensor, base: Tensor, linear: nn.Linear) -> Tensor:
        """y with what the adapter adds to `base`, the linear map's own output for x."""
        down_NR, up_OR = F.linear(self.dropout(x), self.A).flatten(0, -2), self.build_up_matrix()
        if self.gain is None:
            return torch.addmm(y.flatten(0, -2), down_NR, up_OR.mT, alpha=self.config.scale).view_as(y)
        dora_scale_O = self.compute_dora_scale(linear.weight)
        unbiased_base = base if linear.bias is None else base - linear.bias
        delta = (down_NR @ up_OR.mT).view_as(y) * self.config.scale
        return y + (dora_scale_O - 1) * unbiased_base + dora_scale_O * delta

    def build_up_matrix(self) -> Tensor:
        """B with the columns of its target's A and zeros in the others', O R: one product serves all targets."""
        return self.scatter_rows((self.B[:, None] * self.target_mask[..., None]).flatten(1))

    def scatter_rows(self, rows: Tensor) -> Tensor:
        """Rows of B put where they belong in O; the others are zero."""
        if len(rows) == self.out_features:
            return rows
        return rows.new_zeros(self.out_features, *rows.shape[1:]).index_copy(0, self.row_index, rows)

    def compute_dora_scale(self, weight_OD: Tensor) -> Tensor:
        """DoRA's factor of each row: the learned length over that of W + scale B A, whose square needs no such matrix.

        |w + s b A|^2 = |w|^2 + 2 s (w A^T) b + s^2 b (A A^T) b; it gets no gradient (section 4.3).
        """
        assert self.gain is not None
        with torch.no_grad():
            up_OR, scale = self.build_up_matrix().float(), self.config.scale
            dot_O = ((weight_OD @ self.A.mT).float() * up_OR).sum(1)
            squared_norm_O = ((up_OR @ (self.A @ self.A.mT).float()) * up_OR).sum(1)
            ratio_O = (
                (1 + (2 * scale * dot_O + scale**2 * squared_norm_O) / self.squared_norms.float())
                .clamp(min=1e-12)
                .rsqrt()
            )
        return ((1 + self.scatter_rows(self.gain).float()) * ratio_O).to(weight_OD.dtype)

    @torch.no_grad()
    def get_delta_weight(self, weight_OD: Tensor) -> Tensor:
        """What merging adds to the weight, O D."""
        delta_OD = self.config.scale * self.build_up_matrix() @ self.A
        if self.gain is None:
            return delta_OD
        dora_scale_O1 = self.compute_dora_scale(weight_OD)[:, None]
        return (dora_scale_O1 - 1) * weight_OD + dora_scale_O1 * delta_OD


class LoRALinear(nn.Linear):
    """A frozen linear map with adapters: its own output and what each active one adds."""

    def __init__(self, linear: nn.Linear):
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        for name in ("weight", "bias"):
            delattr(self, name)
            self.register_buffer(name, getattr(linear, name), persistent=False)
        self.adapters = nn.ModuleList()

    def forward(self, input: Tensor) -> Tensor:
        base = F.linear(input, self.weight, self.bias)
        y = base
        for adapter in self.list_active_adapters():
            y = adapter(input, y, base, self)
        return y

    def list_adapters(self) -> list[Adapter]:
        return cast(list[Adapter], list(self.adapters))

    def list_active_adapters(self) -> list[Adapter]:
        return [adapter for adapter in self.list_adapters() if adapter.active]

    def build_merged_linear(self) -> nn.Linear:
        merged_linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        deltas = [adapter.get_delta_weight(self.weight) for adapter in self.list_active_adapters()]
        merged_linear.weight = nn.Parameter(torch.stack([self.weight, *deltas]).sum(0) if deltas else self.weight)
        merged_linear.bias = None if self.bias is None else nn.Parameter(self.bias)
        return merged_linear


class TiedLinear(nn.Module):
    """A linear map with an embedding's weight: a frozen head that stays one with it in every copy."""

    def __init__(self, owner: nn.Embedding):
        super().__init__()
        self.owner = [owner]  # in a list, so that it is not a part of this one

    @property
    def weight(self) -> Tensor:
        return self.owner[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def attach(network: nn.Module, config: Config, name: str = "default") -> None:
    """Add an adapter, in place; B is zero, so the function is unchanged until it learns.

    All that was there before, other adapters too, is frozen: no parameter any more and not in the `state_dict`.
    Raises ValueError for a target that the network does not have and a name that is taken.
    """
    existing_names = list_adapter_names(network)
    if name in existing_names:
        raise ValueError(f"There is an adapter {name!r} already. Choose another name for this one.")
    targets_by_path = find_targets(network)
    known_targets = list(dict.fromkeys(target for row_slices in targets_by_path.values() for target in row_slices))
    unknown_targets = [target for target in config.targets if target not in known_targets]
    if unknown_targets or not known_targets:
        raise ValueError(
            f"The network has no {unknown_targets[0] if unknown_targets else 'linear map'!r} to adapt. "
            f"It has: {', '.join(known_targets) or 'none; adapt a transformer'}."
        )
    freeze(network)
    for path, row_slices in targets_by_path.items():
        selected_slices = {
            target: span for target, span in row_slices.items() if target in (config.targets or known_targets)
        }
        if selected_slices:
            linear = network.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            lora_linear = linear if isinstance(linear, LoRALinear) else LoRALinear(linear)
            lora_linear.adapters.append(Adapter(name, len(existing_names), config, selected_slices, lora_linear))
            network.set_submodule(path, lora_linear.train(linear.training))


def find_targets(network: nn.Module) -> dict[str, dict[str, slice]]:
    """What can be adapted: for each linear map, by path, the rows of every target in it.

    Fused maps hold several, which the part they belong to `adapts`; any other map is one, known by its name. Maps at
    the ends are left out, and networks with recurrent layers have none.
    """
    if any(isinstance(part, nn.RNNBase) for part in network.modules()):
        return {}  # torch's recurrent layers keep a list of their weights that freezing does not reach
    targets_by_path: dict[str, dict[str, slice]] = {}
    for path, part in network.named_modules():
        if adaptable_layers := getattr(part, "adaptable_layers", None):
            targets_by_path |= {f"{path}.{name}": row_slices for name, row_slices in adaptable_layers().items()}
        elif isinstance(part, nn.Linear) and path not in targets_by_path:
            *_, name = (word for word in path.assign_split(".") if not word.isdigit())
            if name not in ("head", "in_proj"):
                targets_by_path[path] = {name: slice(0, part.out_features)}
    return targets_by_path


def freeze(network: nn.Module) -> None:
    """Make every parameter a buffer that is not saved; `thaw` undoes it.

    Buffers move and change type with the network, and the loop, its checkpoints and averages never see them.
    """
    owners: dict[int, nn.Module] = {}
    for path, part in list(network.named_modules()):
        for name, weight in list(part.named_parameters(recurse=False)):
            owner = owners.setdefault(id(weight), part)
            if owner is not part:
                assert isinstance(owner, nn.Embedding), f"{path} shares a weight in an unknown way"
                network.set_submodule(path, TiedLinear(owner))
                continue
            delattr(part, name)
            part.register_buffer(name, weight.detach(), persistent=False)
            part.__dict__.setdefault("frozen", []).append(name)


def unfreeze(network: nn.Module) -> None:
    """Make parameters of what `freeze` took."""
    for part in network.modules():
        for name in part.__dict__.pop("frozen", ()):
            weight = part.get_buffer(name)
            delattr(part, name)
            part.register_parameter(name, nn.Parameter(weight))
    for path, part in list(network.named_modules()):
        if isinstance(part, TiedLinear):
            linear = nn.Linear(*part.weight.shape[::-1], bias=False, device="meta")
            linear.weight = part.owner[0].weight
            network.set_submodule(path, linear)


def iter_adapters(network: nn.Module) -> Iterator[tuple[str, LoRALinear, Adapter]]:
    """Every adapter with its linear map and the map's path."""
    for path, part in network.named_modules():
        if isinstance(part, LoRALinear):
            yield from ((path, part, adapter) for adapter in part.list_adapters())


def list_adapter_names(network: nn.Module) -> list[str]:
    """The adapters that are attached, in the order in which they came."""
    return [name for _, name in sorted({(adapter.number, adapter.name) for _, _, adapter in iter_adapters(network)})]


def set_active_adapters(network: nn.Module, active_names: Sequence[str]) -> None:
    """Let these adapters act, summed, and no others; with none the network is its base. In place, at no cost."""
    known_names = list_adapter_names(network)
    unknown_names = [name for name in active_names if name not in known_names]
    if unknown_names:
        raise ValueError(
            f"There is no adapter {unknown_names[0]!r} here. There is: {', '.join(known_names) or 'none'}."
        )
    for _, _, adapter in iter_adapters(network):
        adapter.active = adapter.name in active_names


def copy_sharing_tensors(network: nn.Module) -> nn.Module:
    """A copy of the network that shares all its tensors, to be switched or merged by itself."""
    shared_tensors = [*network.parameters(), *network.buffers()]
    return deepcopy(network, {id(tensor): tensor for tensor in shared_tensors})


def merge(network: nn.Module) -> nn.Module:
    """A plain network with the active adapters in its weights; the rest of its tensors it shares with `network`.

    Raises ValueError where its outputs for a fixed input differ from the adapted network's by more than TOLERANCE of
    the largest.
    """
    merged_network = copy_sharing_tensors(network)
    for path, part in list(merged_network.named_modules()):
        if isinstance(part, LoRALinear):
            merged_network.set_submodule(path, part.build_merged_linear())
    unfreeze(merged_network)
    difference, limit = measure_drift(network, merged_network), get_tolerance(next(merged_network.parameters()).dtype)
    if not difference <= limit:
        raise ValueError(
            f"The merged network is not the adapted one: outputs differ by {difference:.2g} of the largest, and {limit:g} "
            "is allowed. The adapter may hold numbers that are too large or not finite; train it again at a lower rate."
        )
    return merged_network


def get_tolerance(dtype: torch.dtype) -> float:
    return TOLERANCE if dtype == torch.float32 else TOLERANCE_16BIT


@torch.no_grad()
def measure_drift(reference: nn.Module, candidate: nn.Module) -> float:
    """The largest difference of two networks' outputs for a fixed input, as a share of the largest output."""
    spec = next(cast(NetworkSpec, part.role) for part in reference.modules() if hasattr(part, "spec"))
    weight = next(reference.parameters())
    if isinstance(spec.input, TokenSpace):
        num_tokens = 2 * min(spec.input.context_length, 32)
        x = (torch.arange(num_tokens, device=weight.device) * 7919 % spec.input.vocab_size).view(2, -1)
    else:
        shape = (2, spec.input.channels, *spec.input.size)
        x = torch.arange(math.prod(shape), device=weight.device).sin().to(weight.dtype).view(shape)
    t = torch.full((2,), 0.5, device=weight.device) if spec.has_time else None
    reference_output, candidate_output = (
        copy_sharing_tensors(network).eval()(x, t).float() for network in (reference, candidate)
    )
    return ((reference_output - candidate_output).abs().max() / reference_output.abs().max().clamp(min=1e-12)).item()
