"""Jumps of ABC tunes (da capo, dal segno, fine, coda), which music21 skips: grace notes carry them through it."""

import re
from typing import Any

# Signs by their names without blanks and points. Those that end a passage belong to the bar before a bar line.
_ENDING = ("fine", "tocoda", "dacapo", "dalsegno", "dacapoalfine", "dacapoalcoda", "dalsegnoalfine", "dalsegnoalcoda")
_BEGINNING = ("segno", "coda")
_SYNONYMS = {"dacoda": "tocoda"}
_SIGN = re.compile(r'![^!\n]{2,30}!|\+[^+\n]{2,30}\+|"[\^_<>@]?[^"\n]{2,30}"')
_FIELD = re.compile(r"[A-Za-z]:|%|$")  # a line that holds no notes
_BAR = r"(?::*\|[|\]:]*|\[\|)"
_STEPS = "cdefgab"
_OCTAVE = 11  # of the grace notes that stand for signs; no instrument reaches it


def count_jumps(tune: str) -> int:
    """Return how often an ABC tune says to go back."""
    signs = [_read_sign(text) for line in tune.split("\n") if not _FIELD.match(line) for text in _SIGN.findall(line)]
    return sum(sign.startswith(("dacapo", "dalsegno")) for sign in signs)


def carry_signs(tune: str) -> str:
    """Return an ABC tune whose signs are grace notes in their bars, as `place_jumps` expects them."""
    lines = [line if _FIELD.match(line) else _SIGN.sub(_write_grace, line) for line in tune.split("\n")]
    tune = "\n".join(lines)
    end_graces = rf"((?:{{[{_STEPS}]'{{{_OCTAVE - 4},}}}}\s*)+)"
    start_graces = rf"((?:{{[{_STEPS}]'{{{_OCTAVE - 5}}}}}\s*)+)"
    tune = re.sub(rf"({_BAR})[ \t]*{end_graces}(?=[ \t]*(?:$|%|{_BAR}))", r"\2\1", tune, flags=re.MULTILINE)
    return re.sub(rf"{start_graces}({_BAR})(?=[^|]*[A-Ga-g])", r"\2\1", tune)


def place_jumps(piece: Any) -> int:
    """Put the jumps that grace notes carry into the bars of a music21 stream; return how many have no bar."""
    import music21

    signs: list[tuple[Any, str]] = []
    for container in (piece, *piece.recurse(streamsOnly=True)):
        for note in list(container.notes):
            if note.duration.isGrace and note.isNote and (note.pitch.octave or 0) >= _OCTAVE:
                container.remove(note)
                signs.append((container, _choose_sign(note.pitch)))
    kinds = _list_kinds(music21.repeat)
    names = {name for _, name in signs}
    suffix = "alfine" if "fine" in names else "alcoda" if names & {"coda", "tocoda"} else ""
    num_unplaced = 0
    for container, name in signs:
        if isinstance(container, music21.stream.Measure):
            container.insert(0, kinds[name + suffix if name in ("dacapo", "dalsegno") else name]())
        else:
            num_unplaced += 1
    return num_unplaced


def share_jumps(streams: list[Any]) -> None:
    """Give the jumps of the one part that has them, as scores print them above the first, to the other parts."""
    import music21

    bars = [list(stream.getElementsByClass("Measure")) for stream in streams]
    jumps = [[list(bar.getElementsByClass(music21.repeat.RepeatExpression)) for bar in part] for part in bars]
    donors = [number for number, part in enumerate(jumps) if any(part)]
    if len(donors) != 1 or len({len(part) for part in bars}) != 1:
        return
    for number, part in enumerate(bars):
        if number != donors[0]:
            for bar, found in zip(part, jumps[donors[0]], strict=True):
                for jump in found:
                    bar.insert(0, type(jump)())


def _read_sign(text: str) -> str:
    """Return the sign that a decoration or annotation names; "" for another one."""
    name = re.sub(r"[^a-z]", "", text.lower())
    name = re.sub(r"^dc", "dacapo", re.sub(r"^ds", "dalsegno", name))
    name = _SYNONYMS.get(name, name)
    return name if name in (*_ENDING, *_BEGINNING) else ""


def _write_grace(match: re.Match[str]) -> str:
    sign = _read_sign(match[0])
    if not sign:
        return match[0]
    if sign in _BEGINNING:
        return f"{{{_STEPS[_BEGINNING.index(sign)]}{chr(39) * (_OCTAVE - 5)}}}"
    octave, step = divmod(_ENDING.index(sign), len(_STEPS))
    return f"{{{_STEPS[step]}{chr(39) * (_OCTAVE - 4 + octave)}}}"


def _choose_sign(pitch: Any) -> str:
    step = _STEPS.index(pitch.step.lower())
    if pitch.octave == _OCTAVE:
        return _BEGINNING[min(step, len(_BEGINNING) - 1)]
    return _ENDING[min((pitch.octave - _OCTAVE - 1) * len(_STEPS) + step, len(_ENDING) - 1)]


def _list_kinds(repeat: Any) -> dict[str, type]:
    """Return the classes of music21 by the names of signs."""
    return {
        "fine": repeat.Fine,
        "segno": repeat.Segno,
        "coda": repeat.Coda,
        "tocoda": repeat.Coda,
        "dacapo": repeat.DaCapo,
        "dalsegno": repeat.DalSegno,
        "dacapoalfine": repeat.DaCapoAlFine,
        "dacapoalcoda": repeat.DaCapoAlCoda,
        "dalsegnoalfine": repeat.DalSegnoAlFine,
        "dalsegnoalcoda": repeat.DalSegnoAlCoda,
    }
