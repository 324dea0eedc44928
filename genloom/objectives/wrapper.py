"""The base of objectives that train the networks of another objective with another loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Condition, NetworkSpec, Objective, Parts, Phase


@dataclass(frozen=True)
class ObjectiveWrapper:
    """The networks, phases and sampler of `base`; subclasses add the loss."""

    base: Objective[Batch]

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.base.phases

    @property
    def network_specs(self) -> dict[str, NetworkSpec]:
        return self.base.network_specs

    def sample(self, parts: Parts, count: int, cond: Condition | None, noise: Noise, params: Any) -> Iterator[Tensor]:
        return self.base.sample(parts, count, cond, noise, params)
