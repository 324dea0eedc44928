"""Style features of an image: colours, brightness, edges, and the placement of the foreground.

Shape letters: H height, W width.
"""

import numpy as np
from numpy.typing import NDArray

FOREGROUND_THRESHOLD = 24  # difference to the background, of 255
NUM_HUES, NUM_LIGHTNESS_BINS = 12, 6
_LUMA = (0.299, 0.587, 0.114)


def extract_style_features(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a fixed number of features of an image H W 3 of any size."""
    x = picture.astype(np.float64) / 255
    light_HW, chroma_HW = x @ np.array(_LUMA), x.max(2) - x.min(2)
    saturation_HW = chroma_HW / np.maximum(x.max(2), 1e-6)
    colours = [
        *x.mean((0, 1)),
        *x.std((0, 1)),
        chroma_HW.mean(),
        saturation_HW.mean(),
        saturation_HW.std(),
        *compute_hue_histogram(x, chroma_HW),
    ]
    lightness_histogram = np.histogram(light_HW, NUM_LIGHTNESS_BINS, (0, 1 + 1e-6))[0] / light_HW.size
    edge_features = [
        light_HW.std(),
        *(np.abs(np.diff(light_HW, axis=axis)).sum(axis).mean() for axis in (0, 1)),
    ]
    asymmetry = np.abs(x - x[:, ::-1]).mean()
    return np.array(
        [
            *colours,
            *lightness_histogram,
            *edge_features,
            asymmetry,
            *estimate_background(picture) / 255,
            *compute_placement(compute_foreground(picture)),
        ]
    )


def describe_style(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Return facts about an image H W 3, each from 0 to 100, by which a person sees what a taste has changed."""
    x = picture.astype(np.float64) / 255
    light_HW = x @ np.array(_LUMA)
    steps = [np.abs(np.diff(light_HW, axis=axis)).mean() for axis in (0, 1)]
    red, green, blue = x.mean((0, 1))
    facts = {
        "lightness": light_HW.mean(),
        "red": red,
        "green": green,
        "blue": blue,
        "chroma": (x.max(2) - x.min(2)).mean(),
        "edges": np.mean(steps),
        "foreground": (compute_foreground(picture) > 0).mean(),
    }
    return {f"{name} in %": 100 * float(value) for name, value in facts.items()}


def compute_hue_histogram(x: NDArray[np.float64], chroma_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the histogram of hues, weighted by chroma, from red over green and blue."""
    red, green, blue = np.moveaxis(x, 2, 0)
    safe_chroma_HW = np.maximum(chroma_HW, 1e-6)
    sector_hues = [
        (green - blue) / safe_chroma_HW % 6,
        (blue - red) / safe_chroma_HW + 2,
        (red - green) / safe_chroma_HW + 4,
    ]
    hue_HW = np.choose(x.argmax(2), sector_hues)  # 0 to 6
    bin_HW = (hue_HW * NUM_HUES / 6).astype(int) % NUM_HUES
    return np.bincount(bin_HW.ravel(), chroma_HW.ravel(), NUM_HUES) / chroma_HW.size


def compute_placement(foreground_HW: NDArray[np.float32]) -> list[float]:
    """Return the foreground's share, its centre, the centre's distance to that of the image, and its spread."""
    share = float((foreground_HW > 0).mean())
    if share == 0:
        return [0.0] * 6
    rows, columns = (np.linspace(-0.5, 0.5, size) for size in foreground_HW.shape)
    weight_HW = foreground_HW / foreground_HW.sum()
    center_y, center_x = float(weight_HW.sum(1) @ rows), float(weight_HW.sum(0) @ columns)
    std_y, std_x = (
        float(np.sqrt(weight_HW.sum(axis) @ (at - middle) ** 2))
        for axis, at, middle in ((1, rows, center_y), (0, columns, center_x))
    )
    return [share, center_y, center_x, float(np.hypot(center_y, center_x)), std_y, std_x]


def estimate_background(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the background colour: the median of the border."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return np.median(border, axis=0)


def compute_foreground(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the difference of every pixel to the background; 0 below the threshold."""
    difference_HW = np.abs(picture.astype(np.float32) - estimate_background(picture)).max(2)
    return np.where(difference_HW >= FOREGROUND_THRESHOLD, difference_HW, 0)
