"""A small object detector: which known things an image shows, where, and in which colour.

It finds the centres of things as peaks of one heat map per noun (Zhou et al. 2019, "Objects as points"), at a quarter
of the image's resolution. Shape letters: B images, N nouns, K colours, C channels, H height, W width.
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

from genloom.errors import GenloomError
from genloom.old_names import upgrade_tensors

INPUT_SIZE = 64  # all images are resized to it
CELL_SIZE = 4  # pixels of the image per cell of the heat maps
_WIDTHS = (32, 56, 112)
_MAX_BYTES = 8 << 20
_BATCH_SIZE = 64


@dataclass(frozen=True)
class Detection:
    """One detected thing; its centre as fractions of the image's sides, from the left and from the top."""

    noun: str
    colour: str
    x: float
    y: float
    score: float


@dataclass(frozen=True)
class DetectorLabels:
    """The classes of a detector, and the score from which a peak counts as a detection.

    `bound` is the detector's accuracy on real scenes of each task's prompts: no model can be shown to do better.
    """

    nouns: tuple[str, ...]
    colours: tuple[str, ...]
    threshold: float = 0.4
    bound: Mapping[str, float] = field(default_factory=dict)


class ResidualBlock(nn.Module):
    def __init__(self, width: int):
        nn.Module.__init__(self)
        self.norm = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.relu(self.conv1(F.relu(self.norm(x_BCHW)))))


class DetectorNetwork(nn.Module):
    """Images from -1 to 1 to logits of centres and of colours, at a quarter of the resolution: B (N + K) H W."""

    def __init__(self, labels: DetectorLabels):
        nn.Module.__init__(self)
        fine, middle, coarse = _WIDTHS
        self.conv_in = nn.Conv2d(3, fine, 3, 2, 1)
        self.conv_down = nn.Conv2d(fine, middle, 3, 2, 1)
        self.fine = ResidualBlock(middle)
        self.downsample = nn.Conv2d(middle, coarse, 3, 2, 1)
        self.coarse = nn.Sequential(ResidualBlock(coarse), ResidualBlock(coarse))
        self.bottleneck = ResidualBlock(coarse)  # at a sixteenth, 4 × 4: sees things that fill the image
        self.upsample = nn.Conv2d(coarse, middle, 1)
        self.fusion = ResidualBlock(middle)
        self.conv_out = nn.Conv2d(middle, coarse, 1)
        self.head = nn.Conv2d(coarse, len(labels.nouns) + len(labels.colours), 1)
        self.head.bias = nn.Parameter(torch.full((self.head.out_channels,), -4.0))  # nearly no cell is a centre

    def forward(self, x_BCHW: Tensor, t: Tensor | None = None, cond: object = None) -> Tensor:
        fine = self.fine(self.conv_down(F.relu(self.conv_in(x_BCHW.to(self.conv_in.weight.dtype)))))
        coarse = self.coarse(self.downsample(F.relu(fine)))
        coarse = coarse + F.interpolate(self.bottleneck(F.avg_pool2d(coarse, 2)), scale_factor=2.0)
        fused = self.fusion(fine + F.interpolate(self.upsample(coarse), scale_factor=2.0))
        return self.head(F.relu(self.conv_out(F.relu(fused))))


@dataclass(frozen=True)
class Detector:
    network: DetectorNetwork
    labels: DetectorLabels

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> Iterator[list[Detection]]:
        """Yield what each image, uint8 H W 3, shows, in order of score."""
        for start in range(0, len(images), _BATCH_SIZE):
            x = torch.cat([preprocess_image(image) for image in images[start : start + _BATCH_SIZE]])
            with torch.inference_mode():
                logits = self.network(x).float()
            yield from (self._decode_peaks(image_logits) for image_logits in logits)

    def _decode_peaks(self, logits_CHW: Tensor) -> list[Detection]:
        count = len(self.labels.nouns)
        heat_NHW, colour_HW = logits_CHW[:count].sigmoid(), logits_CHW[count:].argmax(0)
        peaks = (heat_NHW == F.max_pool2d(heat_NHW, 3, 1, 1)) & (heat_NHW > self.labels.threshold)
        peaks &= heat_NHW == heat_NHW.max(0).values  # a cell shows one thing: the noun with the highest score
        detections = []
        for noun, row, column in peaks.nonzero().tolist():
            y, x = ((index + 0.5) / size for index, size in zip((row, column), heat_NHW.shape[1:], strict=True))
            colour = self.labels.colours[int(colour_HW[row, column])]
            detections.append(Detection(self.labels.nouns[noun], colour, x, y, float(heat_NHW[noun, row, column])))
        return sorted(detections, key=lambda detection: -detection.score)


def preprocess_image(image: NDArray[np.uint8]) -> Tensor:
    """Return an image as the network's input, 1 3 SIZE SIZE."""
    x = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    if x.shape[2:] == (INPUT_SIZE, INPUT_SIZE):
        return x
    return F.interpolate(x, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)


def load_detector(path: Path) -> Detector:
    """Load a detector from a file of `recipes/icons/detector.py`; raises ValueError for any other file."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES >> 20} MB")
        with safe_open(path, framework="pt") as file:
            label_values = json.loads((file.metadata() or {})["labels"])
            labels = DetectorLabels(
                tuple(map(str, label_values["nouns"])),
                tuple(map(str, label_values["colours"])),
                float(label_values["threshold"]),
                {str(task): float(share) for task, share in label_values["bound"].items()},
            )
            network = DetectorNetwork(labels)
            names = upgrade_tensors("detector", file.keys(), network.state_dict())
            network.load_state_dict({new: file.get_tensor(name).float() for name, new in names.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise GenloomError("evaluate.bad_detector", path=path, reason=error) from None
    return Detector(network.eval().requires_grad_(False), labels)
