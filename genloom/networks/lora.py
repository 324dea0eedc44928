"""Low-rank adapters on a frozen network: attach, sum and switch them at run time, or merge them into its weights.

Shape letters: N positions, D features in, O features out, T targets in one linear layer, R rank x T.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genloom.capabilities import AdaptableLayer, SpecifiedNetwork
from genloom.errors import GenloomError
from genloom.memory import measure_memory
from genloom.networks.dropout import Dropout
from genloom.types import TokenSpace

TOLERANCE = 1e-4  # of merged outputs in float32, relative to the largest; another summation order differs by less
TOLERANCE_16BIT = 0.05  # the same for weights of 16 bits


@dataclass(frozen=True)
class Config:
    """LoRA (Hu et al. 2021, arXiv:2106.09685): W x + scale * B A x, with W frozen."""

    rank: int = 16
    alpha: float = 32.0  # scale = alpha / rank
    targets: tuple[
        str, ...
    ] = ()  # q k v o gate up down, or other layers of the network; (): every linear layer inside it
    dropout: float = 0.0  # probability of dropping an input feature of the adapter in training
    use_rslora: bool = False  # scale = alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023)
    use_dora: bool = False  # learns the norm of each row of W apart from its direction (DoRA, Liu et al. 2024)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise GenloomError("networks.adapter_rank", rank=self.rank)
        if not 0 < self.alpha < math.inf:
            raise GenloomError("networks.adapter_alpha", alpha=self.alpha)
        if not 0 <= self.dropout < 1:
            raise GenloomError("networks.adapter_dropout", dropout=self.dropout)

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)


class Adapter(nn.Module):
    """A and B of every target in one linear layer, stacked, so that all targets read x in one product."""

    kind = "adapter"  # selects the optimizer's learning rate and rule for A and B
    target_mask: Tensor  # (rows of B, T): 1 if the row belongs to the target
    row_index: Tensor  # the rows of W that the rows of B add to
    squared_norms: Tensor  # of the rows of W, O

    def __init__(self, name: str, position: int, config: Config, row_slices: dict[str, slice], linear: nn.Linear):
        super().__init__()
        self.name, self.position, self.config, self.row_slices = name, position, config, row_slices
        self.is_active, self.strength = True, 1.0  # the strength multiplies the update; it is set at run time
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
        """Return y plus the adapter's update, where `base` is the linear layer's own output for x."""
        down_NR, up_OR = F.linear(self.dropout(x), self.A).flatten(0, -2), self.build_up_matrix()
        if self.gain is None:
            return torch.addmm(y.flatten(0, -2), down_NR, up_OR.mT, alpha=self.config.scale * self.strength).view_as(y)
        dora_scale_O = self.compute_dora_scale(linear.weight)
        unbiased_base = base if linear.bias is None else base - linear.bias
        delta = (down_NR @ up_OR.mT).view_as(y) * self.config.scale
        return y + self.strength * ((dora_scale_O - 1) * unbiased_base + dora_scale_O * delta)

    def build_up_matrix(self) -> Tensor:
        """Return B with zeros in the columns of other targets' A, O R, so that one product serves all targets."""
        return self.scatter_rows((self.B[:, None] * self.target_mask[..., None]).flatten(1))

    def scatter_rows(self, rows: Tensor) -> Tensor:
        """Scatter the rows of B to their rows in O; the others are zero."""
        if len(rows) == self.out_features:
            return rows
        return rows.new_zeros(self.out_features, *rows.shape[1:]).index_copy(0, self.row_index, rows)

    def compute_dora_scale(self, weight_OD: Tensor) -> Tensor:
        """Return DoRA's factor of each row: the learned norm over the norm of W + scale B A, without that matrix.

        |w + s b A|^2 = |w|^2 + 2 s (w A^T) b + s^2 b (A A^T) b; it has no gradient (section 4.3).
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
        """Return what merging adds to the weight, O D."""
        delta_OD = self.config.scale * self.build_up_matrix() @ self.A
        if self.gain is None:
            return self.strength * delta_OD
        dora_scale_O1 = self.compute_dora_scale(weight_OD)[:, None]
        return self.strength * ((dora_scale_O1 - 1) * weight_OD + dora_scale_O1 * delta_OD)


class LoRALinear(nn.Linear):
    """A frozen linear layer plus its active adapters."""

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
        return [adapter for adapter in self.list_adapters() if adapter.is_active]

    def build_merged_linear(self) -> nn.Linear:
        merged_linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        deltas = [adapter.get_delta_weight(self.weight) for adapter in self.list_active_adapters()]
        merged_linear.weight = nn.Parameter(torch.stack([self.weight, *deltas]).sum(0) if deltas else self.weight)
        merged_linear.bias = None if self.bias is None else nn.Parameter(self.bias)
        return merged_linear


class TiedLinear(nn.Module):
    """A linear layer with an embedding's weight: a frozen head that stays tied to it in every copy."""

    def __init__(self, owner: nn.Embedding):
        super().__init__()
        self.owner = [owner]  # in a list, so that it is not a submodule of this one

    @property
    def weight(self) -> Tensor:
        return self.owner[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def attach_adapter(network: nn.Module, config: Config, name: str = "default") -> None:
    """Add an adapter in place; B is zero, so the outputs do not change until training.

    This freezes everything else, other adapters too: it is no longer a parameter or in the `state_dict`.
    Raise GenloomError for a target that the network does not have and a name that is in use.
    """
    existing_names = list_adapter_names(network)
    if name in existing_names:
        raise GenloomError("networks.adapter_exists", name=name)
    targets_by_path = find_targets(network)
    known_targets = list(dict.fromkeys(target for row_slices in targets_by_path.values() for target in row_slices))
    unknown_targets = [target for target in config.targets if target not in known_targets]
    if not known_targets:
        raise GenloomError("networks.not_adaptable")
    if unknown_targets:
        raise GenloomError("networks.unknown_target", target=unknown_targets[0], known=", ".join(known_targets))
    selected_targets: dict[str, dict[str, slice]] = {}
    for path, row_slices in targets_by_path.items():
        selected = {target: span for target, span in row_slices.items() if target in (config.targets or known_targets)}
        if selected:
            selected_targets[path] = selected
    check_adapter_size(network, config, selected_targets)
    freeze_parameters(network)
    for path, row_slices in selected_targets.items():
        linear = network.get_submodule(path)
        assert isinstance(linear, nn.Linear)
        lora_linear = linear if isinstance(linear, LoRALinear) else LoRALinear(linear)
        lora_linear.adapters.append(Adapter(name, len(existing_names), config, row_slices, lora_linear))
        network.set_submodule(path, lora_linear.train(linear.training))


def check_adapter_size(network: nn.Module, config: Config, targets: Mapping[str, Mapping[str, slice]]) -> None:
    """Raise GenloomError for an adapter that needs more memory than is available."""
    sizes = [
        len(row_slices) * cast(nn.Linear, network.get_submodule(path)).in_features
        + sum(span.stop - span.start for span in row_slices.values())
        for path, row_slices in targets.items()
    ]
    num_params, available_bytes = config.rank * sum(sizes), measure_memory().available
    if 4 * num_params > available_bytes:
        gigabytes, available_gb = 4 * num_params / 1e9, available_bytes / 1e9
        raise GenloomError("networks.adapter_memory", rank=config.rank, gigabytes=gigabytes, available_gb=available_gb)


def find_targets(network: nn.Module) -> dict[str, dict[str, slice]]:
    """Return the adaptable linear layers by path: for each, the rows of every target in it.

    A fused layer has several targets, which `adaptable_layers` of its module lists; any other layer is one target with
    the layer's name. The first and last layers are excluded, and networks with recurrent layers have no targets.
    """
    if any(isinstance(part, nn.RNNBase) for part in network.modules()):
        return {}  # torch's recurrent layers keep their own list of weights, which freezing does not reach
    targets_by_path: dict[str, dict[str, slice]] = {}
    for path, part in network.named_modules():
        if isinstance(part, AdaptableLayer):
            targets_by_path |= {f"{path}.{name}": row_slices for name, row_slices in part.adaptable_layers().items()}
        elif isinstance(part, nn.Linear) and path not in targets_by_path:
            *_, name = (word for word in path.split(".") if not word.isdigit())
            if name not in ("head", "in_proj"):
                targets_by_path[path] = {name: slice(0, part.out_features)}
    return targets_by_path


def freeze_parameters(network: nn.Module) -> None:
    """Make every parameter a buffer that is not saved; `unfreeze_parameters` undoes it.

    Buffers move and change dtype with the network, but optimizer, checkpoints and averages ignore them.
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


def unfreeze_parameters(network: nn.Module) -> None:
    """Make the buffers of `freeze_parameters` parameters again."""
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
    """Yield every adapter with its linear layer and the layer's path."""
    for path, part in network.named_modules():
        if isinstance(part, LoRALinear):
            yield from ((path, part, adapter) for adapter in part.list_adapters())


def list_adapter_names(network: nn.Module) -> list[str]:
    """Return the names of the attached adapters, in the order of attachment."""
    return [name for _, name in sorted({(adapter.position, adapter.name) for _, _, adapter in iter_adapters(network)})]


def set_active_adapters(network: nn.Module, active_names: Sequence[str]) -> None:
    """Activate these adapters, summed, and no others; without any, the network is its base. In place, at no cost."""
    known_names = list_adapter_names(network)
    unknown_names = [name for name in active_names if name not in known_names]
    if unknown_names:
        raise GenloomError("networks.unknown_adapter", name=unknown_names[0], known=", ".join(known_names) or "none")
    for _, _, adapter in iter_adapters(network):
        adapter.is_active = adapter.name in active_names


def set_strength(network: nn.Module, name: str, strength: float) -> None:
    """Multiply the update of an adapter by `strength`, in place."""
    for _, _, adapter in iter_adapters(network):
        if adapter.name == name:
            adapter.strength = strength


def copy_sharing_tensors(network: nn.Module) -> nn.Module:
    """Return a copy of the network that shares all its tensors but can be switched or merged on its own."""
    shared_tensors = [*network.parameters(), *network.buffers()]
    return deepcopy(network, {id(tensor): tensor for tensor in shared_tensors})


def merge_adapters(network: nn.Module) -> nn.Module:
    """Return a plain network with the active adapters in its weights; it shares its other tensors with `network`.

    Raise GenloomError if its outputs for a fixed input differ from the adapted network's by more than TOLERANCE of the
    largest.
    """
    merged_network = copy_sharing_tensors(network)
    for path, part in list(merged_network.named_modules()):
        if isinstance(part, LoRALinear):
            merged_network.set_submodule(path, part.build_merged_linear())
    unfreeze_parameters(merged_network)
    difference, limit = measure_drift(network, merged_network), get_tolerance(next(merged_network.parameters()).dtype)
    if not difference <= limit:
        raise GenloomError("networks.merge_differs", difference=difference, limit=limit)
    return merged_network


def get_tolerance(dtype: torch.dtype) -> float:
    return TOLERANCE if dtype == torch.float32 else TOLERANCE_16BIT


@torch.no_grad()
def measure_drift(reference: nn.Module, candidate: nn.Module) -> float:
    """Return the largest difference of two networks' outputs for a fixed input, relative to the largest output."""
    spec = next(part.spec for part in reference.modules() if isinstance(part, SpecifiedNetwork))
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
