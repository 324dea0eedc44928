"""The options of sounds."""

from dataclasses import dataclass

from genloom.collect.options import Options
from genloom.media.audio.sound import MAX_RATE, MIN_RATE
from genloom.settings import option

GROUPS = ("speaker", "folder", "none")
QUIETEST, LOUDEST = -60, -5  # LUFS


@dataclass(frozen=True)
class Config(Options):
    """Options for collecting sounds."""

    near_duplicates: float = option(
        0.85,
        "Similarity from which a sound is a duplicate; 0 removes exact copies only.",
        is_valid=lambda value: value == 0 or 0.6 <= value <= 1,
        requirement="0 (off) or from 0.6 to 1",
    )
    clip_seconds: float = option(
        10.0, "Length of the clips that longer recordings are cut into, at quiet places.", minimum=0.5, maximum=600
    )
    rate: int = option(
        0,
        "Samples a second that sounds are stored with; 0 keeps those of their files.",
        is_valid=lambda value: value == 0 or MIN_RATE <= value <= MAX_RATE,
        requirement=f"0 or from {MIN_RATE:,} to {MAX_RATE:,}",
    )
    mono: bool = option(False, "Whether the channels are mixed to one.")
    trim: float = option(
        0.0,
        "Decibels below the loudest moment under which both ends are cut off, such as 50; 0 cuts nothing.",
        minimum=0,
        maximum=100,
    )
    loudness: float = option(
        0.0,
        "Loudness in LUFS that every sound is set to, such as -23; 0 keeps it.",
        is_valid=lambda value: value == 0 or QUIETEST <= value <= LOUDEST,
        requirement=f"0 or from {QUIETEST} to {LOUDEST}",
    )
    group: str = option(
        "speaker", "Sounds that stay together in one split: those of a speaker, of a folder, or none.", choices=GROUPS
    )
