"""Toy worlds that a model learns in seconds: two kinds of samples.

Sequences are `bos` and then only zeros or only ones; signals are near -1 or near +1 on their first channel.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom import plugins
from genloom.capabilities import CountingNetwork
from genloom.noise import Noise
from genloom.objectives.adversarial import Adversarial
from genloom.objectives.autoregressive import Autoregressive
from genloom.objectives.flow import Flow
from genloom.objectives.masked import Masked
from genloom.objectives.shortcut import Shortcut
from genloom.objectives.vae_gan import VaeGan
from genloom.objectives.variational import Variational
from genloom.testing import assert_close
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, Condition, ConditionSpec, Objective, SignalSpace, Space, TokenSpace

torch.set_num_threads(1)

TOKENS, VECTOR, SERIES = TokenSpace(vocab_size=4, context_length=7, bos=3, eos=2), SignalSpace(2), SignalSpace(1, (4,))
PICTURE, CODES = SignalSpace(1, (4, 4)), replace(TOKENS, grid=(2, 3))
WAVE, CLIP = SignalSpace(1, (8,)), SignalSpace(1, (2, 2, 4))

SIZES: dict[str, dict[str, Any]] = {
    "transformer": {"width": 32, "depth": 2, "heads": 2},
    "bert": {"width": 32, "depth": 2, "heads": 2},
    "recurrent": {"width": 48, "depth": 1},
    "dense": {"width": 64},
    "spectral": {"width": 32, "depth": 1, "window": 4, "kernel": 3},
    "ngram": {"order": 3, "num_folds": 2},
    "convolution": {"width": 8, "up_blocks": 1},
    "dit": {"width": 16, "depth": 2, "head_width": 8},
    "unet": {
        "width": 16,
        "channel_mult": (1,),
        "num_res_blocks": 1,
        "attention_max_positions": 0,
        "head_width": 8,
        "norm_groups": 4,
    },
}


@dataclass(frozen=True)
class Toy:
    objective: Objective[Batch]
    network: str
    plan: TrainConfig = field(default_factory=lambda: TrainConfig(steps=100))

    @property
    def space(self) -> Space:
        return self.objective.space  # ty: ignore[missing-attribute]  # all these objectives have one

    @property
    def cond(self) -> ConditionSpec:
        return self.objective.condition  # ty: ignore[missing-attribute]


SLOW = TrainConfig(steps=400, ema_decay=0.95)
CRISP = TrainConfig(steps=150, ema_decay=0.9)
# Step sizes 1, 1/2 and 1/4. Guidance would only exaggerate these worlds.
JUMPS: dict[str, Any] = {"guidance_scale": 1.0, "num_levels": 3, "flow_fraction": 0.5}
# Orthogonal updates make a GAN unstable.
GAN = TrainConfig(
    steps=600,
    ema_decay=0.98,
    optimizer=OptimizerConfig(family="adamw", lr_matrix=3e-3, lr_embedding=3e-3, lr_vector=3e-3),
)
PICTURE_GAN = TrainConfig(
    steps=300, ema_decay=0.97, optimizer=OptimizerConfig("adamw", 6e-3, 6e-3, 6e-3, betas=(0.5, 0.99))
)

TOYS = {
    "autoregressive-transformer": Toy(Autoregressive(TOKENS), "transformer"),
    "autoregressive-recurrent": Toy(Autoregressive(TOKENS), "recurrent"),
    "autoregressive-ngram": Toy(Autoregressive(TOKENS), "ngram"),
    "masked-transformer": Toy(Masked(TOKENS), "transformer", TrainConfig(steps=150)),
    "masked-bert": Toy(Masked(TOKENS), "bert", TrainConfig(steps=150)),
    "flow-dense": Toy(Flow(VECTOR), "dense", SLOW),
    "flow-transformer": Toy(Flow(SERIES), "transformer", TrainConfig(steps=200)),
    "flow-dit": Toy(Flow(SERIES), "dit", TrainConfig(steps=200)),
    "flow-unet": Toy(Flow(SERIES), "unet", TrainConfig(steps=200)),
    "shortcut-dense": Toy(Shortcut(VECTOR, **JUMPS), "dense", replace(SLOW, steps=800)),
    "shortcut-transformer": Toy(Shortcut(SERIES, **JUMPS), "transformer", SLOW),
    "shortcut-dit": Toy(Shortcut(SERIES, **JUMPS), "dit", SLOW),
    "shortcut-unet": Toy(Shortcut(SERIES, **JUMPS), "unet", TrainConfig(steps=200, ema_decay=0.95)),
    "variational-dense": Toy(Variational(VECTOR), "dense", SLOW),
    "variational-convolution": Toy(
        Variational(PICTURE, latent=1, decoder_std=0.3, laplacian_weight=0.1), "convolution", CRISP
    ),
    "adversarial-dense": Toy(Adversarial(VECTOR), "dense", GAN),
    "adversarial-convolution": Toy(Adversarial(PICTURE, r1_weight=1.0), "convolution", PICTURE_GAN),
    "vae_gan-dense": Toy(VaeGan(VECTOR, latent=2, feature_matching_weight=0.0), "dense", SLOW),
    "vae_gan-convolution": Toy(VaeGan(PICTURE, latent=2, decoder_std=0.3, beta=1.0), "convolution", CRISP),
}

# Signals of one and of three axes, with latents on grids.
GRIDS = {
    "variational-convolution-wave": Toy(
        Variational(WAVE, latent=1, downsampling=(4,), decoder_std=0.3, laplacian_weight=0.1), "convolution", CRISP
    ),
    "variational-convolution-clip": Toy(
        Variational(CLIP, latent=1, downsampling=(2, 2, 4), decoder_std=0.3, laplacian_weight=0.1), "convolution", CRISP
    ),
    "variational-spectral-wave": Toy(
        Variational(WAVE, latent=2, downsampling=(4,), decoder_std=0.3), "spectral", CRISP
    ),
    "adversarial-convolution-wave": Toy(Adversarial(WAVE, r1_weight=1.0), "convolution", PICTURE_GAN),
    "adversarial-convolution-clip": Toy(Adversarial(CLIP, r1_weight=1.0), "convolution", PICTURE_GAN),
    "vae_gan-convolution-wave": Toy(VaeGan(WAVE, latent=2, decoder_std=0.3, beta=1.0), "convolution", CRISP),
    "vae_gan-convolution-clip": Toy(VaeGan(CLIP, latent=2, decoder_std=0.3, beta=1.0), "convolution", CRISP),
    "flow-unet-clip": Toy(Flow(CLIP), "unet", TrainConfig(steps=200)),
    "flow-dit-clip": Toy(Flow(CLIP), "dit", TrainConfig(steps=500)),
}

CONDITIONAL = {
    "autoregressive-transformer-vector": Toy(Autoregressive(TOKENS, ConditionSpec(vector=2)), "transformer"),
    "autoregressive-transformer-tokens": Toy(Autoregressive(TOKENS, ConditionSpec(tokens=2)), "transformer"),
    "autoregressive-recurrent-vector": Toy(Autoregressive(TOKENS, ConditionSpec(vector=2)), "recurrent"),
    "autoregressive-ngram-vector": Toy(Autoregressive(TOKENS, ConditionSpec(vector=2)), "ngram"),
    "masked-transformer-vector": Toy(Masked(TOKENS, ConditionSpec(vector=2)), "transformer", TrainConfig(steps=150)),
    "masked-transformer-tokens": Toy(Masked(TOKENS, ConditionSpec(tokens=2)), "transformer", TrainConfig(steps=150)),
    "masked-transformer-grid": Toy(Masked(CODES, ConditionSpec(tokens=2)), "transformer", TrainConfig(steps=150)),
    "autoregressive-transformer-grid": Toy(Autoregressive(CODES, ConditionSpec(tokens=2)), "transformer"),
    "flow-dense-vector": Toy(Flow(VECTOR, ConditionSpec(vector=2)), "dense", SLOW),
    "flow-dense-field": Toy(Flow(VECTOR, ConditionSpec(field=1)), "dense", SLOW),
    "flow-transformer-tokens": Toy(Flow(SERIES, ConditionSpec(tokens=2)), "transformer", TrainConfig(steps=200)),
    "flow-transformer-vector": Toy(Flow(SERIES, ConditionSpec(vector=2)), "transformer", TrainConfig(steps=200)),
    "flow-transformer-field": Toy(Flow(SERIES, ConditionSpec(field=1)), "transformer", TrainConfig(steps=200)),
    "flow-dit-tokens": Toy(Flow(SERIES, ConditionSpec(tokens=2)), "dit", TrainConfig(steps=200)),
    "flow-unet-tokens": Toy(Flow(SERIES, ConditionSpec(tokens=2)), "unet", TrainConfig(steps=200)),
    "shortcut-dense-vector": Toy(Shortcut(VECTOR, ConditionSpec(vector=2), **JUMPS), "dense", SLOW),
    "shortcut-dit-tokens": Toy(Shortcut(SERIES, ConditionSpec(tokens=2), **JUMPS), "dit", TrainConfig(steps=200)),
    "variational-dense-vector": Toy(Variational(VECTOR, condition=ConditionSpec(vector=2)), "dense", SLOW),
    "variational-convolution-tokens": Toy(
        Variational(PICTURE, decoder_std=0.3, condition=ConditionSpec(tokens=2)), "convolution", CRISP
    ),
    "adversarial-dense-vector": Toy(Adversarial(VECTOR, condition=ConditionSpec(vector=2)), "dense", GAN),
    "adversarial-convolution-vector": Toy(
        Adversarial(PICTURE, r1_weight=1.0, condition=ConditionSpec(vector=2)), "convolution", PICTURE_GAN
    ),
    "vae_gan-convolution-vector": Toy(
        VaeGan(PICTURE, latent=2, decoder_std=0.3, beta=1.0, condition=ConditionSpec(vector=2)), "convolution", CRISP
    ),
}


# What takes longest to train; a quicker network or fewer axes show the same objective.
COSTLY = {
    "shortcut-transformer", "shortcut-dit", "shortcut-unet", "vae_gan-dense", "adversarial-convolution",
    "adversarial-convolution-clip", "flow-dit-clip", "vae_gan-convolution-clip", "flow-unet-clip",
    "adversarial-convolution-wave", "vae_gan-convolution-wave",
    "adversarial-dense-vector", "shortcut-dit-tokens", "flow-unet-tokens", "flow-dit-tokens", "flow-transformer-vector",
    "flow-transformer-field", "masked-transformer-tokens", "masked-transformer-grid", "autoregressive-transformer-grid",
}  # fmt: skip

COSTLY_PAIRS = {
    "flow-unet",
    "flow-dit",
    "variational-convolution",
}  # other networks of theirs stay among the fast tests


def mark_costly(names: Iterable[str]) -> list[Any]:
    """Return names for parametrization, with those that take longest among the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in COSTLY else name for name in names]


