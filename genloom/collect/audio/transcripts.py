"""Captions from tables of speech: LJSpeech's metadata.csv, and the speaker in other tables, as in Common Voice."""

import functools
from collections.abc import Mapping
from pathlib import Path

from genloom.collect.captions import normalize_caption
from genloom.media.text import encoding

LJSPEECH_FILE = "metadata.csv"
MAX_BYTES = 64 << 20
SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id", "reader", "voice")


def find_transcript(path: Path, root: Path) -> str:
    """Return the text of a recording in the metadata.csv of its folder or one above it, up to the root; "" if none."""
    for folder in path.parents:
        if transcript := read_transcripts(folder / LJSPEECH_FILE).get(path.stem):
            return transcript
        if folder == root or root not in folder.parents:
            break
    return ""


@functools.lru_cache(64)
def read_transcripts(path: Path) -> Mapping[str, str]:
    """Return the texts of a table like LJSpeech's by the names of the recordings; {} for no such table.

    A line is "name|text as written|text as spoken", without a header and without quotes; the last text counts.
    """
    try:
        if path.is_symlink() or path.stat().st_size > MAX_BYTES:
            return {}
        lines = "".join(encoding.open_text(path)).splitlines()
    except (OSError, ValueError):
        return {}
    transcripts = {}
    for line in lines:
        name, bar, rest = line.partition("|")
        if not bar:
            continue
        texts = [text for each in rest.split("|") if (text := normalize_caption(each))]
        if texts:
            transcripts[Path(name.strip()).stem if name.strip().endswith(".wav") else name.strip()] = texts[-1]
    return transcripts if 2 * len(transcripts) > len(lines) else {}


def is_transcript_table(path: Path) -> bool:
    return path.name.lower() == LJSPEECH_FILE and bool(read_transcripts(path))


def clear_cache() -> None:
    """Forget the tables that were read, because they may have changed."""
    read_transcripts.cache_clear()
