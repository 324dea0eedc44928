"""Composed scenes: an image, its caption and its layout, as functions of (seed, index)."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import resvg_py
from PIL import Image

from recipes.icons.colours import find_body_fills, measure_fill_areas, recolour_fills, to_oklab
from recipes.icons.heldout import is_trainable
from recipes.icons.layouts import Spot, arrange_plan
from recipes.icons.places import PLACES, SOFT
from recipes.icons.plans import Plan, Thing, describe_plan, sample_plan
from recipes.icons.things import OtherThing
from recipes.icons.vocabulary import NOUNS

MAX_SPRITES = 1500  # that are kept in memory
_MIN_CONTRAST = 0.15  # distance in OKLab between a thing and its background


@dataclass(frozen=True)
class PlacedThing:
    """A thing in an image and its box (left, top, right, bottom), relative to the image side."""

    noun: str
    colour: str
    box: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """An image uint8 (size, size, 3), its caption, its plan and its things from back to front."""

    picture: np.ndarray = field(repr=False)
    caption: str
    plan: Plan
    objects: tuple[PlacedThing, ...]

    def layout(self) -> dict:
        """Return the plan and the boxes, as JSON values."""
        return asdict(self.plan) | {"objects": [asdict(thing) for thing in self.objects]}


def render_svg(svg: str, size: int) -> Image.Image:
    """Render an SVG as an RGBA image of size × size, without fonts."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


@dataclass(frozen=True)
class Sprite:
    """A cropped thing with premultiplied alpha (mode RGBa), and its mean colour in OKLab."""

    picture: Image.Image
    mean: np.ndarray


class Painter:
    """Paints scenes of size × size with the icons `svgs` (SVG text by Fluent name).

    Each thing is rendered once, at `detail` × `detail`, and scaled down from that. Scenes also show `others`, by their
    roles, whose SVG text is in `svgs` by SET/NAME.
    """

    def __init__(
        self,
        svgs: Mapping[str, str],
        size: int = 64,
        detail: int = 160,
        others: Mapping[str, Sequence[OtherThing]] | None = None,
    ) -> None:
        self.size, self.detail = size, detail
        self._svgs, self._others = svgs, others
        self._sprites: dict[tuple[str, str], Sprite] = {}

    def scene(self, seed: int, index: int) -> Scene:
        """Return a scene that training may show."""
        rng = np.random.default_rng((seed, index))
        while True:
            plan = sample_plan(rng, self._others)
            if is_trainable(plan) and (scene := self.paint(plan, rng)):
                return scene

    def paint(self, plan: Plan, rng: np.random.Generator) -> Scene | None:
        """Paint the plan; return None if a thing has too little contrast."""
        spots = arrange_plan(plan, self._shape, rng)
        backdrop = PLACES[plan.place].paint(self.size, rng)
        if not plan.place and not self._is_visible(spots, backdrop):
            backdrop[:] = SOFT[int(rng.integers(len(SOFT)))]  # the caption does not mention the background
        if not self._is_visible(spots, backdrop):
            return None
        canvas = Image.fromarray(np.rint(backdrop).astype(np.uint8))
        objects = tuple(PlacedThing(spot.thing.noun, spot.thing.colour, self._draw(canvas, spot)) for spot in spots)
        return Scene(np.asarray(canvas), describe_plan(plan, rng), plan, objects)

    def sprite(self, noun: str, colour: str = "", icon: str = "") -> Sprite:
        """Return the sprite of a noun, recoloured if `colour` is given, or of another icon."""
        key = (icon or NOUNS[noun].icon, colour)
        if key not in self._sprites:
            if len(self._sprites) >= MAX_SPRITES:
                self._sprites.clear()
            svg = self._svgs[key[0]]
            if colour:
                share = measure_fill_areas(svg, np.asarray(render_svg(svg, min(self.detail, 64))))
                fills = tuple(code for code in NOUNS[noun].body if code in share) or find_body_fills(share)
                svg = recolour_fills(svg, colour, fills, share)
            image = render_svg(svg, self.detail)
            picture = image.crop(image.getbbox()).convert("RGBa")
            sums = np.asarray(picture, np.float64).sum((0, 1))
            self._sprites[key] = Sprite(picture, to_oklab(255 * sums[:3] / sums[3]))
        return self._sprites[key]

    def _shape(self, thing: Thing) -> tuple[float, float]:
        wide, high = self.sprite(thing.noun, thing.colour, thing.icon).picture.size
        return wide / max(wide, high), high / max(wide, high)

    def _is_visible(self, spots: list[Spot], backdrop: np.ndarray) -> bool:
        for spot in spots:
            column, row = (min(max(int(at * self.size), 0), self.size - 1) for at in (spot.x, spot.y))
            difference = self.sprite(spot.thing.noun, spot.thing.colour, spot.drawing).mean - to_oklab(
                backdrop[row, column]
            )
            if np.linalg.norm(difference) < _MIN_CONTRAST:
                return False
        return True

    def _draw(self, canvas: Image.Image, spot: Spot) -> tuple[float, ...]:
        sprite = self.sprite(spot.thing.noun, spot.thing.colour, spot.drawing).picture
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