# Names of toys: a test with an argument of the family's name runs for each (conftest.py).
FAMILIES = {
    "plain_toy": list(TOYS),
    "conditional_toy": list(CONDITIONAL),
    "grid_toy": list(GRIDS),
    "learning_conditional_toy": mark_costly(CONDITIONAL),
    "learning_toy": mark_costly(TOYS),
    "learning_grid_toy": mark_costly(GRIDS),
    "any_toy": [*TOYS, *GRIDS, *CONDITIONAL],
    "likelihood_toy": [
        pytest.param(name, marks=pytest.mark.slow) if name in COSTLY_PAIRS else name
        for name, toy in TOYS.items()
        if not isinstance(toy.objective, Adversarial | VaeGan | Shortcut)
    ],
    "token_toy": [name for name, toy in TOYS.items() if toy.space == TOKENS],
    "causal_toy": [name for name, toy in TOYS.items() if isinstance(toy.objective, Autoregressive)],
    "causal_network": [toy.network for toy in TOYS.values() if isinstance(toy.objective, Autoregressive)],
}


def get_toy(name: str) -> Toy:
    return (TOYS | GRIDS | CONDITIONAL)[name]


def sample_world(space: Space, count: int, seed: int, kinds: Tensor | None = None) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    if kinds is None:
        kinds = torch.randint(2, (count,), generator=rng)
    if isinstance(space, TokenSpace):
        return torch.cat([torch.full((count, 1), space.bos), kinds[:, None].repeat(1, space.context_length - 1)], 1)
    x = 0.1 * torch.randn(count, space.channels, *space.size, generator=rng)
    x[:, 0] += (2.0 * kinds - 1).view(-1, *[1] * len(space.size))
    return x


