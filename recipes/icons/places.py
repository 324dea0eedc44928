"""Backgrounds of scenes: skies, hills, walls and stars, painted as arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """The phrases of a place and its painter: (size, rng) to float32 (size, size, 3) from 0 to 255."""

    phrases: tuple[str, ...]
    paint: Callable[[int, np.random.Generator], np.ndarray]
    ground: bool = False


def _build_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    return at[:, None], at[None, :]


def _paint_gradient(size: int, top: Colour, bottom: Colour) -> np.ndarray:
    y, _ = _build_grid(size)
    column = np.array(top, np.float32) * (1 - y) + np.array(bottom, np.float32) * y
    return np.repeat(column[:, None], size, 1)


def _blend_colour(picture: np.ndarray, cover: np.ndarray, colour: Colour | np.ndarray) -> None:
    picture += cover[..., None] * (np.asarray(colour, np.float32) - picture)


def _paint_land(
    picture: np.ndarray, rng: np.random.Generator, top: Colour, bottom: Colour, horizon: float = 0.72
) -> None:
    """Paint ground below a wavy horizon with an anti-aliased edge."""
    size = len(picture)
    y, x = _build_grid(size)
    line = horizon + rng.uniform(-0.04, 0.04) + 0.025 * np.sin(2 * np.pi * (x * rng.uniform(0.4, 1.1) + rng.random()))
    cover = np.clip((y - line) * size + 0.5, 0, 1)
    _blend_colour(picture, cover, _paint_gradient(size, top, bottom))


def _paint_dots(
    picture: np.ndarray, rng: np.random.Generator, count: int, colour: Colour, radius: float, below: float
) -> None:
    size = len(picture)
    y, x = _build_grid(size)
    for _ in range(count):
        far = np.hypot(x - rng.random(), y - below * rng.random()) - radius * rng.uniform(0.6, 1.2)
        _blend_colour(picture, np.clip(0.5 - far * size, 0, 1), colour)


def _paint_clouds(picture: np.ndarray, rng: np.random.Generator, count: int) -> None:
    y, x = _build_grid(len(picture))
    for _ in range(count):
        left, top, wide = rng.random(), rng.uniform(0.05, 0.9), rng.uniform(0.1, 0.2)
        far = ((x - left) / wide) ** 2 + ((y - top) / (0.45 * wide)) ** 2
        _blend_colour(picture, 0.85 * np.exp(-(far**2)), (255, 255, 255))


def _paint_white(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.full((size, size, 3), 255, np.float32)


PASTELS: dict[str, Colour] = {
    "pink": (255, 205, 220),
    "yellow": (255, 238, 150),
    "light green": (200, 238, 190),
    "light blue": (190, 225, 255),
    "purple": (205, 180, 245),
    "gray": (176, 180, 188),
    "black": (30, 30, 34),
}


# Behind white things, if the caption does not mention the background.
SOFT: tuple[Colour, ...] = ((120, 178, 232), (238, 140, 170), (120, 190, 130), (160, 130, 214), (150, 154, 164))


def _build_plain_painter(colour: Colour) -> Callable[[int, np.random.Generator], np.ndarray]:
    def paint(size: int, rng: np.random.Generator) -> np.ndarray:
        return np.full((size, size, 3), colour, np.float32)

    return paint


def _paint_meadow(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (150, 210, 255), (225, 244, 255))
    _paint_clouds(picture, rng, 2)
    _paint_land(picture, rng, (140, 208, 96), (92, 170, 66))
    return picture


def _paint_beach(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (140, 214, 255), (222, 244, 255))
    y, _ = _build_grid(size)
    _blend_colour(picture, np.clip((y - 0.55) * size + 0.5, 0, 1) * np.ones((1, size)), (52, 168, 220))
    _paint_land(picture, rng, (252, 226, 160), (238, 200, 128))
    return picture


def _paint_snow(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (148, 184, 220), (206, 224, 242))
    _paint_land(picture, rng, (246, 250, 255), (222, 234, 248))
    _paint_dots(picture, rng, 16, (255, 255, 255), 0.013, 1.0)
    return picture


def _paint_night(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (16, 22, 66), (58, 68, 138))
    _paint_dots(picture, rng, 14, (255, 248, 214), 0.010, 0.7)
    _paint_land(picture, rng, (42, 78, 84), (26, 52, 62), 0.80)
    return picture


def _paint_sky(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (96, 182, 250), (196, 230, 255))
    _paint_clouds(picture, rng, 4)
    return picture


def _paint_room(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (250, 232, 206), (244, 220, 190))
    y, _ = _build_grid(size)
    line = 0.72 + rng.uniform(-0.03, 0.03)
    _blend_colour(picture, np.clip((y - line) * size + 0.5, 0, 1) * np.ones((1, size)), (196, 146, 104))
    _blend_colour(picture, np.clip(1.5 - abs(y - line) * size, 0, 1) * np.ones((1, size)), (255, 250, 240))
    return picture


def _paint_desert(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (255, 206, 140), (255, 236, 196))
    _paint_land(picture, rng, (240, 178, 100), (220, 146, 76))
    return picture


def _paint_sunset(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (110, 74, 150), (255, 170, 110))
    _paint_land(picture, rng, (92, 60, 104), (60, 40, 80), 0.80)
    return picture


def _paint_sea(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (86, 206, 226), (22, 92, 168))
    _paint_dots(picture, rng, 8, (190, 240, 250), 0.018, 1.0)
    _paint_land(picture, rng, (226, 206, 150), (204, 178, 120), 0.88)
    return picture


def _paint_space(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (14, 10, 34), (38, 20, 70))
    _paint_dots(picture, rng, 24, (255, 255, 255), 0.009, 1.0)
    return picture


def _paint_forest(size: int, rng: np.random.Generator) -> np.ndarray:
    picture = _paint_gradient(size, (196, 232, 206), (226, 244, 220))
    y, x = _build_grid(size)
    for left in np.arange(-0.05, 1.1, 0.17) + rng.uniform(-0.04, 0.04):
        tip = rng.uniform(0.12, 0.30)
        cover = np.clip(((y - tip) * 0.22 - abs(x - left)) * size + 0.5, 0, 1)
        _blend_colour(picture, cover, (84, 150, 104))
    _paint_land(picture, rng, (120, 176, 92), (82, 140, 70), 0.76)
    return picture


PLACES: dict[str, Place] = {
    "": Place(("",), _paint_white),
    **{
        f"{name} background": Place((f"on a {name} background",), _build_plain_painter(colour))
        for name, colour in PASTELS.items()
    },
    "grass": Place(("on the grass", "in a meadow"), _paint_meadow, ground=True),
    "beach": Place(("on the beach", "by the sea"), _paint_beach, ground=True),
    "snow": Place(("in the snow",), _paint_snow, ground=True),
    "night": Place(("at night", "under the stars"), _paint_night, ground=True),
    "sky": Place(("in the sky",), _paint_sky),
    "room": Place(("in a room",), _paint_room, ground=True),
    "desert": Place(("in the desert",), _paint_desert, ground=True),
    "sunset": Place(("at sunset",), _paint_sunset, ground=True),
    "sea": Place(("under water",), _paint_sea),
    "space": Place(("in space",), _paint_space),
    "forest": Place(("in the forest",), _paint_forest, ground=True),
}
