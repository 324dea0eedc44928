"""Requests for a piece, and the words for them: "a slow waltz in D minor for string quartet"."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from genloom.errors import GenloomError
from genloom.media.music.score import DRUMS, MODES, TONICS, Key, is_meter
from genloom.text_format import format_count


@dataclass(frozen=True)
class Controls:
    """Requirements of a piece; None leaves one to the model."""

    key: Key | None = None
    mode: str | None = None  # of MODES, without a tonic
    meter: tuple[int, int] | None = None
    bpm: float | None = None  # quarter notes a minute
    style: str | None = None
    density: int | None = None  # level of codecs/notes.py
    programs: tuple[int, ...] | None = None  # of the parts, from the highest
    bars: int | None = None

    def describe(self) -> str:
        """Return the controls in words: "D minor, 3/4, 70 quarter notes a minute, violin, viola, 16 bars"."""
        key = str(self.key) if self.key else self.mode
        texts = [
            key,
            self.meter and "{}/{}".format(*self.meter),
            self.bpm and f"{self.bpm:.0f} quarter notes a minute",
            self.style,
            None if self.density is None else f"density {self.density} of 7",
            self.programs and name_ensemble(self.programs),
            self.bars and format_count(self.bars, "bar"),
        ]
        return ", ".join(str(text) for text in texts if text)


def merge_controls(base: Controls, other: Controls) -> Controls:
    """Return the controls of `other`, and those of `base` where `other` leaves it open."""
    given = {f.name: value for f in fields(other) if (value := getattr(other, f.name)) is not None}
    if "mode" in given and base.key is not None and "key" not in given:
        given["key"] = base.key._replace(mode=given["mode"])
    return replace(base, **given)


# General MIDI's names are long; these are the ones that people write.
PROGRAMS: Mapping[str, int] = {
    "piano": 0,
    "harpsichord": 6,
    "celesta": 8,
    "glockenspiel": 9,
    "vibraphone": 11,
    "marimba": 12,
    "organ": 19,
    "accordion": 21,
    "harmonica": 22,
    "guitar": 24,
    "bass": 32,
    "violin": 40,
    "fiddle": 40,
    "viola": 41,
    "cello": 42,
    "violoncello": 42,
    "double bass": 43,
    "contrabass": 43,
    "harp": 46,
    "timpani": 47,
    "strings": 48,
    "choir": 52,
    "voice": 53,
    "trumpet": 56,
    "trombone": 57,
    "tuba": 58,
    "horn": 60,
    "saxophone": 65,
    "oboe": 68,
    "bassoon": 70,
    "clarinet": 71,
    "piccolo": 72,
    "flute": 73,
    "recorder": 74,
    "whistle": 78,
    "ocarina": 79,
    "banjo": 105,
    "drums": DRUMS,
}
ENSEMBLES: Mapping[str, tuple[int, ...]] = {
    "string quartet": (40, 40, 41, 42),
    "string trio": (40, 41, 42),
    "string duo": (40, 42),
    "wind quintet": (73, 68, 71, 60, 70),
    "woodwind quartet": (73, 68, 71, 70),
    "brass quartet": (56, 56, 60, 57),
    "brass quintet": (56, 56, 60, 57, 58),
    "saxophone quartet": (65, 65, 65, 65),
    "recorder quartet": (74, 74, 74, 74),
    "choir": (52, 52, 52, 52),
    "four voices": (52, 52, 52, 52),
    "satb": (52, 52, 52, 52),
}
# Lowest and highest pitch that instruments play with ease.
PIANO_RANGE = (21, 108)  # also of instruments without one of their own
RANGES: Mapping[int, tuple[int, int]] = {
    40: (55, 100),
    41: (48, 88),
    42: (36, 76),
    43: (28, 60),
    56: (52, 84),
    57: (40, 72),
    58: (28, 58),
    60: (41, 77),
    65: (49, 81),
    68: (58, 91),
    70: (34, 75),
    71: (50, 91),
    72: (74, 102),
    73: (60, 96),
    74: (60, 91),
    78: (62, 91),
}
MEANINGS: Mapping[str, Controls] = {
    "waltz": Controls(meter=(3, 4)),
    "minuet": Controls(meter=(3, 4)),
    "mazurka": Controls(meter=(3, 4)),
    "sarabande": Controls(meter=(3, 4), bpm=60),
    "march": Controls(meter=(4, 4)),
    "hymn": Controls(meter=(4, 4), style="chorale"),
    "jig": Controls(meter=(6, 8), style="folk tune"),
    "slip jig": Controls(meter=(9, 8), style="folk tune"),
    "reel": Controls(meter=(4, 4), style="folk tune"),
    "hornpipe": Controls(meter=(4, 4), style="fiddle tune"),
    "polka": Controls(meter=(2, 4), style="folk tune"),
    "barcarolle": Controls(meter=(6, 8)),
    "lullaby": Controls(meter=(6, 8), bpm=60),
    "irish": Controls(style="folk tune"),
    "scottish": Controls(style="air"),
    "fiddle tune": Controls(style="fiddle tune"),
    "chorale": Controls(style="chorale", programs=ENSEMBLES["choir"]),
    "bach": Controls(style="chorale"),
    "madrigal": Controls(style="madrigal"),
    "mass": Controls(style="mass"),
    "motet": Controls(style="mass"),
    "palestrina": Controls(style="mass"),
    "monteverdi": Controls(style="madrigal"),
    "mozart": Controls(style="string quartet"),
    "haydn": Controls(style="string quartet"),
    "sad": Controls(mode="minor"),
    "melancholy": Controls(mode="minor"),
    "melancholic": Controls(mode="minor"),
    "mournful": Controls(mode="minor", bpm=60),
    "dark": Controls(mode="minor"),
    "tragic": Controls(mode="minor"),
    "happy": Controls(mode="major"),
    "cheerful": Controls(mode="major"),
    "bright": Controls(mode="major"),
    "joyful": Controls(mode="major"),
    "slow": Controls(bpm=66),
    "largo": Controls(bpm=50),
    "adagio": Controls(bpm=66),
    "andante": Controls(bpm=84),
    "moderato": Controls(bpm=108),
    "allegro": Controls(bpm=132),
    "presto": Controls(bpm=176),
    "fast": Controls(bpm=152),
    "quick": Controls(bpm=152),
    "lively": Controls(bpm=144),
    "sparse": Controls(density=2),
    "calm": Controls(density=2, bpm=72),
    "dense": Controls(density=6),
    "busy": Controls(density=6),
}
MODE_WORDS = {"aeolian": "minor", "ionian": "major", "moll": "minor", "dur": "major"} | {mode: mode for mode in MODES}
FLATS = {"Db": "C#", "D#": "Eb", "Gb": "F#", "G#": "Ab", "A#": "Bb", "Cb": "B", "Fb": "E", "E#": "F", "B#": "C"}


def name_program(program: int) -> str:
    """Return the name of an instrument: of this table, else its number."""
    return next((name for name, value in PROGRAMS.items() if value == program), f"program {program}")


def name_ensemble(programs: tuple[int, ...]) -> str:
    """Return the name of an ensemble, else those of its instruments: "flute, 2 violins"."""
    for name, ensemble in ENSEMBLES.items():
        if programs == ensemble:
            return name
    counts = {program: programs.count(program) for program in programs}
    return ", ".join(f"{count} {name_program(p)}s" if count > 1 else name_program(p) for p, count in counts.items())


def read_key(text: str) -> Key | None:
    """Return the key "D minor", "f# dorian", "Bb" (major), "Em" or "H minor" (as B is called in German); else None."""
    found = re.fullmatch(r"([A-Ha-h])(#|b|♯|♭|-sharp|-flat| sharp| flat)?\s*-?(m|[a-zA-Z]+)?", text.strip())
    if found is None:
        return None
    letter, accidental, mode = found[1].upper().replace("H", "B"), found[2] or "", found[3] or "major"
    name = letter + {"": "", "#": "#", "♯": "#", "b": "b", "♭": "b"}.get(
        accidental, "#" if "sharp" in accidental else "b"
    )
    name = FLATS.get(name, name)
    mode = "minor" if mode == "m" else MODE_WORDS.get(mode.lower(), "")
    return Key(TONICS.index(name), mode) if mode and name in TONICS else None


def read_words(text: str) -> Controls:
    """Return what a prompt asks for; words without a meaning here are left to the model."""
    controls, lower = Controls(), text.lower()
    for word in sorted(MEANINGS, key=len):  # longer expressions overrule shorter ones
        if re.search(rf"\b{re.escape(word)}s?\b", lower):
            controls = merge_controls(controls, MEANINGS[word])
    modes = "|".join(MODE_WORDS)
    if found := re.search(rf"\b({modes})\b", lower):
        controls = merge_controls(controls, Controls(mode=MODE_WORDS[found[1]]))
    if found := re.search(r"\bin ([A-H](?:#|♯|b|♭|-sharp|-flat| sharp| flat)?)(?= |[,.;]|$)", text):
        controls = replace(controls, key=read_key(found[1]), mode=None)
    for found in re.finditer(rf"\b([A-Ha-h])(#|♯|b|♭|-sharp|-flat| sharp| flat)?[ -]({modes})\b", text, re.IGNORECASE):
        is_article = found[1] == "a" and not found[2] and not lower[: found.start()].endswith("in ")
        if not is_article and (key := read_key(found[0])) is not None:
            controls = replace(controls, key=key, mode=None)
    for found in re.finditer(r"\b(\d{1,2})/(2|4|8|16)\b", text):
        if is_meter(int(found[1]), int(found[2])):
            controls = replace(controls, meter=(int(found[1]), int(found[2])))
    if found := re.search(r"\b(\d{2,3}) ?bpm\b", lower):
        controls = replace(controls, bpm=float(found[1]))
    if found := re.search(r"\b(\d{1,2}|four|eight|twelve|sixteen)[ -]bars?\b", lower):
        words = {"four": 4, "eight": 8, "twelve": 12, "sixteen": 16}
        controls = replace(controls, bars=words.get(found[1]) or int(found[1]) or None)
    programs = read_programs(lower)
    return replace(controls, programs=programs) if programs else controls


# Words of a prompt that ask for nothing.
FILLERS = frozenset([
    "a", "an", "and", "as", "at", "by", "from", "for", "i", "in", "is", "it", "like", "me", "my", "of", "on", "or",
    "please", "some", "style", "that", "the", "this", "to", "with", "write", "make", "bar", "bars", "bpm",
    "composition", "key", "measure", "measures", "melody", "meter", "music", "piece", "sharp", "flat", "song",
    "tempo", "time", "tune",
])  # fmt: skip


def list_unread_words(text: str) -> list[str]:
    """Return the words of a prompt that `read_words` finds no meaning in, in their order: "kazoo"."""
    modes, lower = "|".join(MODE_WORDS), text.lower()
    read = (
        *(rf"\b{re.escape(word)}s?\b" for word in sorted(MEANINGS, key=len, reverse=True)),
        rf"\b[a-h](?:#|♯|b|♭|-sharp|-flat| sharp| flat)?[ -](?:{modes})\b",
        rf"\b(?:{modes})\b",
        r"\bin [a-h](?:#|♯|b|♭|-sharp|-flat| sharp| flat)?(?= |[,.;]|$)",
        r"\b(?:\d{1,2}|four|eight|twelve|sixteen)[ -]bars?\b",
    )
    for pattern in read:
        lower = re.sub(pattern, " ", lower)
    words = re.findall(r"[^\W\d_](?:[\w'’-]*\w)?", INSTRUMENTS.sub(" ", lower))
    return [word for word in dict.fromkeys(words) if word not in FILLERS | JOINING_WORDS]


COUNTS = {"two": 2, "three": 3, "four": 4, "2": 2, "3": 3, "4": 4}
_ENSEMBLE, _PROGRAM = (
    "|".join(sorted(map(re.escape, names), key=len, reverse=True)) for names in (ENSEMBLES, PROGRAMS)
)
INSTRUMENTS = re.compile(rf"\b(?:({_ENSEMBLE})|(?:({'|'.join(COUNTS)}) )?({_PROGRAM})s?)\b")
JOINING_WORDS = frozenset(["a", "an", "and", "the", "for", "with", "plus", "one", "solo"])


def read_programs(lower: str) -> tuple[int, ...]:
    """Return the instruments and ensembles that a text names, in its order: "for flute and two violins"."""
    found: list[int] = []
    for ensemble, count, name in INSTRUMENTS.findall(lower):
        if name == "fiddle" and "fiddle tune" in lower:
            continue
        found += ENSEMBLES[ensemble] if ensemble else [PROGRAMS[name]] * COUNTS.get(count, 1)
    return tuple(found[:16])


def parse_instruments(text: str) -> tuple[int, ...]:
    """Return the instruments of a text that names nothing else; raise GenloomError for a word that is none of them."""
    lower = text.lower()
    unread = [word for word in re.findall(r"[^\s,;+&.]+", INSTRUMENTS.sub(" ", lower)) if word not in JOINING_WORDS]
    programs = read_programs(lower)
    if unread or not programs:
        raise GenloomError("music.unknown_instruments", value=" ".join(unread) or text)
    return programs


def pack_controls(controls: Controls) -> dict[str, Any]:
    """Return the controls for JSON."""
    values = {f.name: getattr(controls, f.name) for f in fields(controls)}
    values["key"] = controls.key and str(controls.key)
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value is not None
    }


def unpack_controls(record: Mapping[str, Any]) -> Controls:
    """Return the controls that `pack_controls` wrote; GenloomError for another record."""
    try:
        values = dict(record)
        key = read_key(str(values.pop("key"))) if "key" in values else None
        meter = tuple(map(int, values.pop("meter"))) if "meter" in values else None
        programs = tuple(map(int, values.pop("programs"))) if "programs" in values else None
        return Controls(key=key, meter=meter, programs=programs, **values)  # ty: ignore[invalid-argument-type]
    except (TypeError, ValueError, KeyError) as error:
        raise GenloomError("music.damaged_controls", reason=error) from None
