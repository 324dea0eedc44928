"""Sound of scores: a small additive synthesiser, or a SoundFont that the environment names; at −16 LUFS.

Shape letters: N samples.
"""

import io
import os
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.music.libraries import load_library
from genloom.media.music.midi import write_midi
from genloom.media.music.score import DRUMS, Note, Score, build_clock

RATE = 44_100
LOUDNESS = -16.0  # LUFS (EBU R 128 measures it so), as streaming services ask for
MAX_SECONDS = 20 * 60
TAIL_SECONDS = 1.5
BLOCK = 1 << 16  # samples that are written together
SOUNDFONT = "GENLOOM_SOUNDFONT"  # names the file of a SoundFont
FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}

# Family of programs → strength of the partials, attack, decay to the sustained level, that level, release (seconds).
Timbre = tuple[tuple[float, ...], float, float, float, float]
TIMBRES: dict[str, Timbre] = {
    "struck": ((1, 0.55, 0.3, 0.16, 0.1, 0.06), 0.003, 0.9, 0.0, 0.15),
    "bell": ((1, 0.1, 0.45, 0.05, 0.25), 0.002, 1.4, 0.0, 0.4),
    "organ": ((1, 0.7, 0.4, 0.3, 0.15, 0.15), 0.02, 0.05, 0.9, 0.08),
    "bowed": ((1, 0.6, 0.45, 0.3, 0.22, 0.15, 0.1), 0.07, 0.1, 0.85, 0.12),
    "voice": ((1, 0.45, 0.25, 0.1, 0.05), 0.09, 0.1, 0.9, 0.2),
    "brass": ((1, 0.8, 0.65, 0.5, 0.3, 0.2), 0.04, 0.1, 0.8, 0.08),
    "reed": ((1, 0.15, 0.6, 0.1, 0.35, 0.08, 0.15), 0.03, 0.05, 0.85, 0.07),
    "pipe": ((1, 0.25, 0.12, 0.04), 0.04, 0.05, 0.9, 0.08),
}
FAMILIES = (
    ((0, 8), "struck"), ((8, 16), "bell"), ((16, 24), "organ"), ((24, 40), "struck"), ((40, 46), "bowed"),
    ((46, 48), "struck"), ((48, 52), "bowed"), ((52, 56), "voice"), ((56, 64), "brass"), ((64, 72), "reed"),
    ((72, 80), "pipe"), ((80, 104), "organ"), ((104, 109), "struck"), ((109, 112), "reed"), ((112, 128), "bell"),
)  # fmt: skip


def render_sound(score: Score, suffix: str) -> bytes:
    """Return the score as a sound file of this suffix; GenloomError if it lasts too long."""
    soundfile: Any = load_library("soundfile")
    audio = render_audio(score)
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, audio.shape[1], format=FORMATS[suffix]) as file:
        for begin in range(0, len(audio), BLOCK):  # libsndfile crashes when it encodes a long block as Vorbis
            file.write(audio[begin : begin + BLOCK])
    return buffer.getvalue()


def render_audio(score: Score) -> np.ndarray:
    """Return the score as audio, (N, 2) float32 at 44.1 kHz, at a loudness of −16 LUFS with peaks below 1."""
    to_seconds = build_clock(score.tempos)
    seconds = to_seconds(score.end)
    if seconds > MAX_SECONDS:
        raise GenloomError("music.sound_too_long", seconds=round(seconds), maximum=MAX_SECONDS)
    if soundfont := os.environ.get(SOUNDFONT):
        return normalize_loudness(render_soundfont(score, soundfont))
    audio = np.zeros((round((seconds + TAIL_SECONDS) * RATE), 2), np.float32)
    for index, part in enumerate(score.parts):
        pan = 0.5 + 0.25 * (index / max(len(score.parts) - 1, 1) - 0.5)  # from the left to the right, gently
        gains = np.sqrt(np.array([1 - pan, pan], np.float32))
        for note in part.notes:
            begin, end = to_seconds(note.onset), to_seconds(note.end)
            samples = strike_drum(note) if part.program == DRUMS else play_note(part.program, note, end - begin)
            first = round(begin * RATE)
            samples = samples[: len(audio) - first]
            audio[first : first + len(samples)] += samples[:, None] * gains
    return normalize_loudness(audio)


def find_timbre(program: int) -> Timbre:
    return TIMBRES[next(family for (first, last), family in FAMILIES if first <= program < last)]