def classify(space: Space, x: Tensor) -> Tensor:
    """Return True for samples of the second kind."""
    if isinstance(space, TokenSpace):
        return (x == 1).float().mean(1) > 0.5
    return x[:, 0].flatten(1).mean(1) > 0 if x[:, 0].ndim > 1 else x[:, 0] > 0


def second_kind_share(space: Space, x: Tensor) -> float:
    return classify(space, x).float().mean().item()


def valid_share(space: Space, x: Tensor) -> float:
    if isinstance(space, TokenSpace):
        return ((x == 0).all(1) | (x == 1).all(1)).float().mean().item()
    near = (x[:, 0].abs() - 1).abs().flatten() < 0.4
    is_positive = (x[:, 0] > 0).view(len(x), -1)
    return (near.view(len(x), -1).all(1) & (is_positive.all(1) | ~is_positive.any(1))).float().mean().item()


def build_condition(cond: ConditionSpec, space: Space, kinds: Tensor) -> Condition | None:
    """Build the condition that gives the kind of every row, in the form that `cond` specifies."""
    one_hot = torch.nn.functional.one_hot(kinds, 2).float()
    if cond.vector:
        return Condition(vector=one_hot)
    if cond.tokens:  # one valid state, and a masked one that is wrong
        states = torch.stack([one_hot, 1 - one_hot], 1)
        return Condition(states, mask=torch.tensor([[True, False]]).expand(len(kinds), 2))
    if cond.field:
        assert isinstance(space, SignalSpace)
        grid = (2.0 * kinds - 1).view(-1, *[1] * (1 + len(space.size)))
        return Condition(field=grid.expand(len(kinds), 1, *space.size).contiguous())
    return None


