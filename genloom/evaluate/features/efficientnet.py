"""Pictures as EfficientNet-Lite0 sees them: features of the whole picture, and how unlike two pictures look.

Shape letters: N pictures, D features, H height, W width.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genloom.networks.efficientnet import WIDTH, EfficientNet, pretrained

Picture = NDArray[np.uint8]  # H W 3
Extractor = Callable[[Iterable[Picture]], NDArray[np.float32]]

SIZE = 224  # what it was trained on; smaller pictures are made so large
KEY = f"efficientnet-lite0-{SIZE}"
_ROWS = 32
_SKETCH = 16


def extractor() -> Extractor:
    """A function from pictures of any size to features, N D; ValueError where the weights are not installed."""
    network = pretrained()

    @torch.inference_mode()
    def features(pictures: Iterable[Picture]) -> NDArray[np.float32]:
        found = [network(_prepared(some)).numpy() for some in _rows(pictures)]
        return np.concatenate([np.zeros((0, WIDTH), np.float32), *found])

    return features


def sketch(picture: Picture) -> NDArray[np.float32]:
    """A picture as 16 × 16 mean colours from 0 to 1, in one row: what near copies have in common."""
    small = F.adaptive_avg_pool2d(_channels_first(picture), _SKETCH)
    return (small / 255).flatten().numpy()


class Unlikeness:
    """How unlike two pictures look: the distance of feature maps at five scales, as LPIPS takes it.

    Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", with every channel
    counted alike in place of learned weights. 0 is equal; about 1 has nothing in common.
    """

    def __init__(self) -> None:
        self.network: EfficientNet = pretrained()

    @torch.inference_mode()
    def __call__(self, one: Picture, other: Picture, where: NDArray[np.bool_] | None = None) -> float:
        """The mean over scales; `where`, H W, limits it to what it marks."""
        maps = self.network.maps(_prepared((one, other)))
        return float(np.mean([_apart(map_, where) for map_ in maps]))


def _apart(map_2CHW: Tensor, where: NDArray[np.bool_] | None) -> float:
    one, other = F.normalize(map_2CHW, dim=1)
    apart_HW = (one - other).square().sum(0)
    if where is None:
        return float(apart_HW.mean())
    weight = F.adaptive_avg_pool2d(torch.from_numpy(where).float()[None], apart_HW.shape)[0]
    return float((apart_HW * weight).sum() / weight.sum())


def _rows(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    left = iter(pictures)
    while some := list(islice(left, _ROWS)):
        yield some


def _prepared(pictures: Iterable[Picture]) -> Tensor:
    """N 3 SIZE SIZE, from -1 to 1, in the order of memory that convolutions are fastest in."""
    grown = [
        F.interpolate(_channels_first(picture)[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)
        for picture in pictures
    ]
    return ((torch.cat(grown) - 127) / 128).contiguous(memory_format=torch.channels_last)


def _channels_first(picture: Picture) -> Tensor:
    assert picture.dtype == np.uint8, "a picture holds whole numbers from 0 to 255"
    assert picture.ndim == 3, "a picture is H W 3"
    return torch.tensor(picture).permute(2, 0, 1).float()
