"""What anybody sees of a picture at a glance: its colours, its light, how busy it is, and where things stand in it.

Shape letters: H height, W width, S what is told.
"""

import numpy as np
from numpy.typing import NDArray

STANDS_OUT = 24  # levels of 255 by which a pixel differs from the ground
HUES, LIGHTS = 12, 6
_LUMA = (0.299, 0.587, 0.114)


def style(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Numbers of a picture H W 3, whatever its size, S."""
    x = picture.astype(np.float64) / 255
    light_HW, chroma_HW = x @ np.array(_LUMA), x.max(2) - x.min(2)
    purity_HW = chroma_HW / np.maximum(x.max(2), 1e-6)
    colours = [
        *x.mean((0, 1)),
        *x.std((0, 1)),
        chroma_HW.mean(),
        purity_HW.mean(),
        purity_HW.std(),
        *hues(x, chroma_HW),
    ]
    lights = np.histogram(light_HW, LIGHTS, (0, 1 + 1e-6))[0] / light_HW.size
    busy = [light_HW.std(), *(np.abs(np.diff(light_HW, axis=axis)).sum(axis).mean() for axis in (0, 1))]
    mirrored = np.abs(x - x[:, ::-1]).mean()
    return np.array([*colours, *lights, *busy, mirrored, *ground(picture) / 255, *placed(ink(picture))])


def hues(x: NDArray[np.float64], chroma_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each hue there is, by chroma, from red over green and blue."""
    red, green, blue = np.moveaxis(x, 2, 0)
    safe = np.maximum(chroma_HW, 1e-6)
    among = [(green - blue) / safe % 6, (blue - red) / safe + 2, (red - green) / safe + 4]
    hue_HW = np.choose(x.argmax(2), among)  # 0 to 6
    place = (hue_HW * HUES / 6).astype(int) % HUES
    return np.bincount(place.ravel(), chroma_HW.ravel(), HUES) / chroma_HW.size


def placed(ink_HW: NDArray[np.float32]) -> list[float]:
    """How much of a picture stands out; where its middle lies, how far that is from the picture's; how wide it is."""
    share = float((ink_HW > 0).mean())
    if share == 0:
        return [0.0] * 6
    rows, columns = (np.linspace(-0.5, 0.5, size) for size in ink_HW.shape)
    weight_HW = ink_HW / ink_HW.sum()
    down, right = float(weight_HW.sum(1) @ rows), float(weight_HW.sum(0) @ columns)
    high, wide = (
        float(np.sqrt(weight_HW.sum(axis) @ (at - middle) ** 2))
        for axis, at, middle in ((1, rows, down), (0, columns, right))
    )
    return [share, down, right, float(np.hypot(down, right)), high, wide]


def ground(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The colour that things stand on: the median of the picture's border."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return np.median(border, axis=0)


def ink(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """By how many levels every pixel differs from the ground; 0 below a few."""
    away_HW = np.abs(picture.astype(np.float32) - ground(picture)).max(2)
    return np.where(away_HW >= STANDS_OUT, away_HW, 0)
