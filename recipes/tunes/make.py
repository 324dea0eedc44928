"""Writes the training data of the built-in model of tunes: passages of the pieces, with captions.

python -m recipes.tunes.make --out tunes
genloom collect tunes/tunes.parquet --name tunes
"""

import argparse
import hashlib
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genloom.codecs.notes import Codec, list_voices
from genloom.media import music
from genloom.media.music.midi import write_midi
from genloom.media.music.score import Score
from recipes.tunes.captions import describe_piece
from recipes.tunes.fetch import Piece, fetch, iter_pieces

MAX_BARS, MAX_TOKENS = 16, 760  # of a passage, so that it fits with a task of filling into 1,024 tokens
LICENCE = "Public domain work; encoding distributed with music21 (BSD-3-Clause)"


def cut_passages(score: Score) -> Iterator[Score]:
    """Yield passages of about equal length within the limits; a piece of too many voices gives none."""
    if len(list_voices(score)) > 8 or not score.bars:
        return
    codec, num_bars = Codec((score.style,)), len(score.bars)
    count = -(-num_bars // MAX_BARS)
    while count <= num_bars:
        passages = [score.cut(*edges) for edges in music.find_passages(score, count)]
        if all(len(codec.encode(passage)) <= MAX_TOKENS for passage in passages):
            yield from (passage for passage in passages if passage.num_notes >= 4)
            return
        count += 1


def build_rows(pieces: Iterable[Piece]) -> Iterator[dict[str, object]]:
    for piece in pieces:
        for number, passage in enumerate(cut_passages(piece.score), start=1):
            content = write_midi(passage)
            rng = random.Random(hashlib.sha256(content).digest())
            yield {
                "content": content,
                "caption": describe_piece(passage, rng),
                "source": f"{piece.work}:{number}",
                "licence": LICENCE,
                "file": piece.file,
                "credit": piece.credit,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for tunes.parquet and what it is made from")
    folder = parser.parse_args().out
    rows = list(build_rows(iter_pieces(fetch(folder))))
    pq.write_table(pa.Table.from_pylist(rows), folder / "tunes.parquet")
    print(f"{len(rows):,} passages in {folder / 'tunes.parquet'}")


if __name__ == "__main__":
    main()
