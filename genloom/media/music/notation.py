"""MusicXML, ABC and Humdrum **kern, read by music21.

music21 keeps a cache of pickled scores, which is neither read nor written here: files are parsed from their bytes.
"""

import io
import re
import warnings
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import astuple, replace
from fractions import Fraction
from functools import cache
from itertools import zip_longest
from typing import Any

from genloom.errors import GenloomError
from genloom.media.music import abc_jumps
from genloom.media.music.controls import read_programs
from genloom.media.music.libraries import load_library
from genloom.media.music.midi import MAX_NOTES, MAX_PARTS, MAX_TICKS, Repairs, read_meters, round_bpm
from genloom.media.music.score import (
    DRUMS,
    MODES,
    TICKS_PER_QUARTER,
    Key,
    Note,
    Part,
    Score,
    Tempo,
    find_key,
    trim_meters,
)

FORMATS = {".musicxml": "musicxml", ".xml": "musicxml", ".mxl": "musicxml", ".abc": "abc", ".krn": "humdrum"}
NAMES = {".musicxml": "MusicXML", ".xml": "MusicXML", ".mxl": "MusicXML", ".abc": "ABC", ".krn": "Humdrum **kern"}
MAX_REPEATS = 16  # of one passage
ABC_WORDS = re.compile(r"^[wWs]:.*\n?", re.MULTILINE)  # below a line of notes, and symbols, which music21 misplaces
ABC_REPEAT = re.compile(r":[|:\]]")
MAX_BYTES = 32 << 20  # of a file, and of what is in a compressed one


def read_notation(data: bytes, suffix: str, problems: list[str]) -> Iterator[tuple[Score, Repairs]]:
    """Yield the pieces in a file; an ABC file can hold several, and why one cannot be read is added to `problems`.

    GenloomError if none can be read.
    """
    data = unpack_mxl(data) if suffix == ".mxl" else data
    if len(data) > MAX_BYTES:
        raise GenloomError("music.file_too_large", limit=MAX_BYTES >> 20)
    text = decode_text(data)
    if FORMATS[suffix] == "abc":
        text = ABC_WORDS.sub("", text)
    if FORMATS[suffix] == "musicxml" and "<!ENTITY" in text:
        raise GenloomError("music.xml_entities")
    tunes = split_tunes(text) if FORMATS[suffix] == "abc" else [text]
    found = False
    for number, tune in enumerate(tunes, 1):
        sections = split_sections(tune) if FORMATS[suffix] == "abc" else [tune]
        try:
            is_whole = len(sections) == 1  # a jump out of its section is not followed
            for pieces in zip(*(parse_pieces(section, suffix, is_whole) for section in sections), strict=True):
                found = True
                yield pieces[0] if len(pieces) == 1 else join_sections(pieces)
        except ValueError as error:
            if len(tunes) == 1:
                raise
            problems.append(f"tune {number} of {len(tunes)}: {error}")
    if not found:
        if problems:
            raise GenloomError("music.unread_pieces", count=len(problems), reason=problems[0])
        raise GenloomError("music.no_notes")


def describe_error(error: Exception) -> str:
    """Return the first line of an error of a library, or its kind."""
    return (str(error).splitlines() or [""])[0][:80] or type(error).__name__


def split_tunes(text: str) -> list[str]:
    """Return the tunes of an ABC file, each with the lines above the first of them, which hold for all."""
    header, *tunes = re.split(r"^(?=X:)", text, flags=re.MULTILINE)
    return [header + tune for tune in tunes] or [text]


def split_sections(tune: str) -> list[str]:
    """Return the sections of an ABC tune of one voice whose meter changes, each with a header of its own.

    music21 reads only the first meter right.
    """
    header, *rest = re.split(r"^(K:.*\n?)", tune, maxsplit=1, flags=re.MULTILINE)
    if not rest or re.search(r"^V:|\[V:", tune, re.MULTILINE):
        return [tune]
    parts = re.split(r"^M:(.*)\n?|\[M:([^\]]*)\]", rest[1], flags=re.MULTILINE)
    header_without_meter = re.sub(r"^M:.*\n?", "", header, flags=re.MULTILINE)
    sections, key = [header + rest[0] + parts[0]] if has_notes(parts[0]) else [], rest[0]
    for before, first, second, content in zip(parts[0::3], parts[1::3], parts[2::3], parts[3::3], strict=False):
        keys = re.findall(r"^K:(.*)|\[K:([^\]]*)\]", before, re.MULTILINE)
        key = f"K:{keys[-1][0] or keys[-1][1]}\n" if keys else key
        if has_notes(content):
            sections.append(f"{header_without_meter}M:{(first or second).strip()}\n{key}{content}")
    return sections or [tune]


