"""Muon for the hidden matrices of a network; AdamW for embeddings, first and last layers, and vectors.

Shape letters: S matrices of one shape, R rows, C columns.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from genloom.capabilities import ParameterGroup
from genloom.errors import GenloomError
from genloom.train.parallel.strategy import ONE_PROCESS, Parallel, get_local

LEARNING_RATES = ("lr_matrix", "lr_embedding", "lr_vector", "lr_adapter")


@dataclass(frozen=True)
class OptimizerConfig:
    """Peak learning rates by kind of parameter; `family` chooses the optimizer of the matrices."""

    family: str = "muon"  # or "adamw" for everything
    lr_matrix: float = 0.02
    lr_embedding: float = 0.03  # embeddings and tied heads
    lr_vector: float = 0.005  # gains, biases, first and last layers
    lr_adapter: float = 5e-4  # both factors of low-rank adapters; always AdamW
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.95
    weight_decay: float = 0.0  # decoupled, of matrices, times the learning rate


def classify_parameters(module: nn.Module) -> dict[str, str]:
    """Return the kind of every parameter by name: `matrix`, `embedding`, `vector`, or its module's `kind`."""
    kind_by_name, seen_ids = {}, set()
    for path, part in module.named_modules():
        for name, p in part.named_parameters(recurse=False):
            if id(p) in seen_ids:
                continue
            seen_ids.add(id(p))
            full_name = f"{path}.{name}" if path else name
            is_first_or_last = path.rsplit(".", 1)[-1] in ("head", "in_proj")
            if isinstance(part, ParameterGroup):
                kind_by_name[full_name] = part.kind
            elif isinstance(part, nn.Embedding):
                kind_by_name[full_name] = "embedding"
            else:
                kind_by_name[full_name] = "matrix" if p.ndim >= 2 and not is_first_or_last else "vector"
    return kind_by_name


class Optimizer:
    """Muon and AdamW over the named parameters of one phase; its state is a flat dict of tensors, for checkpoints."""

    def __init__(
        self,
        params: Mapping[str, nn.Parameter],
        kind_by_name: Mapping[str, str],
        config: OptimizerConfig,
        dtype: torch.dtype = torch.float32,  # of the matrix products in Muon
        parallel: Parallel = ONE_PROCESS,
    ):
        if config.family not in ("muon", "adamw"):
            raise GenloomError("train.unknown_optimizer", value=config.family)
        self.params, self.config, self.dtype, self.parallel = dict(params), config, dtype, parallel
        muon_params = {n: p for n, p in params.items() if kind_by_name[n] == "matrix" and config.family == "muon"}
        self.momenta = {n: torch.zeros_like(p) for n, p in muon_params.items()}
        shapes = defaultdict(list)
        for n, p in muon_params.items():
            shapes[tuple(p.shape)].append(n)
        self.stacks = list(shapes.values())
        lr_by_kind = {kind: getattr(config, f"lr_{kind}") for kind in ("matrix", "embedding", "vector", "adapter")}
        self.adam_names = [n for n in params if n not in muon_params]
        groups = [
            {
                "params": [p],
                "lr": lr_by_kind[kind_by_name[n]],
                "base_lr": lr_by_kind[kind_by_name[n]],
                "weight_decay": config.weight_decay * (kind_by_name[n] == "matrix"),
            }
            for n, p in params.items()
            if n not in muon_params
        ]
        self.adam = (
            torch.optim.AdamW(merge_groups(groups), betas=config.betas, eps=1e-10, fused=True) if groups else None
        )

    @torch.no_grad()
    def step(self, lr_scale: float) -> None:
        """Update every parameter that has a gradient, at `lr_scale` times the peak learning rates."""
        for names in self.stacks:
            names = [n for n in names if self.params[n].grad is not None]
            if names:
                self.muon_step([self.params[n] for n in names], [self.momenta[n] for n in names], lr_scale)
        if self.adam is not None:
            for group in self.adam.param_groups:
                group["lr"] = group["base_lr"] * lr_scale
            self.adam.step()

    def muon_step(self, params: list[Tensor], momenta: list[Tensor], lr_scale: float) -> None:
        shape, grads = tuple(params[0].shape), get_local([p.grad for p in params if p.grad is not None])
        params, momenta, m = get_local(params), get_local(momenta), self.config.momentum
        torch._foreach_lerp_(momenta, grads, 1 - m)
        nesterov = torch._foreach_lerp(grads, momenta, m)  # Nesterov
        updates = self.parallel.map_matrices(nesterov, shape, partial(orthogonalize_matrices, dtype=self.dtype))
        R, C = shape[0], prod(shape[1:])
        lr = self.config.lr_matrix * lr_scale
        if self.config.weight_decay:
            torch._foreach_mul_(params, 1 - lr * self.config.weight_decay)
        updates = [u.to(p.dtype).view_as(p) for u, p in zip(updates, params, strict=True)]
        torch._foreach_add_(params, updates, alpha=-lr * max(1, R / C) ** 0.5)

    def zero_grad(self) -> None:
        for p in self.params.values():
            p.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        tensors = {f"{n}/momentum": m for n, m in self.momenta.items()}
        if self.adam is not None:
            adam_params = [p for group in self.adam.param_groups for p in group["params"]]
            names = {id(p): n for n, p in self.params.items()}
            for p in adam_params:
                tensors |= {f"{names[id(p)]}/{key}": value for key, value in self.adam.state.get(p, {}).items()}
        return tensors

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        for n, m in self.momenta.items():
            m.copy_(tensors[f"{n}/momentum"])
        if self.adam is None:
            return
        self.adam.state.clear()  # a parameter that never had a gradient has no state
        for n in self.adam_names:
            param_state = {
                key: tensors[f"{n}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{n}/{key}" in tensors
            }
            if param_state:
                device = self.params[n].device
                self.adam.state[self.params[n]] = {key: t.to(device, copy=True) for key, t in param_state.items()}


def merge_groups(groups: list[dict]) -> list[dict]:
    """Merge parameter groups with equal settings, so that the fused step runs over long lists."""
    groups_by_key: dict[tuple, dict] = {}
    for group in groups:
        # torch updates shares of tensors and whole ones in different calls
        key = (group["base_lr"], group["weight_decay"], type(group["params"][0].data))
        if key in groups_by_key:
            groups_by_key[key]["params"] += group["params"]
        else:
            groups_by_key[key] = group
    return list(groups_by_key.values())


def orthogonalize_matrices(x_SRC: Tensor, dtype: torch.dtype = torch.float32, num_iterations: int = 5) -> Tensor:
    """Approximate the nearest semi-orthogonal matrices by a quintic Newton–Schulz iteration (Jordan et al. 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    is_wide = x_SRC.shape[1] <= x_SRC.shape[2]
    x = x_SRC if is_wide else x_SRC.mT
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if is_wide else x.mT
