"""Trains the upscaler of images on drawings: genloom/media/image/upscaler.npz.

    python -m recipes.icons.upscaler PACKAGES genloom/media/image/upscaler.npz --minutes 15

PACKAGES is the folder of the npm packages of `recipes.icons.fetch`. A picture of 256 × 256 pixels is reduced to 64 × 64
by different filters; some are then saved as JPEG, some get noise, and some pass through the built-in autoencoder, whose
errors the network learns to remove. The last figures are of pictures that it was not trained on.

Shape letters: B pictures, C channels, H, W rows and columns.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from genloom.media.image.upscaling import FACTOR, load_upscaler
from recipes.icons.fetch import SETS, WORDS, fetch_package, read_icons
from recipes.icons.make import MIXTURE, Maker

WIDTH, BLOCKS = 48, 4
LARGE, SMALL = 256, 256 // FACTOR
PATCH, ROWS = 32, 16  # side of the small patches, and patches of a step
TRAINING, MEASURING = 1, 2  # seeds of disjoint sets of pictures
FILTERS = ("HAMMING", "BOX", "BILINEAR", "BICUBIC", "LANCZOS")
CODEC_SHARE, JPEG_SHARE, NOISE_SHARE = 0.35, 0.15, 0.15
MAX_NOISE = 4.0  # standard deviation, of 255

Reconstruct = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pair:
    """A small picture, and the large one that it came from, uint8 each."""

    small: np.ndarray
    large: np.ndarray


class UpscalerNetwork(nn.Module):
    """The network of `genloom.media.image.upscaling` in torch: x B 3 H W from -1 to 1 to the residual B 3 FH FW."""

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS):
        nn.Module.__init__(self)
        channels = [3, *[width] * (2 * blocks + 1), 3 * FACTOR**2]
        self.layers = [nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate") for a, b in pairwise(channels)]
        self.convolutions = nn.ModuleList(self.layers)
        for outer in [*self.layers[2:-1:2], self.layers[-1]]:
            nn.init.zeros_(outer.weight)  # the blocks begin as the identity, and the network as the bicubic enlargement
            assert outer.bias is not None
            nn.init.zeros_(outer.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        first, *blocks, last = self.layers
        h = first(x_BCHW)
        for inner, outer in zip(blocks[::2], blocks[1::2], strict=True):
            h = h + outer(F.relu(inner(h)))
        return F.pixel_shuffle(last(F.relu(h)), FACTOR)


def degrade_picture(large: np.ndarray, rng: np.random.Generator, reconstruct: Reconstruct | None) -> np.ndarray:
    """Return a quarter of the picture's size, as files and models may show it."""
    side = large.shape[0] // FACTOR
    name = FILTERS[int(rng.integers(len(FILTERS)))]
    small = np.asarray(Image.fromarray(large).resize((side, side), Image.Resampling[name]))
    which = rng.random()
    if reconstruct is not None and which < CODEC_SHARE:
        return reconstruct(small)
    if which < CODEC_SHARE + JPEG_SHARE:
        file = io.BytesIO()
        Image.fromarray(small).save(file, "JPEG", quality=int(rng.integers(70, 96)))
        return np.asarray(Image.open(file))
    if which < CODEC_SHARE + JPEG_SHARE + NOISE_SHARE:
        noise = rng.normal(0, MAX_NOISE * rng.random(), small.shape)
        return np.rint(small + noise).clip(0, 255).astype(np.uint8)
    return small


def build_pairs(maker: Maker, seed: int, count: int, reconstruct: Reconstruct | None) -> list[Pair]:
    rng = np.random.default_rng(seed)
    larges = (maker.picture(seed, number).pixels for number in range(count))
    return [Pair(degrade_picture(large, rng, reconstruct), large) for large in larges]


