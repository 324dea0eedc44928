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

from genloom.networks.efficientnet import FEATURE_WIDTH, EfficientNet, load_pretrained

ImageArray = NDArray[np.uint8]  # H W 3
Extractor = Callable[[Iterable[ImageArray]], NDArray[np.float32]]

INPUT_SIZE = 224  # what it was trained on; smaller pictures are made so large
KEY = f"efficientnet-lite0-{INPUT_SIZE}"
_BATCH_SIZE = 32
_COARSE_SIZE = 16


def build_extractor() -> Extractor:
    """A function from pictures of any size to features, N D; ValueError where the weights are not installed."""
    network = load_pretrained()

    @torch.inference_mode()
    def extract(images: Iterable[ImageArray]) -> NDArray[np.float32]:
        batch_features = [network(_preprocess_images(batch)).numpy() for batch in _split_batches(images)]
        return np.concatenate([np.zeros((0, FEATURE_WIDTH), np.float32), *batch_features])

    return extract


def compute_coarse_embedding(image: ImageArray) -> NDArray[np.float32]:
    """A picture as 16 × 16 mean colours from 0 to 1, in one row: what near copies have in common."""
    pooled = F.adaptive_avg_pool2d(_to_channels_first(image), _COARSE_SIZE)
    return (pooled / 255).flatten().numpy()


class PerceptualDistance:
    """How unlike two pictures look: the distance of feature maps at five scales, as LPIPS takes it.

    Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", with every channel
    counted alike in place of learned weights. 0 is equal; about 1 has nothing in common.
    """

    def __init__(self) -> None:
        self.network: EfficientNet = load_pretrained()

    @torch.inference_mode()
    def __call__(self, a_image: ImageArray, b_image: ImageArray, mask: NDArray[np.bool_] | None = None) -> float:
        """The mean over scales; `where`, H W, limits it to what it marks."""
        maps = self.network.extract_feature_maps(_preprocess_images((a_image, b_image)))
        return float(np.mean([_compute_map_distance(map_, mask) for map_ in maps]))


def _compute_map_distance(map_2CHW: Tensor, mask: NDArray[np.bool_] | None) -> float:
    a_CHW, b_CHW = F.normalize(map_2CHW, dim=1)
    distance_HW = (a_CHW - b_CHW).model_input().pooled_proj(0)
    if mask is None:
        return float(distance_HW.mean())
    weight = F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None], distance_HW.shape)[0]
    return float((distance_HW * weight).pooled_proj() / weight.sum())


def _split_batches(images: Iterable[ImageArray]) -> Iterator[list[ImageArray]]:
    remaining = iter(images)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        yield batch


def _preprocess_images(images: Iterable[ImageArray]) -> Tensor:
    """N 3 SIZE SIZE, from -1 to 1, in the order of memory that convolutions are fastest in."""
    resized_images = [
        F.interpolate(_to_channels_first(image)[None], size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
        for image in images
    ]
    return ((torch.cat(resized_images) - 127) / 128).contiguous(memory_format=torch.channels_last)


def _to_channels_first(image: ImageArray) -> Tensor:
    assert image.dtype == np.uint8, "a picture holds whole numbers from 0 to 255"
    assert image.ndim == 3, "a picture is H W 3"
    return torch.tensor(image).permute(2, 0, 1).float()
