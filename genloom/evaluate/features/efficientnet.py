"""Image features of EfficientNet-Lite0, and a coarse embedding for near copies.

Shape letters: N images, D features, H height, W width.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genloom.networks.efficientnet import FEATURE_WIDTH, load_pretrained

ImageArray = NDArray[np.uint8]  # H W 3
Extractor = Callable[[Iterable[ImageArray]], NDArray[np.float32]]

INPUT_SIZE = 224  # of the pretraining; all images are resized to it
KEY = f"efficientnet-lite0-{INPUT_SIZE}"
_BATCH_SIZE = 32
_COARSE_SIZE = 16


def build_extractor() -> Extractor:
    """Return a function from images of any size to features, N D; ValueError if the weights are not installed."""
    network = load_pretrained()

    @torch.inference_mode()
    def extract(images: Iterable[ImageArray]) -> NDArray[np.float32]:
        batch_features = [network(preprocess_images(batch)).numpy() for batch in _split_batches(images)]
        return np.concatenate([np.zeros((0, FEATURE_WIDTH), np.float32), *batch_features])

    return extract


def compute_coarse_embedding(image: ImageArray) -> NDArray[np.float32]:
    """Return the mean colours of 16 × 16 cells, from 0 to 1, as one row; near copies have nearly the same."""
    pooled = F.adaptive_avg_pool2d(_to_channels_first(image), _COARSE_SIZE)
    return (pooled / 255).flatten().numpy()


def preprocess_images(images: Iterable[ImageArray]) -> Tensor:
    """Return N 3 SIZE SIZE from -1 to 1, in the memory format that is fastest for convolutions."""
    resized_images = [
        F.interpolate(_to_channels_first(image)[None], size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
        for image in images
    ]
    return ((torch.cat(resized_images) - 127) / 128).contiguous(memory_format=torch.channels_last)


def _split_batches(images: Iterable[ImageArray]) -> Iterator[list[ImageArray]]:
    remaining = iter(images)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        yield batch


def _to_channels_first(image: ImageArray) -> Tensor:
    assert image.dtype == np.uint8, "an image holds integers from 0 to 255"
    assert image.ndim == 3, "an image is H W 3"
    return torch.tensor(image).permute(2, 0, 1).float()