def build_networks(toy: Toy, seed: int = 0) -> nn.ModuleDict:
    torch.manual_seed(seed)
    network = plugins.find_part("network", toy.network)
    settings = dict(SIZES[toy.network])
    if toy.network == "ngram":
        settings["base"] = plugins.find_part("network", "transformer").Config(**SIZES["transformer"])
    parts = nn.ModuleDict(
        {name: network.build(role, network.Config(**settings)) for name, role in toy.objective.network_specs.items()}
    )
    for part in parts.values():
        if isinstance(part, CountingNetwork):
            part.fit(build_stream())
    return parts


def build_stream() -> np.ndarray:
    """Return a token stream of many documents, balanced in every part."""
    return sample_world(TOKENS, 64, 0, torch.arange(64) % 2).flatten().numpy()


def build_batches(toy: Toy, batch_size: int = 48):
    """Return a function from step to batch. In conditional toys, one row in five drops its condition, for guidance.

    GANs keep all conditions: they have no guidance, and rows without a condition would be a third kind.
    """
    keep = 1.0 if isinstance(toy.objective, Adversarial) else 0.8

    def batch_at(step: int) -> Batch:
        rng = torch.Generator().manual_seed(step)
        kinds = torch.randint(2, (batch_size,), generator=rng)
        cond = build_condition(toy.cond, toy.space, kinds)
        if cond is not None:
            cond = cond.mask_rows(torch.rand(batch_size, generator=rng) < keep)
        return Batch(sample_world(toy.space, batch_size, step, kinds), cond)

    return batch_at


def train_parts(
    toy: Toy, batch_at: Any, plan: TrainConfig, parts: nn.ModuleDict, objective: Any = None
) -> nn.ModuleDict:
    """Train the parts and return them ready to sample."""
    state = TrainState.from_parts(parts, objective or toy.objective, plan)
    for _ in train(objective or toy.objective, batch_at, plan, state):
        pass
    return state.eval_parts.eval()


@lru_cache(maxsize=64)
def train_toy(name: str) -> nn.ModuleDict:
    toy = get_toy(name)
    return train_parts(toy, build_batches(toy), toy.plan, build_networks(toy))


def copy_trained(name: str) -> nn.ModuleDict:
    """Return a copy of the trained parts for further training."""
    return deepcopy(train_toy(name)).requires_grad_(True).train()


def build_params(params_class: Any, settings: dict[str, Any]) -> Any:
    """Return sampling parameters; settings that are not among them are the inputs of the sampler."""
    names = {f.name for f in fields(params_class)}
    params = params_class(**{name: value for name, value in settings.items() if name in names})
    inputs = {name: value for name, value in settings.items() if name not in names}
    return replace(params, inputs=replace(params.inputs, **inputs)) if inputs else params


def sample(toy: Toy, parts: Any, count: int = 200, cond: Condition | None = None, **params: Any) -> Tensor:
    kind = plugins.find_part("objective", type(toy.objective).__module__.rpartition(".")[2]).SamplingParams
    noise = Noise(7, tuple(range(count)))
    *_, last = toy.objective.sample(dict(parts.items()), count, cond, noise, build_params(kind, params))
    return last


def check_gradient_accumulation(
    preference_objective: Objective, objective: Objective, parts: dict[str, nn.Module], batch: Any
) -> None:
    """Check that micro-batches change nothing in a step on 8 preferences of different weights."""
    batch = replace(batch, weight=torch.linspace(0.1, 1, 8))
    results = []
    for grad_accum_steps in (1, 3):
        state = TrainState.from_parts(nn.ModuleDict(deepcopy(parts)), objective, TrainConfig(steps=2, warmup=1))
        config = TrainConfig(steps=2, grad_accum_steps=grad_accum_steps)
        *_, last = train(preference_objective, lambda _: batch, config, state)
        results.append((last.losses, state.to_tensors()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-4)
    for name, tensor in results[0][1].items():
        assert_close(results[1][1][name], tensor, name)
