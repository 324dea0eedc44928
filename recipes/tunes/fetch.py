"""Fetches the pinned package music21 from PyPI and reads the free part of the scores in it, one piece at a time."""

import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from genloom.media.music.notation import read_notation
from genloom.media.music.score import Score
from recipes import wheels

VERSION = "10.5.1"
SHA256 = "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1"
MAX_MEMBER_BYTES = 16 << 20


@dataclass(frozen=True)
class Source:
    """A folder of the corpus."""

    folder: str
    style: str
    credit: str
    programs: tuple[int, ...] = ()  # of the parts, from the highest; (): those of the files
    every: int = 1  # one of so many files is read, where a source would outweigh the others


VOICES = (52,)
STRINGS = (40, 40, 41, 42)
SOURCES = (
    Source("bach", "chorale", "J. S. Bach, encoded by Margaret Greentree", VOICES),
    Source("oneills1850", "folk tune", "O'Neill's Music of Ireland (1903), transcribed by volunteers", (73,)),
    Source("ryansMammoth", "fiddle tune", "Ryan's Mammoth Collection (1883), transcribed by volunteers", (40,)),
    Source("airdsAirs", "air", "Aird's Airs (1782), transcribed by Jack Campin", (73,)),
    Source("palestrina", "mass", "G. P. da Palestrina, encoded by John Miller", VOICES, every=8),
    Source("monteverdi", "madrigal", "C. Monteverdi, encoded for music21", VOICES),
    Source("trecento", "ballata", "Polyphony of the fourteenth century, encoded for music21", VOICES, every=2),
    Source("mozart", "string quartet", "W. A. Mozart, encoded for music21", STRINGS),
    Source("haydn", "string quartet", "J. Haydn, encoded for music21", STRINGS),
)


TUNE_FOLDERS = ("oneills1850", "ryansMammoth", "airdsAirs")


@dataclass(frozen=True)
class Piece:
    """A piece with its origin; pieces of one `work` are variants of one another."""

    score: Score
    file: str
    work: str
    credit: str


def fetch_wheel(folder: Path) -> Path:
    """Return the wheel of music21 in `folder`, downloaded by pip if missing; ValueError if its digest is another."""
    return wheels.fetch_wheel(folder, "music21", VERSION, SHA256)


def iter_pieces(wheel: Path) -> Iterator[Piece]:
    """Yield the pieces of all sources; a file that cannot be read is named on standard error."""
    with zipfile.ZipFile(wheel) as archive:
        for source in SOURCES:
            pattern = re.compile(rf"music21/corpus/{source.folder}/.*\.(mxl|krn|xml|abc)$")
            names = sorted(name for name in archive.namelist() if pattern.match(name))
            for name in names[:: source.every]:
                if archive.getinfo(name).file_size > MAX_MEMBER_BYTES:
                    continue
                try:
                    scores = list(read_notation(archive.read(name), Path(name).suffix, []))
                except ValueError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                for number, (score, _) in enumerate(scores):
                    file = name.removeprefix("music21/corpus/") + (f"#{number + 1}" if len(scores) > 1 else "")
                    yield Piece(with_instruments(score, source), file, find_work(file, score), source.credit)


def with_instruments(score: Score, source: Source) -> Score:
    """Return the score in the style of its source, with the instruments that play it."""
    programs = source.programs or tuple(part.program for part in score.parts)
    if source.programs == STRINGS and len(score.parts) != 4:
        programs = tuple(part.program for part in score.parts)
    parts = tuple(
        replace(part, program=programs[min(index, len(programs) - 1)]) for index, part in enumerate(score.parts)
    )
    return replace(score, parts=parts, style=source.style)


def find_work(file: str, score: Score) -> str:
    """Return a name that all variants of a piece share.

    That of a chorale is its number without a version, that of a tune its title, which several collections have.
    """
    folder, _, name = file.partition("/")
    if folder == "bach":
        return re.sub(r"[-.].*", "", Path(name).stem)
    title = " ".join(re.findall(r"[a-z0-9]+", score.title.lower()))
    return title if folder in TUNE_FOLDERS and title else file
