"""Sounds of any length, written to files and to a player block by block, so that no long sound is in memory."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.speech.libraries import load_library

FORMATS = {  # of the files that speech is written to: format and subtype of libsndfile
    ".wav": ("WAV", "PCM_16"), ".mp3": ("MP3", "MPEG_LAYER_III"), ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"),
}  # fmt: skip
SUFFIXES = tuple(FORMATS)
BLOCK = 1 << 14  # samples that are written together: libsndfile crashes when it encodes a long block as Vorbis
_STEPS = 1 << 15
_PLAYERS: Mapping[str, tuple[str, ...]] = {  # programs that play 16-bit samples from standard input
    "pw-cat": ("--playback", "--rate={rate}", "--channels=1", "--format=s16", "-"),
    "paplay": ("--raw", "--rate={rate}", "--channels=1", "--format=s16le"),
    "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-r", "{rate}", "-c", "1"),
    "ffplay": ("-loglevel", "error", "-nodisp", "-autoexit", "-f", "s16le", "-ar", "{rate}", "-i", "-"),
    "play": ("-q", "-t", "raw", "-e", "signed", "-b", "16", "-r", "{rate}", "-c", "1", "-"),
}


def round_samples(samples: np.ndarray) -> np.ndarray:
    """Return samples from -1 to 1 in 16 bits, as the medium of sounds rounds them."""
    return np.rint(samples * _STEPS).clip(-_STEPS, _STEPS - 1).astype(np.int16)


class SoundWriter:
    """A file of one channel that grows block by block; its suffix is its format, and its tags are written first."""

    def __init__(self, path: Path, rate: int, tags: Mapping[str, str] | None = None):
        format, subtype = FORMATS[path.suffix.lower()]
        soundfile: Any = load_library("soundfile")
        self._file = soundfile.SoundFile(str(path), "w", rate, 1, format=format, subtype=subtype)
        for name, tag in (tags or {}).items():
            setattr(self._file, name, tag)

    def write(self, levels: np.ndarray) -> None:
        """Append samples in 16 bits."""
        for begin in range(0, len(levels), BLOCK):
            self._file.write(levels[begin : begin + BLOCK])

    def __enter__(self) -> "SoundWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def convert_sound(source: Path, target: Path, tags: Mapping[str, str]) -> None:
    """Write a file of one channel in the format of the target's suffix, with these tags."""
    soundfile: Any = load_library("soundfile")
    with soundfile.SoundFile(str(source)) as file, SoundWriter(target, file.samplerate, tags) as writer:
        while len(levels := file.read(BLOCK * 16, dtype="int16")):
            writer.write(levels)


class Player:
    """A program of this machine that plays what is written to it."""

    def __init__(self, rate: int):
        name = next((name for name in _PLAYERS if shutil.which(name)), None)
        if name is None:
            raise GenloomError("speech.no_player", programs=", ".join(_PLAYERS))
        command = [name, *(argument.format(rate=rate) for argument in _PLAYERS[name])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def play(self, levels: np.ndarray) -> None:
        """Play samples in 16 bits; waits while the program has enough to play, and does nothing after it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(levels.astype("<i2").tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def finish(self) -> None:
        """Wait until all is played."""
        self._process.communicate()
