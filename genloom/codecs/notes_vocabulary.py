"""The tokens of scores: their blocks, and the meters and tempos that have one."""

import numpy as np

from genloom.media.music.midi import round_bpm
from genloom.media.music.score import MAX_BAR_TICKS, MODES, TICKS_PER_QUARTER, Meter

MAX_BARS, MAX_VOICES = 64, 16
MODE_NAMES = (*MODES, "")
METERS = tuple(
    (beats, unit)
    for unit in (2, 4, 8, 16)
    for beats in range(1, 17)
    if TICKS_PER_QUARTER <= 96 * beats // unit <= MAX_BAR_TICKS
)
BPMS = tuple(round_bpm(120 * 2 ** (step / 8)) for step in range(-16, 9))
VELOCITY_STEP, DEFAULT_VELOCITY = 16, 5  # levels; level 5 is velocity 80
HEADER = ("key", "mode", "meter", "tempo", "style", "density", "begins", "ends")
BLOCKS = {
    "end": 1,
    "fill": 1,
    "same": 1,  # another voice of the instrument before
    "rest": 1,
    "tie": 1,
    "key": 13,  # the last: no key, pitches as they are
    "mode": len(MODE_NAMES),
    "meter": len(METERS),
    "tempo": len(BPMS),
    "style": 32,  # the first: no style
    "density": 8,
    "begins": 2,
    "ends": 2,
    "instrument": 129,
    "bar": MAX_BARS,  # bars left after this one
    "part": MAX_VOICES,
    "position": MAX_BAR_TICKS,
    "note": 128,
    "velocity": 8,
}
OFFSETS = dict(zip(BLOCKS, np.cumsum([0, *BLOCKS.values()]).tolist(), strict=False))
VOCAB_SIZE = sum(BLOCKS.values())
END, FILL, SAME, REST, TIE = (OFFSETS[name] for name in ("end", "fill", "same", "rest", "tie"))
BLOCK_NAMES = tuple(name for name, size in BLOCKS.items() for _ in range(size))
Cell = tuple[int, int]  # bar, voice


def to_token(block: str, value: int = 0) -> int:
    return OFFSETS[block] + value


def from_token(token: int) -> tuple[str, int]:
    """Return the block of a token, and its value in the block."""
    name = BLOCK_NAMES[token]
    return name, token - OFFSETS[name]


def find_meter(meter: Meter) -> int:
    """Return the number of a meter; another one of the same length, or 4/4, if it has none."""
    if (meter.beats, meter.unit) in METERS:
        return METERS.index((meter.beats, meter.unit))
    return next((i for i, (b, u) in enumerate(METERS) if 96 * b // u == meter.bar_ticks), METERS.index((4, 4)))


def find_tempo(bpm: float) -> int:
    return int(np.argmin(np.abs(np.log(np.array(BPMS) / bpm))))
