"""Muon for the matrices inside a network, AdamW for its tables, ends and vectors.

Shape letters: S matrices of one shape, R rows, C columns.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Rates:
    """Learning rates at full schedule; `family` says which rule updates the matrices."""

    family: str = "muon"  # or "adamw" for all
    matrix: float = 0.02
    table: float = 0.03  # embeddings and tied heads
    vector: float = 0.005  # gains, biases, first and last layers
    adapter: float = 5e-4  # the two factors of low-rank adapters; always by AdamW
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.95
    decay: float = 0.0  # decoupled weight decay of matrices, times the rate


def kinds(module: nn.Module) -> dict[str, str]:
    """For every parameter by name: `matrix`, `table`, `vector`, or what its module calls its `kind`."""
    found, seen = {}, set()
    for path, part in module.named_modules():
        for name, p in part.named_parameters(recurse=False):
            if id(p) in seen:
                continue
            seen.add(id(p))
            full = f"{path}.{name}" if path else name
            at_an_end = path.rsplit(".", 1)[-1] in ("head", "enter")
            if isinstance(kind := getattr(part, "kind", None), str):
                found[full] = kind
            elif isinstance(part, nn.Embedding):
                found[full] = "table"
            else:
                found[full] = "matrix" if p.ndim >= 2 and not at_an_end else "vector"
    return found


class Optimizer:
    """Both rules over the named parameters of one turn. Its state is a flat dict of tensors, as checkpoints want it."""

    def __init__(
        self,
        params: Mapping[str, nn.Parameter],
        kind_of: Mapping[str, str],
        rates: Rates,
        dtype: torch.dtype = torch.float32,  # of the products in Muon
    ):
        if rates.family not in ("muon", "adamw"):
            raise ValueError(f"Unknown optimizer family {rates.family!r}: choose muon or adamw.")
        self.params, self.rates, self.dtype = dict(params), rates, dtype
        by_muon = {n: p for n, p in params.items() if kind_of[n] == "matrix" and rates.family == "muon"}
        self.momenta = {n: torch.zeros_like(p) for n, p in by_muon.items()}
        shapes = defaultdict(list)
        for n, p in by_muon.items():
            shapes[tuple(p.shape)].append(n)
        self.stacks = list(shapes.values())
        rate_of = {kind: getattr(rates, kind) for kind in ("matrix", "table", "vector", "adapter")}
        self.adam_names = [n for n in params if n not in by_muon]
        groups = [
            {
                "params": [p],
                "lr": rate_of[kind_of[n]],
                "full": rate_of[kind_of[n]],
                "weight_decay": rates.decay * (kind_of[n] == "matrix"),
            }
            for n, p in params.items()
            if n not in by_muon
        ]
        self.adam = torch.optim.AdamW(merged(groups), betas=rates.betas, eps=1e-10, fused=True) if groups else None

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Update every parameter that has a gradient, at `scale` times the full rates."""
        for names in self.stacks:
            names = [n for n in names if self.params[n].grad is not None]
            if names:
                self.muon([self.params[n] for n in names], [self.momenta[n] for n in names], scale)
        if self.adam is not None:
            for group in self.adam.param_groups:
                group["lr"] = group["full"] * scale
            self.adam.step()

    def muon(self, params: list[Tensor], momenta: list[Tensor], scale: float) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        m = self.rates.momentum
        torch._foreach_lerp_(momenta, grads, 1 - m)
        ahead = torch._foreach_lerp(grads, momenta, m)  # Nesterov
        update_SRC = orthogonalised(torch.stack(ahead).flatten(2), self.dtype)
        R, C = update_SRC.shape[1:]
        rate = self.rates.matrix * scale
        if self.rates.decay:
            torch._foreach_mul_(params, 1 - rate * self.rates.decay)
        steps = [u.view_as(p) for u, p in zip(update_SRC.to(params[0].dtype).unbind(), params, strict=True)]
        torch._foreach_add_(params, steps, alpha=-rate * max(1, R / C) ** 0.5)

    def zero(self) -> None:
        for p in self.params.values():
            p.grad = None

    def state(self) -> dict[str, Tensor]:
        flat = {f"{n}/momentum": m for n, m in self.momenta.items()}
        if self.adam is not None:
            ordered = [p for group in self.adam.param_groups for p in group["params"]]
            names = {id(p): n for n, p in self.params.items()}
            for p in ordered:
                flat |= {f"{names[id(p)]}/{key}": value for key, value in self.adam.state.get(p, {}).items()}
        return flat

    def load(self, flat: Mapping[str, Tensor]) -> None:
        for n, m in self.momenta.items():
            m.copy_(flat[f"{n}/momentum"])
        if self.adam is None:
            return
        self.adam.state.clear()  # a parameter that never had a gradient has no state
        for n in self.adam_names:
            found = {key: flat[f"{n}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{n}/{key}" in flat}
            if found:
                place = self.params[n].device
                self.adam.state[self.params[n]] = {key: t.to(place, copy=True) for key, t in found.items()}


def merged(groups: list[dict]) -> list[dict]:
    """Groups with equal rates made one, so that the fused step runs over long lists."""
    joined: dict[tuple, dict] = {}
    for group in groups:
        key = (group["full"], group["weight_decay"])
        if key in joined:
            joined[key]["params"] += group["params"]
        else:
            joined[key] = group
    return list(joined.values())


def orthogonalised(x_SRC: Tensor, dtype: torch.dtype = torch.float32, rounds: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly: Newton and Schulz's iteration, Muon's quintic (Jordan et al. 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = x_SRC.shape[1] <= x_SRC.shape[2]
    x = x_SRC if wide else x_SRC.mT
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT
