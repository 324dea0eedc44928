"""Perceptual distance of two images, like LPIPS, on the feature maps of EfficientNet-Lite0."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genloom.evaluate.features.efficientnet import ImageArray, preprocess_images
from genloom.networks.efficientnet import load_pretrained


class PerceptualDistance:
    """The distance of feature maps at five scales, with equal weights for all channels instead of learned ones.

    Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric". 0 is equal; about 1
    has nothing in common.
    """

    def __init__(self) -> None:
        self.network = load_pretrained()

    @torch.inference_mode()
    def __call__(self, a_image: ImageArray, b_image: ImageArray, mask: NDArray[np.bool_] | None = None) -> float:
        """Return the mean distance over scales, limited to where `mask`, H W, is True."""
        maps = self.network.extract_feature_maps(preprocess_images((a_image, b_image)))
        return float(np.mean([_compute_map_distance(map_, mask) for map_ in maps]))


def _compute_map_distance(map_2CHW: Tensor, mask: NDArray[np.bool_] | None) -> float:
    a_CHW, b_CHW = F.normalize(map_2CHW, dim=1)
    distance_HW = (a_CHW - b_CHW).square().sum(0)
    if mask is None:
        return float(distance_HW.mean())
    weight = F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None], distance_HW.shape)[0]
    return float((distance_HW * weight).sum() / weight.sum())
