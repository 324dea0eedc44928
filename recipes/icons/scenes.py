"""Composed scenes without end: a picture, its caption and what stands where, each a function of (seed, index)."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import resvg_py
from PIL import Image

from recipes.icons.colours import areas, body, oklab, recoloured
from recipes.icons.heldout import trained
from recipes.icons.layouts import Spot, arranged
from recipes.icons.places import PLACES, SOFT
from recipes.icons.plans import Plan, Thing, drawn, said
from recipes.icons.vocabulary import NOUNS

_APART = 0.15  # the distance in OKLab from which a thing is told from what is behind it


@dataclass(frozen=True)
class Placed:
    """A drawn thing and its box (left, top, right, bottom) in shares of the picture's side."""

    noun: str
    colour: str
    box: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """A picture uint8 (size, size, 3), its caption, the plan it is drawn from and what is drawn, those behind first."""

    picture: np.ndarray = field(repr=False)
    caption: str
    plan: Plan
    objects: tuple[Placed, ...]

    def layout(self) -> dict:
        """What the picture shows, as JSON takes it."""
        return asdict(self.plan) | {"objects": [asdict(each) for each in self.objects]}


def rendered(svg: str, size: int) -> Image.Image:
    """An SVG as an RGBA picture of size × size; no font is looked for."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


@dataclass(frozen=True)
class Sprite:
    """A thing cut to what it fills, with alpha multiplied in (mode RGBa), and its mean colour in OKLab."""

    picture: Image.Image
    mean: np.ndarray


class Painter:
    """Draws scenes with the icons of `svgs` (SVG text by Fluent's names) as pictures of size × size.

    Each thing is rendered once, at `detail` × `detail`, and reduced from that.
    """

    def __init__(self, svgs: Mapping[str, str], size: int = 64, detail: int = 160) -> None:
        self.size, self.detail = size, detail
        self._svgs = svgs
        self._sprites: dict[tuple[str, str], Sprite] = {}

    def scene(self, seed: int, index: int) -> Scene:
        """The scene of that number, one that training may show."""
        rng = np.random.default_rng((seed, index))
        while True:
            plan = drawn(rng)
            if trained(plan) and (scene := self.paint(plan, rng)):
                return scene

    def paint(self, plan: Plan, rng: np.random.Generator) -> Scene | None:
        """A picture of the plan, or None where something in it could hardly be seen."""
        spots = arranged(plan, self._shape, rng)
        backdrop = PLACES[plan.place].paint(self.size, rng)
        if not plan.place and not self._seen(spots, backdrop):
            backdrop[:] = SOFT[int(rng.integers(len(SOFT)))]  # where nothing is said of it, white needs not be
        if not self._seen(spots, backdrop):
            return None
        canvas = Image.fromarray(np.rint(backdrop).astype(np.uint8))
        objects = tuple(Placed(spot.thing.noun, spot.thing.colour, self._draw(canvas, spot)) for spot in spots)
        return Scene(np.asarray(canvas), said(plan, rng), plan, objects)

    def sprite(self, noun: str, colour: str = "", icon: str = "") -> Sprite:
        """The noun in that colour, or in its own; drawn as another icon where one is named."""
        key = (icon or NOUNS[noun].icon, colour)
        if key not in self._sprites:
            svg = self._svgs[key[0]]
            if colour:
                share = areas(svg, np.asarray(rendered(svg, min(self.detail, 64))))
                chosen = tuple(code for code in NOUNS[noun].body if code in share) or body(share)
                svg = recoloured(svg, colour, chosen, share)
            whole = rendered(svg, self.detail)
            picture = whole.crop(whole.getbbox()).convert("RGBa")
            sums = np.asarray(picture, np.float64).sum((0, 1))
            self._sprites[key] = Sprite(picture, oklab(255 * sums[:3] / sums[3]))
        return self._sprites[key]

    def _shape(self, thing: Thing) -> tuple[float, float]:
        wide, high = self.sprite(thing.noun, thing.colour).picture.size
        return wide / max(wide, high), high / max(wide, high)

    def _seen(self, spots: list[Spot], backdrop: np.ndarray) -> bool:
        for spot in spots:
            column, row = (min(max(int(at * self.size), 0), self.size - 1) for at in (spot.x, spot.y))
            apart = self.sprite(spot.thing.noun, spot.thing.colour, spot.icon).mean - oklab(backdrop[row, column])
            if np.linalg.norm(apart) < _APART:
                return False
        return True

    def _draw(self, canvas: Image.Image, spot: Spot) -> tuple[float, ...]:
        sprite = self.sprite(spot.thing.noun, spot.thing.colour, spot.icon).picture
        scale = spot.side * self.size / max(sprite.size)
        wide, high = (max(1, round(each * scale)) for each in sprite.size)
        left = min(max(round(spot.x * self.size - wide / 2), 0), self.size - wide)
        top = min(max(round(spot.y * self.size - high / 2), 0), self.size - high)
        region = (left, top, left + wide, top + high)
        small = np.asarray(sprite.resize((wide, high), Image.Resampling.HAMMING), np.float32)
        behind = np.asarray(canvas.crop(region), np.float32)
        mixed = small[..., :3] + behind * (1 - small[..., 3:] / 255)
        canvas.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), region)
        return tuple(round(each / self.size, 4) for each in region)