def has_notes(abc: str) -> bool:
    """Return whether the body of an ABC tune has notes."""
    return (
        re.search(r"[A-Ga-g]", re.sub(r"\[[A-Za-z]:[^\]]*\]|^[A-Za-z]:.*$|\"[^\"]*\"", "", abc, flags=re.MULTILINE))
        is not None
    )


def join_sections(sections: Sequence[tuple[Score, Repairs]]) -> tuple[Score, Repairs]:
    """Return the sections of a tune one after the other; each begins where the last bar of the one before ends."""
    score, notes, meters, begin = sections[0][0], [], [], 0
    for section, _ in sections:
        notes += [note._replace(onset=note.onset + begin) for note in section.parts[0].notes]
        meters += [meter._replace(onset=meter.onset + begin) for meter in section.meters]
        last_onset, last_meter = section.bars[-1]
        begin += last_onset + last_meter.bar_ticks
    different = [meter for n, meter in enumerate(meters) if not n or meter[1:] != meters[n - 1][1:]]
    joined = replace(score, parts=(replace(score.parts[0], notes=tuple(notes)),), meters=tuple(different))
    return joined, Repairs(*map(sum, zip(*(astuple(each) for _, each in sections), strict=True)))


def parse_pieces(text: str, suffix: str, is_whole: bool = True) -> Iterator[tuple[Score, Repairs]]:
    """Yield the pieces of a text in the format of the suffix; GenloomError if it is damaged.

    `is_whole`: it is no section of a tune, within which a jump would lead to another bar.
    """
    music21: Any = load_library("music21")
    num_jumps = abc_jumps.count_jumps(text) if suffix == ".abc" else 0
    num_unread = 0 if is_whole else num_jumps
    if suffix == ".abc":
        if re.search(r"^K:|\[K:", text, re.MULTILINE) is None:
            raise GenloomError("music.no_key_field")
        text = modernise_abc(abc_jumps.carry_signs(text) if num_jumps and is_whole else text)
    try:
        with redirect_stderr(io.StringIO()) as output, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed: Any = music21.converter.parseData(text, format=FORMATS[suffix])
    except Exception as error:  # music21 raises errors of many kinds
        raise GenloomError("music.damaged_notation", format=NAMES[suffix], reason=describe_error(error)) from None
    for piece in list(parsed.scores) if isinstance(parsed, music21.stream.Opus) else [parsed]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                num_unread += abc_jumps.place_jumps(piece) if num_jumps and is_whole else 0
                converted = convert_piece(piece)
        except GenloomError:
            raise
        except Exception as error:
            raise GenloomError("music.damaged_notation", format=NAMES[suffix], reason=describe_error(error)) from None
        if converted is not None:
            score, repairs = converted
            num_unread += output.getvalue().count("WARNING")
            if suffix == ".abc":
                # music21 sees no bars in a tune with less than two plain bar lines, and so no repeats.
                has_bars = next(iter(piece.recurse().getElementsByClass("Measure")), None) is not None
                num_unread += 0 if has_bars else len(ABC_REPEAT.findall(text))
            yield score, replace(repairs, unread=repairs.unread + num_unread)


def modernise_abc(text: str) -> str:
    """Return an ABC tune such that music21 keeps to the standard 2.1 where the tune does not say its version.

    Accidentals then hold to the end of their bar, a key within a line is one, a double repeat begins another, and a
    tune with less than two plain bar lines has bars.
    """
    text = re.sub(r"^%abc-1.*\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[(K:\s*(?:[A-G]|HP|Hp|none)[^\]\n]*)\]", r"\n\1\n", text)
    text = re.sub(r":\|+:", ":| |:", text)
    if "V:" not in text and len(re.findall(r"(?<![:|\[\]])\|(?![:|\[\]\d])", text)) < 2:
        text = f"{text.rstrip()} | |\n"
    return text if re.search(r"^%abc-\d", text, re.MULTILINE) else f"%abc-2.1\n{text}"


