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
from genloom.types import Role, Tokens

TOLERANCE = 1e-4  # of merged outputs in float32, as a share of the largest; sums in another order differ by less
TOLERANCE_HALF = 0.05  # the same where the weights have 16 bits


@dataclass(frozen=True)
class Config:
    """LoRA (Hu et al. 2021, arXiv:2106.09685): W x + scale * B A x, where W stays as it is."""

    rank: int = 16
    alpha: float = 32.0  # scale = alpha / rank
    targets: tuple[str, ...] = ()  # q k v o gate up down, or what else the network has; (): every linear map inside it
    dropout: float = 0.0  # share of the features an adapter reads that is left out in training
    rank_stabilised: bool = False  # scale = alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023)
    decomposed: bool = False  # the length of each row of W is learned apart from its direction (DoRA, Liu et al. 2024)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"The rank of an adapter is 1 or more, got {self.rank}.")
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"The alpha of an adapter is above 0, got {self.alpha}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"The dropout of an adapter is a share from 0 to below 1, got {self.dropout}.")

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class Adapter(nn.Module):
    """A and B of every target that one linear map holds, stacked: all targets read x in one product."""

    kind = "adapter"  # the optimizer's rate and rule for A and B
    places: Tensor  # (rows of B, T): 1 where a row belongs to a target
    rows: Tensor  # of W, that the rows of B add to
    squares: Tensor  # of the lengths of the rows of W, O

    def __init__(self, name: str, number: int, config: Config, spans: dict[str, slice], linear: nn.Linear):
        super().__init__()
        self.name, self.number, self.config, self.spans, self.active = name, number, config, spans, True
        self.features, self.thin = linear.out_features, Dropout(config.dropout)
        sizes = [span.stop - span.start for span in spans.values()]
        like, T, count = linear.weight, len(spans), sum(sizes)
        self.A = nn.Parameter(like.new_empty(config.rank * T, linear.in_features))
        self.B = nn.Parameter(like.new_zeros(count, config.rank))
        self.gain = nn.Parameter(like.new_zeros(count)) if config.decomposed else None
        nn.init.kaiming_uniform_(self.A, a=5**0.5)
        places = torch.eye(T).repeat_interleave(torch.tensor(sizes), 0).to(like)
        rows = torch.cat([torch.arange(span.start, span.stop) for span in spans.values()]).to(like.device)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        if config.decomposed:
            self.register_buffer("squares", like.detach().square().sum(1).clamp(min=1e-12), persistent=False)

    def forward(self, x: Tensor, y: Tensor, base: Tensor, linear: nn.Linear) -> Tensor:
        """y with what the adapter adds to `base`, the linear map's own output for x."""
        narrow_NR, wide_OR = F.linear(self.thin(x), self.A).flatten(0, -2), self.wide()
        if self.gain is None:
            return torch.addmm(y.flatten(0, -2), narrow_NR, wide_OR.mT, alpha=self.config.scale).view_as(y)
        times_O = self.times(linear.weight)
        turned = base if linear.bias is None else base - linear.bias
        added = (narrow_NR @ wide_OR.mT).view_as(y) * self.config.scale
        return y + (times_O - 1) * turned + times_O * added

    def wide(self) -> Tensor:
        """B with the columns of its target's A and zeros in the others', O R: one product serves all targets."""
        return self.spread((self.B[:, None] * self.places[..., None]).flatten(1))

    def spread(self, rows: Tensor) -> Tensor:
        """Rows of B put where they belong in O; the others are zero."""
        if len(rows) == self.features:
            return rows
        return rows.new_zeros(self.features, *rows.shape[1:]).index_copy(0, self.rows, rows)

    def times(self, weight_OD: Tensor) -> Tensor:
        """DoRA's factor of each row: the learned length over that of W + scale B A, whose square needs no such matrix.

        |w + s b A|^2 = |w|^2 + 2 s (w A^T) b + s^2 b (A A^T) b; it gets no gradient (section 4.3).
        """
        assert self.gain is not None
        with torch.no_grad():
            wide_OR, scale = self.wide().float(), self.config.scale
            cross_O = ((weight_OD @ self.A.mT).float() * wide_OR).sum(1)
            square_O = ((wide_OR @ (self.A @ self.A.mT).float()) * wide_OR).sum(1)
            ratio_O = (1 + (2 * scale * cross_O + scale**2 * square_O) / self.squares.float()).clamp(min=1e-12).rsqrt()
        return ((1 + self.spread(self.gain).float()) * ratio_O).to(weight_OD.dtype)

    @torch.no_grad()
    def change(self, weight_OD: Tensor) -> Tensor:
        """What merging adds to the weight, O D."""
        added_OD = self.config.scale * self.wide() @ self.A
        if self.gain is None:
            return added_OD
        times_O1 = self.times(weight_OD)[:, None]
        return (times_O1 - 1) * weight_OD + times_O1 * added_OD


class Adapted(nn.Linear):
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
        for adapter in self.active():
            y = adapter(input, y, base, self)
        return y

    def each(self) -> list[Adapter]:
        return cast(list[Adapter], list(self.adapters))

    def active(self) -> list[Adapter]:
        return [adapter for adapter in self.each() if adapter.active]

    def merged(self) -> nn.Linear:
        plain = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        changes = [adapter.change(self.weight) for adapter in self.active()]
        plain.weight = nn.Parameter(torch.stack([self.weight, *changes]).sum(0) if changes else self.weight)
        plain.bias = None if self.bias is None else nn.Parameter(self.bias)
        return plain


