"""A small detector that says which known things a picture shows, where, and in which colour.

It finds the centres of things as peaks of one map a noun (Zhou et al. 2019, "Objects as points"), a quarter as fine as
the picture. Shape letters: B pictures, N nouns, K colours, C channels, H height, W width.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 64  # pictures of other sizes are made so large
CELL = 4  # pixels
_WIDTHS = (32, 56, 112)
_MOST_BYTES = 8 << 20
_ROWS = 64


@dataclass(frozen=True)
class Found:
    """One thing that was found; its centre in shares of the picture's sides, from the left and from the top."""

    noun: str
    colour: str
    x: float
    y: float
    score: float


@dataclass(frozen=True)
class Labels:
    """What a detector knows, and from which score on it takes a thing for found.

    `bound` says of each task how many real scenes of its prompts it read rightly: no model can be shown to do better.
    """

    nouns: tuple[str, ...]
    colours: tuple[str, ...]
    threshold: float = 0.4
    bound: Mapping[str, float] = field(default_factory=dict)


class Residual(nn.Module):
    def __init__(self, width: int):
        nn.Module.__init__(self)
        self.norm = nn.GroupNorm(8, width)
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.other = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.other(F.relu(self.one(F.relu(self.norm(x_BCHW)))))


class Network(nn.Module):
    """Pictures from -1 to 1 to logits of centres and of colours, at a quarter of their size: B (N + K) H W."""

    def __init__(self, labels: Labels):
        nn.Module.__init__(self)
        fine, middle, coarse = _WIDTHS
        self.enter = nn.Conv2d(3, fine, 3, 2, 1)
        self.quarter = nn.Conv2d(fine, middle, 3, 2, 1)
        self.fine = Residual(middle)
        self.down = nn.Conv2d(middle, coarse, 3, 2, 1)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse))
        self.whole = Residual(coarse)  # at a sixteenth, where a picture is 4 × 4: sees what fills it
        self.up = nn.Conv2d(coarse, middle, 1)
        self.both = Residual(middle)
        self.last = nn.Conv2d(middle, coarse, 1)
        self.head = nn.Conv2d(coarse, len(labels.nouns) + len(labels.colours), 1)
        self.head.bias = nn.Parameter(torch.full((self.head.out_channels,), -4.0))  # nearly every cell is no centre

    def forward(self, x_BCHW: Tensor, t: Tensor | None = None, cond: object = None) -> Tensor:
        fine = self.fine(self.quarter(F.relu(self.enter(x_BCHW.to(self.enter.weight.dtype)))))
        coarse = self.coarse(self.down(F.relu(fine)))
        coarse = coarse + F.interpolate(self.whole(F.avg_pool2d(coarse, 2)), scale_factor=2.0)
        both = self.both(fine + F.interpolate(self.up(coarse), scale_factor=2.0))
        return self.head(F.relu(self.last(F.relu(both))))


@dataclass(frozen=True)
class Detector:
    network: Network
    labels: Labels

    def find(self, pictures: Sequence[NDArray[np.uint8]]) -> Iterator[list[Found]]:
        """What each picture, uint8 H W 3, shows, the surest first."""
        for first in range(0, len(pictures), _ROWS):
            x = torch.cat([prepared(picture) for picture in pictures[first : first + _ROWS]])
            with torch.inference_mode():
                logits = self.network(x).float()
            yield from (self._read(one) for one in logits)

    def _read(self, logits_CHW: Tensor) -> list[Found]:
        count = len(self.labels.nouns)
        heat_NHW, colour_HW = logits_CHW[:count].sigmoid(), logits_CHW[count:].argmax(0)
        peaks = (heat_NHW == F.max_pool2d(heat_NHW, 3, 1, 1)) & (heat_NHW > self.labels.threshold)
        # A cell shows one thing: of two nouns that peak there, the surer one.
        peaks &= heat_NHW == heat_NHW.max(0).values
        found = []
        for noun, row, column in peaks.nonzero().tolist():
            y, x = ((at + 0.5) / size for at, size in zip((row, column), heat_NHW.shape[1:], strict=True))
            colour = self.labels.colours[int(colour_HW[row, column])]
            found.append(Found(self.labels.nouns[noun], colour, x, y, float(heat_NHW[noun, row, column])))
        return sorted(found, key=lambda one: -one.score)


def prepared(picture: NDArray[np.uint8]) -> Tensor:
    """A picture as the network takes it, 1 3 SIZE SIZE."""
    x = torch.tensor(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    if x.shape[2:] == (SIZE, SIZE):
        return x
    return F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)


def load(path: Path) -> Detector:
    """A detector from the file that `recipes/icons/detector.py` wrote; ValueError where it is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MB")
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})["labels"])
            labels = Labels(
                tuple(map(str, told["nouns"])),
                tuple(map(str, told["colours"])),
                float(told["threshold"]),
                {str(task): float(share) for task, share in told["bound"].items()},
            )
            network = Network(labels)
            network.load_state_dict({name: file.get_tensor(name).float() for name in network.state_dict()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} is no detector of Genloom's: {error}. Install Genloom again.") from None
    return Detector(network.eval().requires_grad_(False), labels)
