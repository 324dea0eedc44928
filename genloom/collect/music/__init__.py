"""Collect scores: read them on the grid, cut long pieces into passages, compare them in any key."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.collect import captioned, captions, licence, media_tables
from genloom.collect.duplicates import Sketches
from genloom.collect.options import Note, Options, Report
from genloom.collect.preparation import Counters, Document, Skip
from genloom.collect.slug import decode_lossy
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.media import music
from genloom.media.music import midi
from genloom.media.music.score import DRUMS, Score, find_key
from genloom.settings import option

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "tune"
accepted_files = "mid, musicxml, mxl, abc or krn files, or parquet files with MIDI in them"
drop_reasons = {
    "exact copy": "the same as another tune",
    "near-duplicate": "nearly the same as another tune, in any key",
    "few_notes": "with fewer than four notes",
}
FILE_COLUMNS = (*captions.FILE_COLUMNS, "midi_filename")
CONTENT_COLUMNS = (*media_tables.CONTENT_COLUMNS, "midi")
GENERIC_WORDS = frozenset({"midi", "track", "song", "music", "score", "untitled", "part", "movement", "final"})
GRAM = 8  # intervals with their rhythm that are compared together


@dataclass(frozen=True)
class Config(Options):
    """Options for collecting scores."""

    passage_bars: int = option(20, "Bars of the passages that a longer piece is cut into.", minimum=1, maximum=64)


@dataclass(frozen=True)
class RawScore(captioned.RawValue):
    """A passage of a piece as MIDI, with its caption."""

    repairs: midi.Repairs = midi.Repairs()


def count_matching_files(files: Sequence[SourceFile]) -> int:
    """Count the files with notes by their names, and the rows of tables with MIDI."""
    return captioned.count_files(files, is_score, has_midi)


def is_score(file: SourceFile) -> bool:
    """Return whether the name is one of a score; .xml is only counted with a word for it in its first bytes."""
    suffix = file.path.suffix.lower()
    if suffix != ".xml":
        return suffix in music.suffixes
    try:
        with file.path.open("rb") as opened:
            head = opened.read(4000).replace(b"\0", b"")  # UTF-16 too
            return b"score-partwise" in head or b"score-timewise" in head
    except OSError:
        return False


def has_midi(file: SourceFile) -> bool:
    """Return whether a file is a table whose first row holds a MIDI file."""
    return captioned.has_values(file, CONTENT_COLUMNS, lambda data: data.startswith(b"MThd"))


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """Return the scores and tables of scores, and a note on the other files but those that may describe scores."""
    return captioned.select_files(files, "score", is_score, has_midi)


def read(file: SourceFile, options: Config) -> Iterator[RawScore | Note]:
    """Yield the passages of the pieces in a file; bad input yields a Note and never raises."""
    scores = read_rows(file, options) if file.path.suffix.lower() == ".parquet" else read_file(file, options)
    return captioned.iter_with_notes(file, scores)


def read_rows(file: SourceFile, options: Config) -> Iterator[RawScore]:
    """Yield the rows of a table with MIDI, undecoded."""
    for row in media_tables.read_media_rows(file.path, options.column, CONTENT_COLUMNS, options.keep):
        entry, source = row.caption_entry, row.source or f"{file.name}:{row.number}"
        origin = captioned.FROM_TABLE
        yield RawScore(row.data, source, entry.caption, origin, entry.licence, False, entry.kept_values)


def read_file(file: SourceFile, options: Config) -> Iterator[RawScore | Note]:
    """Yield the passages of the pieces in a file, and a note if some pieces are damaged."""
    if file.size > music.MAX_BYTES:
        raise GenloomError("music.file_too_large", limit=music.MAX_BYTES >> 20)
    entry, origin = captions.find_caption(file.path, file.root, FILE_COLUMNS, options.keep)
    problems: list[str] = []
    pieces = music.read(file.path.read_bytes(), file.path.suffix.lower(), problems)
    if problems:
        error = GenloomError(
            "collect.pieces_unread", count=len(problems), total=len(problems) + len(pieces), reason=problems[0]
        )
        yield Note.from_error(file.name, error, is_skipped=False)
    for number, (score, repairs) in enumerate(pieces, start=1):
        score = with_key(score)
        source = file.name if len(pieces) == 1 else f"{file.name}#{number}"
        stem = captions.derive_caption(decode_lossy(PurePosixPath(file.path.name).stem), GENERIC_WORDS)
        caption, caption_source = captions.pick_caption(
            (entry.caption, origin), (score.title, "the file itself"), (stem, "the file's name")
        )
        passages = list(cut_passages(score, options.passage_bars))
        for index, passage in enumerate(passages):
            yield RawScore(
                midi.write_midi(passage),
                source if len(passages) == 1 else f"{source}:{index + 1}",
                caption,
                caption_source,
                entry.licence,
                len(pieces) == len(passages) == 1,
                entry.kept_values,
                repairs if index == 0 else midi.Repairs(),
            )


def with_key(score: Score) -> Score:
    """Return the score with the key that its notes sound in, if it names none: models learn all keys as one."""
    return score if score.key else replace(score, key=find_key(score))


def cut_passages(score: Score, num_bars: int) -> Iterator[Score]:
    """Yield passages of about equal length, at most `num_bars` bars each; empty ones are left out."""
    count = -(-len(score.bars) // num_bars)
    for edges in music.find_passages(score, max(count, 1)):
        passage = score.cut(*edges)
        if passage.num_notes:
            yield passage


def build_document(raw: RawScore, options: Config, counters: Counters) -> tuple[Document, tuple[np.ndarray, int]]:
    """Return the passage as MIDI with its caption, and what its sketch is made of: its grams, and its piece."""
    score, repairs = midi.read_midi(raw.data)
    if score.num_notes < 4:
        raise Skip("few_notes")
    score = with_key(score)
    for changes in (raw.repairs, repairs):
        counters["changed"].update(asdict(changes))
    content = midi.write_midi(score)
    document = Document(
        raw.caption,
        hashlib.sha256(content).digest(),
        raw.source,
        options.licence or raw.licence or licence.UNKNOWN_LICENCE,
        len(content),
        {"content": content},
        {"captions": raw.caption_source},
        tuple(music.check(music.Item(score))),
    )
    piece = raw.source.rpartition(":")[0] or raw.source
    return document, (list_grams(score), hash_bytes(piece.encode("utf-8", "surrogatepass")))


def describe_changes(report: Report) -> list[str]:
    """Return a line on what was changed or lost in the scores."""
    changes = str(midi.Repairs(**report.counters["changed"]))
    return [f"changed: {changes}"] if changes else []


def hash_bytes(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def list_grams(score: Score) -> np.ndarray:
    """Return the hashes of intervals with rhythm in every part, the same in all keys and tempos."""
    grams: list[int] = []
    for part in score.parts:
        if part.program == DRUMS or len(part.notes) <= GRAM:
            continue
        highest = {note.onset: note.pitch for note in part.notes}  # of notes that begin together, sorted by pitch
        onsets, pitches = np.array(list(highest)), np.array(list(highest.values()))
        steps = np.stack([np.diff(pitches), np.diff(onsets)], 1).astype(np.int32)
        grams += [hash_bytes(steps[i : i + GRAM].tobytes()) for i in range(len(steps) - GRAM + 1)]
    return np.unique(np.array(grams, np.uint64))


NUM_HASHES, NUM_BANDS = 64, 16


def compute_sketches(sketch_inputs: list[Any], digests: list[bytes], should_find_near: bool) -> Sketches:
    """Return the MinHash signatures (Broder 1997) of the grams, in bands of four; passages of a piece are linked."""
    links = np.array([piece for _, piece in sketch_inputs], np.uint64)
    exact = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
    if not should_find_near:
        return Sketches(exact.reshape(-1, 1), np.zeros((len(digests), 0), np.uint8), links_B=links)
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 1 << 63, NUM_HASHES, np.uint64) | np.uint64(1)
    signatures = np.zeros((len(digests), NUM_HASHES), np.uint64)
    for row, ((grams, _), value) in enumerate(zip(sketch_inputs, exact, strict=True)):
        signatures[row] = (grams[:, None] * factors).min(0) if len(grams) else value
    bands = signatures.reshape(len(digests), NUM_BANDS, NUM_HASHES // NUM_BANDS)
    mixed = (bands * factors[: bands.shape[2]]).sum(2) ^ np.arange(NUM_BANDS, dtype=np.uint64)
    low = (signatures >> np.uint64(40)).astype(np.uint32).view(np.uint8).reshape(len(digests), 4 * NUM_HASHES)
    return Sketches(np.concatenate([exact.reshape(-1, 1), mixed], 1), low, links_B=links)


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    """Return the share of equal hashes, which estimates the Jaccard similarity of the grams."""
    own = signature_P.reshape(-1, 4)
    others = signatures_NP.reshape(len(signatures_NP), NUM_HASHES, 4)
    return (own == others).all(2).mean(1)


def build_columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    import pyarrow as pa

    return {"content": pa.array([document.columns["content"] for document in documents], pa.binary())}
