"""A GAN and a VAE whose latent has the grid of the data: their generators read the fields of conditions."""

import pytest
import torch

from genloom.networks import unet
from genloom.noise import Noise
from genloom.objectives.adversarial import Adversarial
from genloom.objectives.variational import Variational
from genloom.testing import check_objective, perturb_weights
from genloom.types import Batch, Condition, ConditionSpec, SignalSpace

SPACE, FIELD = SignalSpace(1, (4, 4)), ConditionSpec(vector=1, field=2)
SMALL = unet.Config(
    width=4, channel_mult=(1, 2), num_res_blocks=1, attention_max_positions=4, head_width=4, norm_groups=2
)
ON_GRID = {
    "gan": Adversarial(SPACE, condition=FIELD, is_on_grid=True),
    "vae": Variational(SPACE, latent=1, grid=SPACE.size, condition=FIELD),
}


def build_field(count: int, seed: int) -> Condition:
    field = torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Condition(vector=torch.ones(count, 1), field=field)


@pytest.mark.parametrize("name", ON_GRID)
def test_samples_follow_the_field(name: str) -> None:
    objective = ON_GRID[name]
    parts = {part: perturb_weights(unet.build(spec, SMALL)) for part, spec in objective.network_specs.items()}
    batch = Batch(torch.randn(4, 1, 4, 4), build_field(4, 0), weight=torch.rand(4))
    check_objective(objective, parts, batch, unreached=("critic.head.bias",))
    module = __import__(type(objective).__module__, fromlist=["SamplingParams"])
    one, same, other = (
        list(objective.sample(parts, 3, build_field(3, seed), Noise(0, (1, 2, 3)), module.SamplingParams()))[-1]
        for seed in (1, 1, 2)
    )
    assert one.shape == (3, 1, 4, 4)
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_other_latents_read_no_field() -> None:
    specs = Adversarial(SPACE, condition=FIELD).network_specs
    assert (specs["generator"].condition.field, specs["critic"].condition.field) == (0, 2)
    for grid in ((), (2, 2)):
        specs = Variational(SPACE, grid=grid, condition=FIELD).network_specs
        assert (specs["decoder"].condition.field, specs["encoder"].condition.field) == (0, 2)