def play_note(program: int, note: Note, seconds: float) -> np.ndarray:
    """Return the samples of a note, with its release."""
    return note.velocity / 127 * synthesize_note(program, note.pitch, max(round(seconds * 100), 2))


@lru_cache(512)
def synthesize_note(program: int, pitch: int, hundredths: int) -> np.ndarray:
    """Return a note of this length in hundredths of a second at full velocity, with its release."""
    partials, attack, decay, sustain, release = find_timbre(program)
    frequency, seconds = 440 * 2 ** ((pitch - 69) / 12), hundredths / 100
    time = np.arange(round((seconds + release) * RATE), dtype=np.float32) / RATE
    vibrato = 0.0 if sustain == 0 else 0.003 * np.sin(2 * np.pi * 5.2 * time) * np.minimum(time / 0.4, 1)
    phase = (2 * np.pi * frequency * (time + np.cumsum(np.full(len(time), 1 / RATE) * vibrato))).astype(np.float32)
    audible = [(n, a) for n, a in enumerate(partials, start=1) if n * frequency < 0.45 * RATE]
    wave = sum(a * np.sin(n * phase) * (np.exp(-time * n * 0.8) if sustain == 0 else 1) for n, a in audible)
    level = sustain + (1 - sustain) * np.exp(-time / (decay / 3))
    envelope = np.minimum(time / attack, 1) * level
    envelope *= np.clip(1 - (time - seconds) / release, 0, 1)
    brightness = 1 / np.sqrt(sum(a * a for a in partials))
    return (0.2 * brightness * envelope * wave).astype(np.float32)


@lru_cache(64)
def _synthesize_strike(pitch: int, velocity: int) -> np.ndarray:
    rng = np.random.default_rng(pitch)
    is_kick, is_tom = pitch in (35, 36), pitch in (41, 43, 45, 47, 48, 50)
    length = 0.5 if pitch in (46, 49, 51, 52, 55, 57, 59) else 0.3 if is_kick or is_tom else 0.15
    time = np.arange(round(length * RATE), dtype=np.float32) / RATE
    noise = rng.standard_normal(len(time)).astype(np.float32)
    tone = np.sin(2 * np.pi * (55 if is_kick else 110) * time * (1 + np.exp(-time * 30)))
    bright = np.diff(noise, prepend=0)
    wave = tone if is_kick or is_tom else 0.6 * bright + (0.4 * tone if pitch in (38, 40) else 0)
    return (0.4 * velocity / 127 * np.exp(-time * 6 / length) * wave).astype(np.float32)


def strike_drum(note: Note) -> np.ndarray:
    """Return the samples of a drum of General MIDI's map: low drums ring, all others hiss."""
    return _synthesize_strike(note.pitch, note.velocity)


def render_soundfont(score: Score, soundfont: str) -> np.ndarray:
    """Return the score played by a SoundFont, (N, 2) at 44.1 kHz; GenloomError if it cannot be."""
    try:
        midirenderer = import_module("midirenderer")  # not in the lock: a person installs it for a SoundFont of theirs
    except ImportError:
        raise GenloomError("music.no_soundfont_renderer", variable=SOUNDFONT) from None
    try:
        import soundfile

        data = midirenderer.render_wave_from(Path(soundfont).read_bytes(), write_midi(score))
        audio, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except Exception as error:  # the renderer raises errors of its own
        raise GenloomError("music.bad_soundfont", path=soundfont, reason=str(error)[:200]) from None
    assert rate == RATE
    return audio


def normalize_loudness(audio: np.ndarray) -> np.ndarray:
    """Return the audio at the loudness; peaks above 0.97 are limited softly, silence stays silence."""
    pyloudnorm: Any = load_library("pyloudnorm")
    meter: Any = pyloudnorm.Meter(RATE)
    if len(audio) < 0.4 * RATE or not np.abs(audio).max() > 1e-6:
        return audio
    loudness = meter.integrated_loudness(audio.astype(np.float64))
    if not np.isfinite(loudness):
        return audio
    audio = audio * 10 ** ((LOUDNESS - loudness) / 20)
    knee, over = 0.8, np.abs(audio)
    limited = knee + (0.97 - knee) * np.tanh((over - knee) / (0.97 - knee))
    return np.where(over > knee, np.sign(audio) * limited, audio).astype(np.float32)
