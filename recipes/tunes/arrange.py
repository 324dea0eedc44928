"""Arrangements of pieces: tempos and instruments, which most of the files do not name."""

import random
from collections.abc import Sequence
from dataclasses import replace

from genloom.media.music.controls import ENSEMBLES
from genloom.media.music.midi import round_bpm
from genloom.media.music.score import Score, Tempo
from genloom.media.music.theory import find_range

FLUTE, VIOLIN, WHISTLE, ACCORDION, RECORDER, OBOE, CLARINET, GUITAR, PIANO, HARP = (
    73,
    40,
    78,
    21,
    74,
    68,
    71,
    24,
    0,
    46,
)
SOLOISTS = {
    FLUTE: 30,
    VIOLIN: 30,
    WHISTLE: 8,
    ACCORDION: 8,
    RECORDER: 5,
    OBOE: 5,
    CLARINET: 5,
    GUITAR: 4,
    PIANO: 4,
    HARP: 3,
}
QUARTETS = {"choir": 60, "string quartet": 25, "woodwind quartet": 8, "brass quartet": 7}
BPMS = {  # of common tempos, in quarter notes
    "chorale": (60, 92),
    "mass": (112, 152),
    "madrigal": (72, 108),
    "ballata": (84, 132),
    "string quartet": (88, 144),
}
DANCE_BPMS = {(6, 8): (126, 180), (9, 8): (126, 180), (2, 4): (84, 126), (3, 4): (96, 160), (4, 4): (104, 192)}
SLOW, FAST = (48, 72), (144, 192)


def arrange_score(score: Score, rng: random.Random) -> Score:
    """Return the score in a likely tempo, for instruments that can play it; a movement of a quartet keeps its own."""
    low, high = BPMS.get(score.style) or DANCE_BPMS.get(score.meters[0][1:], (96, 160))
    kind = rng.random()
    low, high = SLOW if kind < 0.15 else FAST if kind > 0.9 else (low, high)
    score = replace(score, tempos=(Tempo(0, round_bpm(rng.uniform(low, high))),))
    if score.style == "string quartet":
        return score
    if len(score.parts) == 1:
        programs = (rng.choices(list(SOLOISTS), list(SOLOISTS.values()))[0],)
    elif len(score.parts) == 4:
        programs = ENSEMBLES[rng.choices(list(QUARTETS), list(QUARTETS.values()))[0]]
    else:
        return score
    return with_programs(score, programs) if can_play(score, programs) else score


def with_programs(score: Score, programs: Sequence[int]) -> Score:
    parts = zip(score.parts, programs, strict=True)
    return replace(score, parts=tuple(replace(part, program=program) for part, program in parts))


def can_play(score: Score, programs: Sequence[int]) -> bool:
    """Return whether all notes are in the range of these instruments."""
    ranges = [find_range(programs, index) for index in range(len(programs))]
    return all(
        low <= note.pitch <= high for part, (low, high) in zip(score.parts, ranges, strict=True) for note in part.notes
    )