class Tied(nn.Module):
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
    others = names(network)
    if name in others:
        raise ValueError(f"There is an adapter {name!r} already. Choose another name for this one.")
    places = targets(network)
    known = list(dict.fromkeys(target for spans in places.values() for target in spans))
    unknown = [target for target in config.targets if target not in known]
    if unknown or not known:
        raise ValueError(
            f"The network has no {unknown[0] if unknown else 'linear map'!r} to adapt. "
            f"It has: {', '.join(known) or 'none; adapt a transformer'}."
        )
    freeze(network)
    for path, spans in places.items():
        chosen = {target: span for target, span in spans.items() if target in (config.targets or known)}
        if chosen:
            linear = network.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            adapted = linear if isinstance(linear, Adapted) else Adapted(linear)
            adapted.adapters.append(Adapter(name, len(others), config, chosen, adapted))
            network.set_submodule(path, adapted.train(linear.training))


def targets(network: nn.Module) -> dict[str, dict[str, slice]]:
    """What can be adapted: for each linear map, by path, the rows of every target in it.

    Fused maps hold several, which the part they belong to `adapts`; any other map is one, known by its name. Maps at
    the ends are left out, and networks with recurrent layers have none.
    """
    if any(isinstance(part, nn.RNNBase) for part in network.modules()):
        return {}  # torch's recurrent layers keep a list of their weights that freezing does not reach
    found: dict[str, dict[str, slice]] = {}
    for path, part in network.named_modules():
        if adapts := getattr(part, "adapts", None):
            found |= {f"{path}.{name}": spans for name, spans in adapts().items()}
        elif isinstance(part, nn.Linear) and path not in found:
            *_, name = (word for word in path.split(".") if not word.isdigit())
            if name not in ("head", "enter"):
                found[path] = {name: slice(0, part.out_features)}
    return found


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
                network.set_submodule(path, Tied(owner))
                continue
            delattr(part, name)
            part.register_buffer(name, weight.detach(), persistent=False)
            part.__dict__.setdefault("frozen", []).append(name)


def thaw(network: nn.Module) -> None:
    """Make parameters of what `freeze` took."""
    for part in network.modules():
        for name in part.__dict__.pop("frozen", ()):
            weight = part.get_buffer(name)
            delattr(part, name)
            part.register_parameter(name, nn.Parameter(weight))
    for path, part in list(network.named_modules()):
        if isinstance(part, Tied):
            linear = nn.Linear(*part.weight.shape[::-1], bias=False, device="meta")
            linear.weight = part.owner[0].weight
            network.set_submodule(path, linear)


def adapters(network: nn.Module) -> Iterator[tuple[str, Adapted, Adapter]]:
    """Every adapter with its linear map and the map's path."""
    for path, part in network.named_modules():
        if isinstance(part, Adapted):
            yield from ((path, part, adapter) for adapter in part.each())


def names(network: nn.Module) -> list[str]:
    """The adapters that are attached, in the order in which they came."""
    return [name for _, name in sorted({(adapter.number, adapter.name) for _, _, adapter in adapters(network)})]


def switch(network: nn.Module, chosen: Sequence[str]) -> None:
    """Let these adapters act, summed, and no others; with none the network is its base. In place, at no cost."""
    known = names(network)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"There is no adapter {unknown[0]!r} here. There is: {', '.join(known) or 'none'}.")
    for _, _, adapter in adapters(network):
        adapter.active = adapter.name in chosen


def sharing(network: nn.Module) -> nn.Module:
    """A copy of the network that shares all its tensors, to be switched or merged by itself."""
    shared = [*network.parameters(), *network.buffers()]
    return deepcopy(network, {id(tensor): tensor for tensor in shared})


def merge(network: nn.Module) -> nn.Module:
    """A plain network with the active adapters in its weights; the rest of its tensors it shares with `network`.

    Raises ValueError where its outputs for a fixed input differ from the adapted network's by more than TOLERANCE of
    the largest.
    """
    plain = sharing(network)
    for path, part in list(plain.named_modules()):
        if isinstance(part, Adapted):
            plain.set_submodule(path, part.merged())
    thaw(plain)
    apart, bound = drift(network, plain), tolerance(next(plain.parameters()).dtype)
    if not apart <= bound:
        raise ValueError(
            f"The merged network is not the adapted one: outputs differ by {apart:.2g} of the largest, and {bound:g} "
            "is allowed. The adapter may hold numbers that are too large or not finite; train it again at a lower rate."
        )
    return plain


def tolerance(dtype: torch.dtype) -> float:
    return TOLERANCE if dtype == torch.float32 else TOLERANCE_HALF


@torch.no_grad()
def drift(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of two networks' outputs for a fixed input, as a share of the largest output."""
    role = next(cast(Role, part.role) for part in one.modules() if hasattr(part, "role"))
    weight = next(one.parameters())
    if isinstance(role.takes, Tokens):
        count = 2 * min(role.takes.length, 32)
        x = (torch.arange(count, device=weight.device) * 7919 % role.takes.vocab).view(2, -1)
    else:
        shape = (2, role.takes.channels, *role.takes.size)
        x = torch.arange(math.prod(shape), device=weight.device).sin().to(weight.dtype).view(shape)
    t = torch.full((2,), 0.5, device=weight.device) if role.timed else None
    first, second = (sharing(network).eval()(x, t).float() for network in (one, other))
    return ((first - second).abs().max() / first.abs().max().clamp(min=1e-12)).item()
