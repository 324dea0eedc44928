"""A judge that names the kind of a sound, trained on sounds of the recipe, with its accuracy on others.

Shape letters: N sounds, D features, K kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genloom.evaluate.features import mel_statistics
from genloom.media.audio.sound import Sound
from recipes.sounds.kinds import KINDS
from recipes.sounds.scenes import build_scene

NAMES = tuple(KINDS)
TRAIN_SEED, TEST_SEED = 101, 102  # of which no model has seen a sound
STEPS, WIDTH, NOISE = 400, 128, 0.15  # of the training; the noise stands for the errors of a model


@dataclass(frozen=True)
class Judge:
    """A small network on the features of sounds."""

    network: nn.Module
    mean_D: Tensor
    std_D: Tensor
    accuracy: float  # on sounds of the recipe that it was not trained on

    @torch.inference_mode()
    def name_kinds(self, sounds: Sequence[Sound]) -> list[str]:
        """Return the kind of each sound."""
        features_ND = (compute_features(sounds) - self.mean_D) / self.std_D
        return [NAMES[index] for index in self.network(features_ND).argmax(1).tolist()]


def train_judge(count: int = 60, num_test: int = 15) -> Judge:
    """Train on so many sounds of each kind; it takes a minute."""
    features_ND, kinds_N = collect_features(TRAIN_SEED, count)
    mean_D, std_D = features_ND.mean(0), features_ND.std(0).clamp(min=1e-3)
    x_ND = (features_ND - mean_D) / std_D
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(x_ND.shape[1], WIDTH), nn.GELU(), nn.Linear(WIDTH, len(NAMES)))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05)
    for _ in range(STEPS):
        noisy_ND = x_ND + NOISE * torch.randn(x_ND.shape, generator=generator)
        loss = F.cross_entropy(network(noisy_ND), kinds_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    test_ND, test_kinds_N = collect_features(TEST_SEED, num_test)
    with torch.inference_mode():
        right_N = network.eval()((test_ND - mean_D) / std_D).argmax(1) == test_kinds_N
    return Judge(network, mean_D, std_D, float(right_N.float().mean()))


def collect_features(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the features and the kinds of `count` sounds of each kind."""
    sounds = [build_scene(seed, number, name).sound for name in NAMES for number in range(count)]
    return compute_features(sounds), torch.arange(len(NAMES)).repeat_interleave(count)


def compute_features(sounds: Sequence[Sound]) -> Tensor:
    rows = [
        np.concatenate([mel_statistics.compute_features(sound), mel_statistics.compute_coarse_embedding(sound)])
        for sound in sounds
    ]
    return torch.from_numpy(np.stack(rows))
