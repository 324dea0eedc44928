"""Collect sounds: cut long recordings into clips, find their captions, compare them by their spectra."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from genloom.collect import captioned, captions, licence, media_tables
from genloom.collect.audio import likeness, transcripts
from genloom.collect.audio.options import Config as Config
from genloom.collect.options import Note
from genloom.collect.preparation import Counters, Document, Skip
from genloom.collect.slug import decode_lossy
from genloom.collect.sources import SourceFile
from genloom.errors import GenloomError
from genloom.media import audio
from genloom.media.audio import processing, reading
from genloom.media.audio.sound import Sound
from genloom.types import Item

if TYPE_CHECKING:  # pyarrow takes a third of a second to import
    import pyarrow as pa

noun = "sound"
accepted_files = "wav, flac, mp3, ogg, opus, m4a or aiff files, or parquet files with sounds in them"
drop_reasons = {
    "exact copy": "the same as another sound",
    "near-duplicate": "nearly the same as another sound",
    "silent": "silent",
}
FILE_COLUMNS = (*captions.FILE_COLUMNS, "audio", "audio_path", "audio_file", "wav", "clip")
CONTENT_COLUMNS = ("audio", *media_tables.CONTENT_COLUMNS, "sound", "wav", "flac")
GENERIC_WORDS = frozenset(
    {
        "audio", "sound", "sounds", "track", "rec", "recording", "recordings", "untitled", "voice", "clip", "clips",
        "sample", "samples", "take", "wav", "wavs", "mono", "stereo", "memo", "new", "train", "test", "data", "zoom",
    }
)  # fmt: skip
compute_sketches = likeness.compute_sketches
compute_similarity = likeness.compute_similarity
MIN_CLIP_SHARE = 0.1  # of the length of a clip, that a rest has at least
SEARCH_SHARE = 0.25  # of a clip, at its end, in which a quiet place is looked for
QUIET_SECONDS = 0.05


@dataclass(frozen=True)
class RawSound(captioned.RawValue):
    """A clip as an encoded sound, or the bytes of a row, with what is known of it."""

    group: str = ""  # of those that belong in one split
    format: str = ""
    changes: tuple[str, ...] = ()


def count_matching_files(files: Sequence[SourceFile]) -> int:
    """Count the sounds by the suffixes of their files, and the rows of tables with sounds."""
    return captioned.count_files(files, is_sound, has_sounds)


def is_sound(file: SourceFile) -> bool:
    return file.path.suffix.lower() in audio.suffixes


def has_sounds(file: SourceFile) -> bool:
    """Return whether a file is a table whose first row holds a sound file."""
    return captioned.has_values(file, CONTENT_COLUMNS, lambda data: bool(reading.find_format(data)))


def select(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[Note]]:
    """Return the sounds and tables of sounds, and a note on the other files but those that may describe sounds."""
    transcripts.clear_cache()
    return captioned.select_files(files, "sound", is_sound, has_sounds)


def read(file: SourceFile, options: Config) -> Iterator[RawSound | Note]:
    """Yield the sounds of a file; a longer recording than a clip is cut; bad input yields a Note and never raises."""
    sounds = read_sound_rows(file, options) if file.format == "parquet" else read_file(file, options)
    return captioned.iter_with_notes(file, sounds)


def read_sound_rows(file: SourceFile, options: Config) -> Iterator[RawSound]:
    """Yield the rows of a table, undecoded; sounds in tables are not cut."""
    folder_licence = captioned.find_folder_licence(file)
    keep = (*options.keep, *transcripts.SPEAKER_COLUMNS)
    for row in media_tables.read_media_rows(file.path, options.column, CONTENT_COLUMNS, keep):
        entry = row.caption_entry
        yield RawSound(
            row.data,
            row.source or f"{file.name}:{row.number}",
            entry.caption,
            captioned.FROM_TABLE if entry.caption else "none",
            entry.licence or folder_licence,
            False,
            {name: entry.kept_values[name] for name in options.keep if name in entry.kept_values},
            choose_group(options, entry.kept_values, PurePosixPath(row.name).parent.name),
        )


def read_file(file: SourceFile, options: Config) -> Iterator[RawSound]:
    """Yield the clips of a recording with its caption: of a file or table beside it, its tags, or its name."""
    if file.size > reading.MAX_BYTES:
        raise GenloomError("audio.file_too_large", limit=reading.MAX_BYTES >> 20)
    keep = (*options.keep, *transcripts.SPEAKER_COLUMNS)
    entry, origin = captions.find_caption(file.path, file.root, FILE_COLUMNS, keep)
    data = file.path.read_bytes()
    recording = reading.read_sound(data)
    folder = "" if file.path.parent == file.root else decode_lossy(file.path.parent.name)
    caption, caption_source = captions.pick_caption(
        (entry.caption, origin),
        (transcripts.find_transcript(file.path, file.root), "a table beside it"),
        (next((recording.tags[name] for name in ("description", "comment", "title") if name in recording.tags), ""),
         "the file itself"),
        (captions.derive_caption(decode_lossy(file.path.stem), GENERIC_WORDS), "the file's name"),
        (captions.derive_caption(folder, GENERIC_WORDS), "the folder's name"),
    )  # fmt: skip
    tagged = next((recording.tags[name] for name in ("license", "copyright") if name in recording.tags), "")
    found_licence = entry.licence or (
        licence.identify_licence(tagged) if tagged else captioned.find_folder_licence(file)
    )
    clips = list(cut_clips(recording.sound, options.clip_seconds))
    for number, clip in enumerate(clips, start=1):
        yield RawSound(
            data if len(clips) == 1 else audio.encode(clip),
            file.name if len(clips) == 1 else f"{file.name}:{number}",
            caption,
            caption_source,
            found_licence,
            len(clips) == 1,
            {name: entry.kept_values[name] for name in options.keep if name in entry.kept_values},
            choose_group(options, entry.kept_values, folder) or (file.name if len(clips) > 1 else ""),
            recording.header.format,
            () if len(clips) == 1 else recording.changes,
        )


def choose_group(options: Config, kept_values: Mapping[str, Any], folder: str) -> str:
    """Return the name of the sounds that belong in one split with this one, "" for none."""
    if options.group == "folder":
        return folder
    speakers = (str(kept_values[name]) for name in transcripts.SPEAKER_COLUMNS if kept_values.get(name) is not None)
    return next(speakers, "") if options.group == "speaker" else ""


def cut_clips(sound: Sound, seconds: float) -> Iterator[Sound]:
    """Yield the clips of a sound, at most so long; a cut is at the quietest place of the last quarter of a clip."""
    length, begin = round(seconds * sound.rate), 0
    size = max(round(QUIET_SECONDS * sound.rate), 1)
    while sound.frames - begin > length:
        first = begin + round((1 - SEARCH_SHARE) * length)
        levels = processing.measure_levels(sound.samples[:, first : begin + length], size)
        end = min(first + (int(levels.argmin()) + 1) * size, begin + length)
        yield sound.cut(begin, end)
        begin = end
    if begin == 0 or sound.frames - begin >= MIN_CLIP_SHARE * length:
        yield sound.cut(begin, sound.frames)


def build_document(raw: RawSound, options: Config, counters: Counters) -> tuple[Document, likeness.SketchInput]:
    """Return the sound as FLAC with its caption, and what its sketch is made of; Skip a silent one."""
    recording = reading.read_sound(raw.data, max(options.clip_seconds, 2 * 60))
    counters["changed"].update(change.partition(":")[0] for change in (*raw.changes, *recording.changes))
    sound = process_sound(recording.sound, options, counters)
    content = audio.encode(sound)
    review_reasons = tuple(reason.partition(":")[0] for reason in audio.check(Item(sound)))
    if any("silent" in reason for reason in review_reasons):
        raise Skip("silent")
    columns = {"content": content, "seconds": round(sound.seconds, 3), "rate": sound.rate, "channels": sound.channels}
    document = Document(
        raw.caption,
        hashlib.sha256(content).digest(),
        raw.source,
        options.licence or raw.licence or licence.UNKNOWN_LICENCE,
        len(content),
        columns,
        {"captions": raw.caption_source, "formats": raw.format or recording.header.format},
        review_reasons,
    )
    return document, likeness.build_sketch_input(sound, raw.group)


def process_sound(sound: Sound, options: Config, counters: Counters) -> Sound:
    """Return the sound as the options ask for it; what was done is counted."""
    changed = counters["changed"]
    if options.mono and sound.channels > 1:
        sound = processing.mix_to_mono(sound)
        changed["mixed to mono"] += 1
    if options.rate and options.rate != sound.rate:
        sound = processing.change_rate(sound, options.rate)
        changed["resampled"] += 1
    if options.trim:
        trimmed = processing.trim_silence(sound, -options.trim)
        changed["trimmed"] += trimmed.frames != sound.frames
        sound = trimmed
    if options.loudness:
        sound = processing.set_loudness(sound, options.loudness)
        changed["set to one loudness"] += 1
    return sound


def build_columns(documents: Sequence[Document]) -> dict[str, "pa.Array"]:
    """Return the columns content (FLAC), seconds, rate and channels."""
    import pyarrow as pa

    types = {"content": pa.binary(), "seconds": pa.float64(), "rate": pa.int32(), "channels": pa.int32()}
    return {
        name: pa.array([document.columns[name] for document in documents], column_type)
        for name, column_type in types.items()
    }


build_metadata = captioned.build_metadata
summary = partial(captioned.summarize, noun=noun)
describe_changes = captioned.describe_changes
render_sections = partial(captioned.render_sections, plural=audio.plural)