def decode_text(data: bytes) -> str:
    """Return the text of a notation file: UTF-8, UTF-16 with its mark, or Latin-1."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def unpack_mxl(data: bytes) -> bytes:
    """Return the score in a compressed MusicXML file; GenloomError if it is damaged or too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info for info in archive.infolist() if info.filename.lower().endswith((".xml", ".musicxml"))]
            scores = [info for info in names if not info.filename.startswith("META-INF/")]
            if not scores:
                raise GenloomError("music.no_score_in_archive")
            with archive.open(scores[0]) as file:
                content = file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise GenloomError("music.damaged_notation", format=NAMES[".mxl"], reason=describe_error(error)) from None
    if len(content) > MAX_BYTES:
        raise GenloomError("music.file_too_large", limit=MAX_BYTES >> 20)
    return content


def convert_piece(piece: Any) -> tuple[Score, Repairs] | None:
    """Return a music21 stream as a score; None without notes."""
    import music21

    piece = piece.toSoundingPitch()  # of transposing instruments
    streams, num_unplayed = play_repeats(list(piece.parts) if hasattr(piece, "parts") and piece.parts else [piece])
    pad, shifts = find_upbeat(streams[0]), find_shifts(streams[0])
    begins = [begin for begin, _ in shifts]
    parts, moved, dropped = [], 0, 0
    for stream in streams[:MAX_PARTS]:
        notes = []
        for element in stream.stripTies().flatten().notes:
            if isinstance(element, music21.harmony.Harmony) or element.duration.isGrace:
                continue
            onset, duration = (Fraction(x) * TICKS_PER_QUARTER for x in (element.offset, element.quarterLength))
            shift = pad + (shifts[bisect_right(begins, element.offset) - 1][1] if shifts else 0)
            tick, length = round(onset) + shift, max(round(onset + duration) - round(onset), 1)
            if duration <= 0 or tick + length > MAX_TICKS:
                dropped += 1
                continue
            moved += abs(round(onset) - onset) > 0 or abs(round(duration) - duration) > 0
            pitches = [p.midi for p in getattr(element, "pitches", ())]
            notes += [Note(tick, length, pitch) for pitch in pitches if 0 <= pitch < 128]
        if notes:
            parts.append(Part(find_program(stream), tuple(sorted(set(notes))), str(stream.partName or "")[:80]))
    if not parts:
        return None
    if (num_notes := sum(len(part.notes) for part in parts)) > MAX_NOTES:
        raise GenloomError("music.too_many_notes", count=num_notes, maximum=MAX_NOTES)
    flat = streams[0].flatten()
    changes = [
        (
            round(m.offset * TICKS_PER_QUARTER)
            + (pad + shifts[bisect_right(begins, m.offset) - 1][1] if m.offset and shifts else 0),
            m.numerator,
            m.denominator,
        )
        for m in flat.getElementsByClass(music21.meter.TimeSignature)
    ]
    title = piece.metadata.title if getattr(piece, "metadata", None) is not None else ""
    meters, num_changed = read_meters(changes)
    meters = trim_meters(meters, max(part.end for part in parts))
    score = Score(tuple(parts), meters, (Tempo(0, find_bpm(piece)),), None, "", str(title or "")[:200])
    return replace_key(score, flat), Repairs(moved, dropped, num_changed, num_unplayed)


def play_repeats(streams: list[Any]) -> tuple[list[Any], int]:
    """Return the parts as they sound: with repeats, endings, da capo and dal segno; and how many marks could not be.

    Parts whose marks contradict each other, or are none that music21 can follow, stay as they are written.
    """
    import music21

    abc_jumps.share_jumps(streams)
    kinds = (music21.bar.Repeat, music21.repeat.RepeatMark)
    marks = [mark for stream in streams for mark in stream.recurse().getElementsByClass(kinds)]
    if not marks:
        return streams, 0
    if any((getattr(mark, "times", None) or 0) > MAX_REPEATS for mark in marks) or _has_many_jumps(streams):
        return streams, len(marks)
    try:
        played = [stream.expandRepeats() for stream in streams]
    except music21.exceptions21.Music21Exception:
        return streams, len(marks)
    have_same_bars = len({len(stream.getElementsByClass("Measure")) for stream in streams}) == 1
    if have_same_bars and len({len(stream.getElementsByClass("Measure")) for stream in played}) > 1:
        return streams, len(marks)
    return played, 0


