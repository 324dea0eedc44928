"""Writes the training data of the built-in model of sounds: synthesised sounds with exact captions, in a Parquet file.

python -m recipes.sounds.make --out sounds --count 20000
genloom collect sounds/sounds.parquet --name sounds
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genloom.media import audio
from recipes.sounds.scenes import build_scene

LICENCE = "CC0-1.0"  # the sounds are computed; nobody recorded them
GROUP = 1000  # sounds of a row group
SCHEMA = pa.schema(
    [("audio", pa.binary()), *((name, pa.string()) for name in ("text", "kind", "plan", "licence", "source"))]
)


def build_rows(seed: int, first: int, count: int) -> Iterator[dict[str, object]]:
    """Yield the rows of the file."""
    for number in range(first, first + count):
        scene = build_scene(seed, number)
        yield {
            "audio": audio.encode(scene.sound),
            "text": scene.caption,
            "kind": scene.kind,
            "plan": scene.to_json(),
            "licence": LICENCE,
            "source": f"sounds:{seed}:{number}",
        }


def write_parquet(path: Path, rows: Iterator[dict[str, object]], group: int = GROUP) -> int:
    """Write the rows in groups to a file aside, and rename it; return their number."""
    aside, num_rows = path.with_suffix(".part"), 0
    with pq.ParquetWriter(aside, SCHEMA, compression="zstd") as file:
        batch: list[dict[str, object]] = []
        for row in rows:
            batch.append(row)
            num_rows += 1
            if len(batch) == group:
                file.write_table(pa.Table.from_pylist(batch, SCHEMA))
                batch = []
                print(f"{num_rows:,} sounds", end="\r", flush=True)
        if batch:
            file.write_table(pa.Table.from_pylist(batch, SCHEMA))
    aside.rename(path)
    return num_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first sound")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "sounds.parquet"
    num_rows = write_parquet(path, build_rows(arguments.seed, arguments.first, arguments.count))
    print(f"{num_rows:,} sounds in {path}")


if __name__ == "__main__":
    main()
