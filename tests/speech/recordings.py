"""Recordings of a voice whose every phoneme is a chord of its own, so that it is known when each is spoken."""

from pathlib import Path

import numpy as np

from genloom.media.audio.sound import Sound, make_sound
from genloom.media.audio.writing import write_sound
from genloom.speech.dictionaries import pronounce_text
from genloom.speech.phoneme_units import split_units

RATE, HOP = 16_000, 256
TEXTS = (
    "Good morning, my friend.", "It is half past seven.", "The red boat sails north.", "We saw a dog and a cat.",
    "Please open the window.", "How many apples are left?", "She sings in the garden.", "They never come home late.",
)  # fmt: skip
CONSENT = """
[consents.anna]
who = "Anna Example"
of = ["voice"]
purposes = ["training", "generation"]
signed = 2026-01-15
signature = "on paper, in the folder A"
"""


def make_recording(text: str, seed: int) -> tuple[Sound, list[int]]:
    """Return the recording of a text, and how many frames each of its units lasts."""
    rng, units = np.random.default_rng(seed), split_units(pronounce_text(text))
    frames = [int(rng.integers(4, 9)) for _ in units]
    waves = []
    for unit, length in zip(units, frames, strict=True):
        times = np.arange(length * HOP) / RATE
        code = int.from_bytes(unit.symbol.encode(), "big")
        pitches = 200 + code * 7919 % 1500, 2000 + code * 104_729 % 4000
        tone = sum(np.sin(2 * np.pi * pitch * times) for pitch in pitches)
        waves.append(0.2 * tone * (not unit.is_silent) + rng.normal(0, 0.002, len(times)))
    return make_sound(np.concatenate(waves), RATE), frames


def write_voice(folder: Path, texts: tuple[str, ...] = TEXTS) -> Path:
    """Write recordings with their texts and a file of consents."""
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"take-{number}.flac").write_bytes(write_sound(make_recording(text, number)[0], ".flac"))
        (folder / f"take-{number}.txt").write_text(text)
    (folder / "consent.toml").write_text(CONSENT)
    return folder
