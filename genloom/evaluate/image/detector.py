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

INPUT_SIZE = 64  # pictures of other sizes are made so large
CELL_SIZE = 4  # pixels
_WIDTHS = (32, 56, 112)
_MAX_BYTES = 8 << 20
_BATCH_SIZE = 64


@dataclass(frozen=True)
class Detection:
    """One thing that was found; its centre in shares of the picture's sides, from the left and from the top."""

    noun: str
    colour: str
    x: float
    y: float
    score: float


@dataclass(frozen=True)
class DetectorLabels:
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


class DetectorNetwork(nn.Module):
    """Pictures from -1 to 1 to logits of centres and of colours, at a quarter of their size: B (N + K) H W."""

    def __init__(self, labels: DetectorLabels):
        nn.Module.__init__(self)
        fine, middle, coarse = _WIDTHS
        self.enter = nn.Conv2d(3, fine, 3, 2, 1)
        self.quarter = nn.Conv2d(fine, middle, 3, 2, 1)
        self.fine = Residual(middle)
        self.down_blocks = nn.Conv2d(middle, coarse, 3, 2, 1)
        self.scale_equivariance_weight = nn.Sequential(Residual(coarse), Residual(coarse))
        self.whole = Residual(coarse)  # at a sixteenth, where a picture is 4 × 4: sees what fills it
        self.up_blocks = nn.Conv2d(coarse, middle, 1)
        self.both = Residual(middle)
        self.last = nn.Conv2d(middle, coarse, 1)
        self.get_head = nn.Conv2d(coarse, len(labels.nouns) + len(labels.colours), 1)
        self.get_head.bias = nn.Parameter(
            torch.full((self.get_head.out_channels,), -4.0)
        )  # nearly every cell is no centre

    def forward(self, x_BCHW: Tensor, t: Tensor | None = None, cond: object = None) -> Tensor:
        fine = self.fine(self.quarter(F.relu(self.enter(x_BCHW.to(self.enter.weight.dtype)))))
        coarse = self.scale_equivariance_weight(self.down_blocks(F.relu(fine)))
        coarse = coarse + F.interpolate(self.whole(F.avg_pool2d(coarse, 2)), scale_factor=2.0)
        both = self.both(fine + F.interpolate(self.up_blocks(coarse), scale_factor=2.0))
        return self.get_head(F.relu(self.last(F.relu(both))))


@dataclass(frozen=True)
class Detector:
    network: DetectorNetwork
    labels: DetectorLabels

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> Iterator[list[Detection]]:
        """What each picture, uint8 H W 3, shows, the surest first."""
        for start in range(0, len(images), _BATCH_SIZE):
            x = torch.cat([preprocess_image(image) for image in images[start : start + _BATCH_SIZE]])
            with torch.inference_mode():
                logits = self.network(x).float()
            yield from (self._decode_peaks(image_logits) for image_logits in logits)

    def _decode_peaks(self, logits_CHW: Tensor) -> list[Detection]:
        count = len(self.labels.nouns)
        heat_NHW, colour_HW = logits_CHW[:count].sigmoid(), logits_CHW[count:].argmax(0)
        peaks = (heat_NHW == F.max_pool2d(heat_NHW, 3, 1, 1)) & (heat_NHW > self.labels.threshold)
        # A cell shows one thing: of two nouns that peak there, the surer one.
        peaks &= heat_NHW == heat_NHW.max(0).values
        detections = []
        for noun, row, column in peaks.nonzero().tolist():
            y, x = ((index + 0.5) / size for index, size in zip((row, column), heat_NHW.shape[1:], strict=True))
            colour = self.labels.colours[int(colour_HW[row, column])]
            detections.append(Detection(self.labels.nouns[noun], colour, x, y, float(heat_NHW[noun, row, column])))
        return sorted(detections, key=lambda detection: -detection.score)


def preprocess_image(image: NDArray[np.uint8]) -> Tensor:
    """A picture as the network takes it, 1 3 SIZE SIZE."""
    x = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    if x.shape[2:] == (INPUT_SIZE, INPUT_SIZE):
        return x
    return F.interpolate(x, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)


def load_detector(path: Path) -> Detector:
    """A detector from the file that `recipes/icons/detector.py` wrote; ValueError where it is none."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it is larger than {_MAX_BYTES >> 20} MB")
        with safe_open(path, framework="pt") as file:
            label_values = json.loads((file.metadata() or {})["labels"])
            labels = DetectorLabels(
                tuple(map(str, label_values["nouns"])),
                tuple(map(str, label_values["colours"])),
                float(label_values["threshold"]),
                {str(task): float(share) for task, share in label_values["bound"].items()},
            )
            network = DetectorNetwork(labels)
            network.load_state_dict({name: file.get_tensor(name).float() for name in network.state_dict()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} is no detector of Genloom's: {error}. Install Genloom again.") from None
    return Detector(network.eval().requires_grad_(False), labels)