def build_batches(pairs: Sequence[Pair]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield small patches from -1 to 1, and what the bicubic enlargement of each lacks."""
    rng = np.random.default_rng(0)
    while True:
        smalls, residuals = [], []
        for number in rng.integers(len(pairs), size=ROWS).tolist():
            pair = pairs[number]
            top, left = rng.integers(0, pair.small.shape[0] - PATCH + 1, 2).tolist()
            side = pair.large.shape[0]
            base = np.asarray(Image.fromarray(pair.small).resize((side, side), Image.Resampling.BICUBIC), np.float32)
            rows, columns = (slice(FACTOR * at, FACTOR * (at + PATCH)) for at in (top, left))
            small = pair.small[top : top + PATCH, left : left + PATCH].astype(np.float32) / 127.5 - 1
            residual = (pair.large[rows, columns].astype(np.float32) - base[rows, columns]) / 127.5
            if rng.random() < 0.5:
                small, residual = small[:, ::-1], residual[:, ::-1]
            quarter_turns = int(rng.integers(4))
            smalls.append(np.rot90(small, quarter_turns).transpose(2, 0, 1).copy())
            residuals.append(np.rot90(residual, quarter_turns).transpose(2, 0, 1).copy())
        yield torch.from_numpy(np.stack(smalls)), torch.from_numpy(np.stack(residuals))


def train(network: UpscalerNetwork, pairs: Sequence[Pair], minutes: float) -> None:
    """Train for minutes of the processor, by the mean absolute error; the learning rate falls to zero."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.99))
    start, total = time.process_time(), 0.0
    for step, (small, residual) in enumerate(build_batches(pairs), start=1):
        share = (time.process_time() - start) / (60 * minutes)
        if share >= 1:
            return
        optimizer.param_groups[0]["lr"] = 1e-3 * min(step / 50, 1) * min(1.0, 2 * (1 - share))
        optimizer.zero_grad()
        loss = F.l1_loss(network(small), residual)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if step % 100 == 0:
            print(f"step {step}, {share:.0%}: absolute error {127.5 * total / 100:.3f} of 255", flush=True)
            total = 0.0


def save(network: UpscalerNetwork, path: Path) -> None:
    """Write the weights in half precision, as `genloom.media.image.upscaling` reads them."""
    arrays = {}
    for number, layer in enumerate(network.layers):
        assert layer.bias is not None
        weight = layer.weight.detach().permute(2, 3, 1, 0).reshape(9, layer.in_channels, layer.out_channels)
        arrays[f"weight{number}"] = weight.half().numpy()
        arrays[f"bias{number}"] = layer.bias.detach().half().numpy()
    np.savez_compressed(path, **arrays)


def load(network: UpscalerNetwork, path: Path) -> None:
    """Read weights that `save` wrote."""
    for layer, stored in zip(network.layers, load_upscaler(path).convolutions, strict=True):
        weight = torch.from_numpy(stored.weight).view(3, 3, layer.in_channels, layer.out_channels)
        layer.weight.data.copy_(weight.permute(3, 2, 0, 1))
        assert layer.bias is not None
        layer.bias.data.copy_(torch.from_numpy(stored.bias))


def measure_psnr(pairs: Sequence[Pair], enlarge: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the peak signal-to-noise ratio of all pixels, in dB."""
    errors = [np.square(enlarge(pair.small).astype(np.float64) - pair.large).mean() for pair in pairs]
    return float(10 * np.log10(255**2 / np.mean(errors)))


def enlarge_bicubic(small: np.ndarray) -> np.ndarray:
    height, width = (FACTOR * side for side in small.shape[:2])
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def load_reconstruction() -> Reconstruct:
    """Return the way through the autoencoder of the built-in model."""
    import genloom as gl

    codec = gl.Workspace(Path("genloom-workspace")).model("icons").load().codec
    return lambda picture: codec.decode(codec.encode(picture))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=15, help="of one processor core")
    parser.add_argument("--begin", type=Path, help="weights to go on from")
    parser.add_argument("--pictures", type=int, default=1500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = fetch_package(WORDS, args.packages)
    sets = {name: list(read_icons(name, fetch_package(SETS[name], args.packages), words)) for name in MIXTURE}
    maker, reconstruct = Maker(sets, LARGE), load_reconstruction()
    pairs = build_pairs(maker, TRAINING, args.pictures, reconstruct)
    network = UpscalerNetwork()
    if args.begin:
        load(network, args.begin)
    train(network, pairs, args.minutes)
    save(network, args.out)
    held_out = build_pairs(maker, MEASURING, 100, reconstruct)
    figures = measure_psnr(held_out, load_upscaler(args.out).enlarge), measure_psnr(held_out, enlarge_bicubic)
    print("100 other pictures: {:.2f} dB, bicubic {:.2f} dB".format(*figures))


if __name__ == "__main__":
    main()