def _has_many_jumps(streams: list[Any]) -> bool:
    """Return whether a part jumps more than once, which music21 does not follow."""
    import music21

    kind = music21.repeat.RepeatExpressionCommand
    return any(len(list(stream.recurse().getElementsByClass(kind))) > 1 for stream in streams)


def find_upbeat(stream: Any) -> int:
    """Return the ticks that are missing before an upbeat in the first bar."""
    first = next(iter(stream.getElementsByClass("Measure")), None)
    if first is None or first.timeSignature is None:
        return 0
    missing = Fraction(first.barDuration.quarterLength) - Fraction(first.duration.quarterLength)
    return max(round(missing * TICKS_PER_QUARTER), 0)


def find_shifts(stream: Any) -> list[tuple[float, int]]:
    """Return where each bar begins, and by how many ticks it moves because bars before it are too short.

    The two halves of a bar that a repeat divides stay together.
    """
    shifts, total, meter, is_second_half = [], 0, None, False
    bars = list(stream.getElementsByClass("Measure"))
    for number, (bar, following) in enumerate(zip_longest(bars, bars[1:])):
        shifts.append((bar.offset, total))
        meter = bar.timeSignature or meter
        if meter is None or following is None:
            continue
        missing = Fraction(meter.barDuration.quarterLength) - Fraction(bar.duration.quarterLength)
        is_first_half = missing > 0 and Fraction(following.duration.quarterLength) == missing
        if number and missing > 0 and not is_first_half and not is_second_half:
            total += round(missing * TICKS_PER_QUARTER)
        is_second_half = is_first_half and not is_second_half
    return shifts


def find_program(stream: Any) -> int:
    """Return the program of a part: that which its instrument states, else that which its name names, else 0."""
    instrument = stream.getInstrument(returnDefault=False)
    if type(instrument).__name__ in ("UnpitchedPercussion", "Percussion"):
        return DRUMS
    if instrument is not None and instrument.midiProgram is not None:
        return int(instrument.midiProgram)
    names = [stream.partName, getattr(instrument, "partName", ""), getattr(instrument, "instrumentName", "")]
    return next((program for name in names if name and (program := find_named_program(str(name))) is not None), 0)


@cache
def find_named_program(name: str) -> int | None:
    """Return the program of the instrument that the name of a part names, also in other languages; None without one."""
    import music21

    if "drum" in name.lower():
        return DRUMS
    if programs := read_programs(name.lower()):
        return programs[0]
    try:  # it also takes single letters for voices
        program = music21.instrument.fromString(name).midiProgram if len(name) > 3 else None
    except music21.exceptions21.Music21Exception:
        return None
    return None if program is None else int(program)


def find_bpm(piece: Any) -> float:
    """Return the first tempo in quarter notes a minute; 120 if the piece says none."""
    for mark in piece.flatten().getElementsByClass("MetronomeMark"):
        if bpm := mark.getQuarterBPM():
            return round_bpm(float(bpm))
    return 120.0


def replace_key(score: Score, flat: Any) -> Score:
    """Return the score with its key: the mode that a file names, else found among those of its signature."""
    signature = next(iter(flat.getElementsByClass("KeySignature")), None)
    mode = getattr(signature, "mode", None)
    if signature is not None and mode in MODES and mode != "major":
        return replace(score, key=Key(signature.tonic.pitchClass, mode))
    found = find_key(score)
    if signature is None or found is None:
        return replace(score, key=found)
    major = signature.sharps * 7 % 12
    likely = [Key(major, "major"), Key((major + 9) % 12, "minor"), Key((major + 2) % 12, "minor")]
    if mode == "major" and hasattr(signature, "tonic") and found not in likely:
        return replace(score, key=Key(signature.tonic.pitchClass, "major"))
    return replace(score, key=found if found in likely else Key(major, "major"))
