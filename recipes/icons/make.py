"""Generates the captioned training images of the built-in image model: a Parquet file and its credits.

    python -m recipes.icons.make --out icons --pictures 60000
    genloom collect icons/icons.parquet --name icons

Two thirds are composed scenes, the rest single icons. Equal seeds and counts give identical files.
"""

import argparse
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from recipes.icons.captions import build_caption, shows_held_out
from recipes.icons.fetch import SETS, WORDS, Icon, fetch_package, read_icons
from recipes.icons.places import PLACES
from recipes.icons.plans import choose_option, sample_place
from recipes.icons.scenes import Painter, Scene, render_svg
from recipes.icons.things import list_other_things

MAIN = "fluent-emoji-flat"  # the set of scenes, and the default style of prompts
# The share of images that are single icons, by set; the rest are scenes.
MIXTURE = {
    MAIN: 0.17, "noto": 0.045, "twemoji": 0.04, "emojione": 0.035, "noto-v1": 0.04, "fxemoji": 0.02,
    "streamline-emojis": 0.03, "flat-color-icons": 0.01, "icon-park": 0.02,
}  # fmt: skip
MAX_RENDERED = 1500  # icons that are kept in memory
# Many people and faces look alike, so each is sampled less often than other icons.
WEIGHTS = {"People & Body": 0.25, "Smileys & Emotion": 0.6}


@dataclass(frozen=True)
class Picture:
    """A row of the file: pixels uint8 (size, size, 3), a caption, and the licence and source of the icons."""

    pixels: np.ndarray = field(repr=False)
    text: str
    licence: str
    source: str
    layout: str = ""  # of a scene, as JSON


class Maker:
    """Generates images; each is a function of (seed, number)."""

    def __init__(self, sets: Mapping[str, Sequence[Icon]], size: int = 64, *, has_others: bool = False) -> None:
        self.size = size
        self._sets = {name: [icon for icon in icons if not shows_held_out(icon)] for name, icons in sets.items()}
        weights = {
            name: np.array([WEIGHTS.get(icon.category, 1.0) for icon in icons]) for name, icons in self._sets.items()
        }
        self._probabilities = {name: weight / weight.sum() for name, weight in weights.items()}
        svgs = {icon.name: icon.svg for icon in sets[MAIN]}
        others = list_other_things(icon for icons in self._sets.values() for icon in icons) if has_others else None
        if others is not None:
            svgs |= {f"{icon.set}/{icon.name}": icon.svg for icons in sets.values() for icon in icons}
        self._painter = Painter(svgs, size, max(160, size), others)
        self._rendered: dict[tuple[str, str], Image.Image] = {}
        self._credit = sets[MAIN][0]
        self._licences = {name: icons[0].licence for name, icons in sets.items() if icons}

    def picture(self, seed: int, number: int) -> Picture:
        rng = np.random.default_rng((seed, number, 1))
        which = rng.random()
        for name, share in MIXTURE.items():
            which -= share
            if which < 0:
                probabilities = self._probabilities[name]
                return self._icon(self._sets[name][int(rng.choice(len(probabilities), p=probabilities))], rng)
        scene = self._painter.scene(seed, number)
        licences = {self._credit.licence: None, **dict.fromkeys(self._licences[each] for each in list_sets(scene))}
        return Picture(
            scene.picture,
            scene.caption,
            " AND ".join(licences),
            " ".join([MAIN, *list_sets(scene)]),
            json.dumps(scene.layout()),
        )

    def _icon(self, icon: Icon, rng: np.random.Generator) -> Picture:
        """Render a single icon, nearly as large as the image, on white or at a place that the caption names."""
        place = sample_place(rng, scenery=0.2 if icon.set == MAIN else 0.0, plain=0.12)
        place = "" if shows_held_out(icon, place) else place
        text = build_caption(icon, choose_option(rng, PLACES[place].phrases), rng)
        canvas = Image.fromarray(np.rint(PLACES[place].paint(self.size, rng)).astype(np.uint8))
        side = round(self.size * float(rng.uniform(0.80, 0.94)))
        at = (self.size - side) // 2
        drawing = self._render(icon).resize((side, side), Image.Resampling.HAMMING).convert("RGBA")
        canvas.paste(drawing, (at, at), drawing)
        return Picture(np.asarray(canvas), text, icon.licence, f"{icon.set}/{icon.name}")

    def _render(self, icon: Icon) -> Image.Image:
        key = (icon.set, icon.name)
        if key not in self._rendered:
            if len(self._rendered) >= MAX_RENDERED:
                self._rendered.clear()
            self._rendered[key] = render_svg(icon.svg, 2 * self.size).convert("RGBa")
        return self._rendered[key]


def list_sets(scene: Scene) -> list[str]:
    """Return the sets, besides the main one, that the things of a scene come from."""
    names = [thing.icon.partition("/")[0] for thing in scene.plan.things if thing.icon]
    return sorted({*names} - {MAIN})


def build_attribution(sets: Mapping[str, Sequence[Icon]]) -> str:
    """Return the authors and licences of the icons, as CC-BY requires."""
    lines = ["# Credits of the icons in these images", ""]
    for name, icons in sets.items():
        changes = "Rendered small, in scenes also recoloured" if name == MAIN else "Rendered small, also in scenes"
        lines.append(f"- {icons[0].credit}: {icons[0].licence}. {changes}.")
    return "\n".join([*lines, "- Labels and tags: emojibase-data by Miles Johnson, https://emojibase.dev: MIT.", ""])


def encode_webp(pixels: np.ndarray) -> bytes:
    """Encode an image as lossless WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, method=3, score_quality=20)
    return file.getvalue()


_COLUMNS = pa.schema(
    [("image", pa.binary()), *((name, pa.string()) for name in ("text", "licence", "source", "layout"))]
)


def write_parquet(path: Path, pictures: Iterator[Picture], group: int = 2000) -> None:
    """Write the Parquet file in row groups."""
    with pq.ParquetWriter(path, _COLUMNS, compression="zstd") as file:
        rows: list[dict] = []
        for picture in pictures:
            rows.append({"image": encode_webp(picture.pixels)} | {k: getattr(picture, k) for k in _COLUMNS.names[1:]})
            if len(rows) == group:
                file.write_table(pa.Table.from_pylist(rows, _COLUMNS))
                rows = []
        if rows:
            file.write_table(pa.Table.from_pylist(rows, _COLUMNS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=64, help="image side in pixels")
    parser.add_argument("--others", action="store_true", help="scenes also show things beyond the vocabulary")
    parser.add_argument("--packages", type=Path, help="folder of the npm tarballs [default: OUT/packages]")
    args = parser.parse_args()
    folder = args.packages or args.out / "packages"
    try:
        words = fetch_package(WORDS, folder)
        sets = {name: list(read_icons(name, fetch_package(SETS[name], folder), words)) for name in MIXTURE}
    except ValueError as error:
        raise SystemExit(f"{error}") from None
    args.out.mkdir(parents=True, exist_ok=True)
    maker = Maker(sets, args.size, has_others=args.others)
    write_parquet(args.out / "icons.parquet", (maker.picture(args.seed, number) for number in range(args.pictures)))
    (args.out / "ATTRIBUTION.md").write_text(build_attribution(sets), encoding="utf-8")
    print(f"{args.pictures:,} pictures in {args.out / 'icons.parquet'}, their credits in ATTRIBUTION.md")


if __name__ == "__main__":
    main()
