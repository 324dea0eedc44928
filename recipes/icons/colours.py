"""Named colours in OKLab: recolouring the fills of icons, and measuring the colours of an image."""

import re

import numpy as np

# Lightness, chroma and hue (degrees) in OKLab.
NAMES: dict[str, tuple[float, float, float]] = {
    "red": (0.60, 0.23, 26),
    "orange": (0.73, 0.18, 55),
    "yellow": (0.87, 0.17, 95),
    "green": (0.68, 0.20, 145),
    "blue": (0.60, 0.19, 252),
    "purple": (0.54, 0.21, 302),
    "pink": (0.78, 0.15, 352),
    "brown": (0.46, 0.09, 52),
    "black": (0.28, 0.0, 0),
    "white": (0.95, 0.0, 0),
}
_VIVID = 0.04  # minimal chroma of a fill with a hue
_HEX = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB from 0 to 255 (last axis) to OKLab (Ottosson 2020)."""
    x = np.asarray(rgb, np.float64) / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def measure_fill_areas(svg: str, rgba: np.ndarray) -> dict[str, float]:
    """Return the share of the opaque pixels of `rgba`, the rendered `svg`, that each fill covers."""
    codes = sorted({code.lower() for code in _HEX.findall(svg)})
    fills = to_oklab(np.array([_to_rgb(code) for code in codes]))
    return dict(zip(codes, _count_nearest(to_oklab(_select_opaque(rgba)), fills), strict=True))


def find_body_fills(share: dict[str, float], reach: float = 40.0) -> tuple[str, ...]:
    """Return the fills of an icon's main hue: those within `reach` degrees of the largest vivid fill."""
    lch = {code: _to_lch(code) for code in share}
    vivid = [code for code in share if lch[code][1] > _VIVID]
    first = max(vivid or share, key=lambda code: share[code])
    if not vivid or (share[first] < 0.05):
        return tuple(code for code in share if lch[code][1] <= _VIVID and lch[code][0] > 0.4)
    return tuple(code for code in vivid if abs((lch[code][2] - lch[first][2] + 180) % 360 - 180) < reach)


def recolour_fills(svg: str, name: str, fills: tuple[str, ...], share: dict[str, float]) -> str:
    """Replace these fills of an SVG by shades of a named colour; lighter fills stay lighter."""
    light, chroma, hue = NAMES[name]
    lch = {code: _to_lch(code) for code in fills}
    total = sum(share[code] for code in fills)
    mean_light = sum(share[code] * lch[code][0] for code in fills) / total
    contrast = 0.35 if chroma == 0 else 0.65  # black and white allow few shades
    new = {}
    for code in fills:
        shade = light + contrast * float(np.clip(lch[code][0] - mean_light, -0.25, 0.25))
        new[code] = _to_code(min(max(shade, 0.15), 0.985), chroma, hue)
    return _HEX.sub(lambda match: new.get(match[0].lower(), match[0]), svg)


def measure_colour_shares(rgba: np.ndarray) -> dict[str, float]:
    """Return the share of opaque pixels (…, 4) that are closest to each named colour, or to "grey"."""
    colours = {**NAMES, "grey": (0.72, 0.0, 0)}
    named = np.array([_to_lab(*lch) for lch in colours.values()])
    weights = np.array([0.6, 1.0, 1.0])  # shading changes lightness more than hue
    return dict(zip(colours, _count_nearest(to_oklab(_select_opaque(rgba)) * weights, named * weights), strict=True))


def _select_opaque(rgba: np.ndarray) -> np.ndarray:
    return rgba[rgba[..., 3] > 200][:, :3]


def _count_nearest(lab: np.ndarray, known: np.ndarray) -> list[float]:
    near = ((lab[:, None] - known[None]) ** 2).sum(-1).argmin(1)
    return (np.bincount(near, minlength=len(known)) / max(len(near), 1)).tolist()


def _to_rgb(code: str) -> list[int]:
    digits = code[1:] if len(code) == 7 else "".join(2 * each for each in code[1:])
    return [int(digits[k : k + 2], 16) for k in (0, 2, 4)]


def _to_lch(code: str) -> tuple[float, float, float]:
    light, a, b = to_oklab(np.array(_to_rgb(code))).tolist()
    return light, float(np.hypot(a, b)), float(np.degrees(np.arctan2(b, a)) % 360)


def _to_lab(light: float, chroma: float, hue: float) -> tuple[float, float, float]:
    angle = np.radians(hue)
    return light, chroma * float(np.cos(angle)), chroma * float(np.sin(angle))


def _to_code(light: float, chroma: float, hue: float) -> str:
    """Return the hex code of a colour; outside the sRGB gamut, of the most vivid one with its lightness and hue."""
    for part in np.linspace(1, 0, 21):
        linear = np.linalg.inv(_TO_LMS) @ (np.linalg.inv(_TO_LAB) @ _to_lab(light, part * chroma, hue)) ** 3
        if linear.min() > -1e-4 and linear.max() < 1.0001:
            break
    linear = np.clip(linear, 0, 1)
    x = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * each):02x}" for each in x.tolist())
