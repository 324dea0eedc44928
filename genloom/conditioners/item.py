"""A reference value of a medium as a condition: an image to vary, a melody to follow.

The network reads the features that values of the medium are compared in, standardised, and a flag that there is a
reference. In training, each item is its own reference: the features leave out what does not count, as in Ramesh et al.
2022 ("unCLIP").
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genloom import plugins
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.media.opening import open_limited
from genloom.types import Condition, ConditionSpec, Item

MAX_FITTED_ITEMS = 2000  # for mean and deviation


@dataclass(frozen=True)
class Config:
    medium: str = ""  # of the reference; "": that of the model
    features: str = ""  # a module of evaluate/features; "": that of the medium
    mean: tuple[float, ...] = ()  # of each feature in the training data
    std: tuple[float, ...] = ()


def fit(items: Iterable[Item], config: Config) -> Config:
    """Return the configuration with mean and deviation of the features of the first training items."""
    if config.mean:
        return config
    features_NF = np.asarray(load_extractor(config)(item.value for item in islice(items, MAX_FITTED_ITEMS)))
    std_F = features_NF.std(0)
    std_F = np.where(std_F > 1e-6 * max(float(std_F.max(initial=0.0)), 1e-30), std_F, 1.0)
    return replace(
        config,
        features=find_features(config),
        mean=tuple(features_NF.mean(0).astype(float).tolist()),
        std=tuple(std_F.astype(float).tolist()),
    )


def find_features(config: Config) -> str:
    """Return the name of the features. Raise ValueError if the medium has none."""
    medium = plugins.find_part("medium", config.medium)
    if not (name := config.features or get_ability(medium, "feature_extractor")):
        raise GenloomError("conditioners.no_features", medium=config.medium)
    return name


def load_extractor(config: Config) -> Callable[[Iterator[Any]], np.ndarray]:
    return _load_extractor(find_features(config))


@lru_cache(maxsize=2)
def _load_extractor(features: str) -> Any:
    return plugins.find_part("features", features).build_extractor()


def build(config: Config) -> "ItemConditioner":
    if not config.mean:
        raise GenloomError("conditioners.not_fitted", column=config.medium)
    return ItemConditioner(config)


@dataclass(frozen=True)
class ItemConditioner:
    """Values are values of the medium."""

    config: Config

    @property
    def medium(self) -> Any:
        return plugins.find_part("medium", self.config.medium)

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(vector=len(self.config.mean) + 1)

    def get_value(self, item: Item) -> Any:
        return item.value

    def encode(self, values: Sequence[Any]) -> Condition:
        vector_BD = np.zeros((len(values), self.spec.vector), np.float32)
        rows = [row for row, value in enumerate(values) if value is not None]
        if rows:
            features_NF = np.asarray(load_extractor(self.config)(values[row] for row in rows))
            vector_BD[rows, :-1] = (features_NF - np.array(self.config.mean)) / np.array(self.config.std)
            vector_BD[rows, -1] = 1
        return Condition(vector=torch.from_numpy(vector_BD))

    def parse(self, text: str) -> Any:
        """Open a file of the medium."""
        try:
            return open_limited(self.medium.open, Path(text)).value
        except (OSError, ValueError) as error:
            raise GenloomError("conditioners.unreadable_item", path=text, reason=error) from None

    def format(self, value: Any) -> str:
        return f"{self.config.medium} {hashlib.sha256(self.medium.encode(value)).hexdigest()[:16]}"

    def pack(self, value: Any, save_blob: Callable[[bytes, str], str]) -> str:
        return save_blob(self.medium.encode(value), ".bin")

    def unpack(self, stored: str, load_blob: Callable[[str], bytes]) -> Any:
        return self.medium.decode(load_blob(stored))
