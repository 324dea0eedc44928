"""Makes the captioned pictures that the built-in model of pictures is trained on: one Parquet file and its credits.

    python -m recipes.icons.make --out icons --pictures 60000
    genloom collect icons/icons.parquet --name icons

Two thirds are composed scenes, the rest single icons. The same seed and count give the same file, bit by bit.
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

from recipes.icons.captions import caption, shows_held_out
from recipes.icons.fetch import SETS, WORDS, Icon, fetch, icons
from recipes.icons.places import PLACES
from recipes.icons.plans import one_of, place_of
from recipes.icons.scenes import Painter, rendered

MAIN = "fluent-emoji-flat"  # the set that scenes are drawn with, and the style of a prompt that names none
# The share of all pictures that are single icons, by their set; the rest are scenes.
MIXTURE = {MAIN: 0.24, "noto": 0.045, "twemoji": 0.035, "flat-color-icons": 0.01, "icon-park": 0.02}
# Of people and faces there are many that look alike, so each comes more seldom than a thing.
WEIGHTS = {"People & Body": 0.25, "Smileys & Emotion": 0.6}


@dataclass(frozen=True)
class Picture:
    """One row of the file: pixels uint8 (size, size, 3), what they show, and whose icons they are drawn with."""

    pixels: np.ndarray = field(repr=False)
    text: str
    licence: str
    source: str
    layout: str = ""  # of a scene, as JSON


class Maker:
    """Makes the picture of a number, from (seed, number) alone."""

    def __init__(self, sets: Mapping[str, Sequence[Icon]], size: int = 64) -> None:
        self.size = size
        self._sets = {name: [icon for icon in some if not shows_held_out(icon)] for name, some in sets.items()}
        weights = {
            name: np.array([WEIGHTS.get(icon.category, 1.0) for icon in some]) for name, some in self._sets.items()
        }
        self._chances = {name: each / each.sum() for name, each in weights.items()}
        self._painter = Painter({icon.name: icon.svg for icon in sets[MAIN]}, size)
        self._rendered: dict[tuple[str, str], Image.Image] = {}
        self._credit = sets[MAIN][0]

    def picture(self, seed: int, number: int) -> Picture:
        rng = np.random.default_rng((seed, number, 1))
        which = rng.random()
        for name, share in MIXTURE.items():
            which -= share
            if which < 0:
                chances = self._chances[name]
                return self._icon(self._sets[name][int(rng.choice(len(chances), p=chances))], rng)
        scene = self._painter.scene(seed, number)
        return Picture(scene.picture, scene.caption, self._credit.licence, MAIN, json.dumps(scene.layout()))

    def _icon(self, icon: Icon, rng: np.random.Generator) -> Picture:
        """An icon by itself, nearly as large as the picture, on white or at a place that the caption names."""
        place = place_of(rng, scenery=0.2 if icon.set == MAIN else 0.0, plain=0.12)
        place = "" if shows_held_out(icon, place) else place
        said = caption(icon, one_of(rng, PLACES[place].phrases), rng)
        canvas = Image.fromarray(np.rint(PLACES[place].paint(self.size, rng)).astype(np.uint8))
        side = round(self.size * float(rng.uniform(0.80, 0.94)))
        at = (self.size - side) // 2
        drawn = self._drawn(icon).resize((side, side), Image.Resampling.HAMMING).convert("RGBA")
        canvas.paste(drawn, (at, at), drawn)
        return Picture(np.asarray(canvas), said, icon.licence, f"{icon.set}/{icon.name}")

    def _drawn(self, icon: Icon) -> Image.Image:
        key = (icon.set, icon.name)
        if key not in self._rendered:
            self._rendered[key] = rendered(icon.svg, 2 * self.size).convert("RGBa")
        return self._rendered[key]


def attribution(sets: Mapping[str, Sequence[Icon]]) -> str:
    """Who drew the icons and under which licence, as CC-BY asks."""
    lines = ["# Whose drawings these pictures are made of", ""]
    for name, some in sets.items():
        changes = "Rendered small, in scenes also recoloured" if name == MAIN else "Rendered small, otherwise unchanged"
        lines.append(f"- {some[0].credit}: {some[0].licence}. {changes}.")
    return "\n".join([*lines, "- Labels and tags: emojibase-data by Miles Johnson, https://emojibase.dev: MIT.", ""])


def webp(pixels: np.ndarray) -> bytes:
    """The picture as lossless WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, method=3, score_quality=20)
    return file.getvalue()


_COLUMNS = pa.schema(
    [("image", pa.binary()), *((name, pa.string()) for name in ("text", "licence", "source", "layout"))]
)


def write(path: Path, pictures: Iterator[Picture], group: int = 2000) -> None:
    """Writes the Parquet file, `group` rows at a time."""
    with pq.ParquetWriter(path, _COLUMNS, compression="zstd") as file:
        rows: list[dict] = []
        for each in pictures:
            rows.append({"image": webp(each.pixels)} | {k: getattr(each, k) for k in _COLUMNS.names[1:]})
            if len(rows) == group:
                file.write_table(pa.Table.from_pylist(rows, _COLUMNS))
                rows = []
        if rows:
            file.write_table(pa.Table.from_pylist(rows, _COLUMNS))


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--out", type=Path, required=True, help="folder to write into")
    ask.add_argument("--pictures", type=int, default=60_000)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--size", type=int, default=64, help="pixels a side")
    ask.add_argument("--packages", type=Path, help="folder of the npm tarballs (OUT/packages)")
    given = ask.parse_args()
    folder = given.packages or given.out / "packages"
    try:
        words = fetch(WORDS, folder)
        sets = {name: list(icons(name, fetch(SETS[name], folder), words)) for name in MIXTURE}
    except ValueError as error:
        raise SystemExit(f"{error}") from None
    given.out.mkdir(num_parents=True, exist_ok=True)
    maker = Maker(sets, given.size)
    write(given.out / "icons.parquet", (maker.picture(given.seed, number) for number in range(given.pictures)))
    (given.out / "ATTRIBUTION.md").write_text(attribution(sets), encoding="utf-8")
    print(f"{given.pictures:,} pictures in {given.out / 'icons.read_parquet_rows'}, their credits in ATTRIBUTION.md")


if __name__ == "__main__":
    main()
