"""Recordings of any length as samples for speech recognition: decoded with limits, and cut where they are quiet.

Shape letters: N samples.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genloom import limited_process
from genloom.errors import GenloomError
from genloom.limited_process import LimitedProcess, LimitExceeded, limit_time, read_limited
from genloom.speech.libraries import load_library

RATE = 16_000  # samples per second
PIECE_SECONDS = 20 * 60  # of a recording that is recognised at once
MAX_SECONDS = 24 * 3600
_SEARCH_SECONDS = 60  # at the end of a piece, where a quiet place is looked for
_WINDOW = RATE // 4
_BLOCK = RATE * 30


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording."""

    samples: np.ndarray  # float32 (N,), from -1 to 1
    start: float  # seconds
    is_last: bool


def iter_pieces(path: Path, piece_seconds: int = PIECE_SECONDS) -> Iterator[Piece]:
    """Yield the pieces of a recording, of at most `piece_seconds`; a recording that is not longer is one piece.

    Raises GenloomError for a file without sound, a damaged one, and one that needs too much time or memory.
    """
    waiting = np.zeros(0, np.int16)
    start = 0.0
    length = piece_seconds * RATE
    for levels in _iter_levels_limited(path):
        waiting = np.concatenate([waiting, levels])
        while len(waiting) > length:
            cut = find_quiet_cut(waiting[:length])
            yield Piece(_to_samples(waiting[:cut]), start, False)
            start, waiting = start + cut / RATE, waiting[cut:]
    if start == 0 and not len(waiting):
        raise GenloomError("speech.bad_recording", path=path, reason="it has no samples")
    yield Piece(_to_samples(waiting), start, True)


def find_quiet_cut(levels: np.ndarray) -> int:
    """Return where a stretch is quietest near its end: the middle of a quarter of a second."""
    tail = levels[-_SEARCH_SECONDS * RATE :].astype(np.float64)
    windows = tail[: len(tail) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    energies = np.square(windows).mean(1)
    quietest = len(energies) - 1 - int(energies[::-1].argmin())  # the last of equal ones
    return len(levels) - len(tail) + quietest * _WINDOW + _WINDOW // 2


def _to_samples(levels: np.ndarray) -> np.ndarray:
    return levels.astype(np.float32) / 32768.0


def _iter_levels_limited(path: Path) -> Iterator[np.ndarray]:
    """Yield the samples (N,) of a file in 16 bits, decoded in a process that may crash or hang."""
    if not path.is_file():
        raise GenloomError("speech.no_recording", path=path)
    load_library("av")
    try:
        with LimitedProcess() as process:
            yield from process.stream(_iter_levels, path)
    except (LimitExceeded, MemoryError) as error:
        reason = "it takes too long or too much memory"
        raise GenloomError("speech.bad_recording", path=path, reason=reason) from error


def _iter_levels(path: Path) -> Iterator[np.ndarray]:
    with limit_time(limited_process.limits.seconds_for(path.stat().st_size)):
        yield from join_blocks(_decode_levels(path))


def join_blocks(blocks: Iterable[np.ndarray], size: int = _BLOCK) -> Iterator[np.ndarray]:
    """Yield the same samples in larger blocks."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for block in blocks:
        waiting.append(block)
        num_waiting += len(block)
        if num_waiting >= size:
            yield np.concatenate(waiting)
            waiting, num_waiting = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _decode_levels(path: Path) -> Iterator[np.ndarray]:
    """Yield the samples of the first sound of a file, mixed to one channel at 16 kHz, as faster-whisper does."""
    av: Any = load_library("av")
    num_samples = 0
    try:
        with av.open(str(path), mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise GenloomError("speech.bad_recording", path=path, reason="it has no sound")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in _iter_frames(av, container):
                for resampled in resampler.resample(frame):
                    levels = resampled.to_ndarray().reshape(-1)
                    num_samples += len(levels)
                    if num_samples > MAX_SECONDS * RATE:
                        raise GenloomError("speech.recording_too_long", path=path, hours=MAX_SECONDS // 3600)
                    yield levels
    except (av.error.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, GenloomError):
            raise
        reason = " ".join(str(error).split()).rpartition("] ")[2][:160] or type(error).__name__
        raise GenloomError("speech.bad_recording", path=path, reason=reason) from None


def _iter_frames(av: Any, container: Any) -> Iterator[Any]:
    """Yield the frames that can be decoded, and None at the end, which empties the resampler."""
    frames = container.decode(audio=0)
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            break
        except av.error.InvalidDataError:  # a damaged part between good ones
            continue
        frame.pts = None
        yield frame
    yield None


def measure_seconds(path: Path) -> float:
    """Return how long a recording lasts by its header; 0 if it does not say."""
    try:
        return read_limited(_read_seconds, path)
    except (LimitExceeded, MemoryError, GenloomError):
        return 0.0


def _read_seconds(path: Path) -> float:
    av: Any = load_library("av")
    try:
        with av.open(str(path), mode="r", metadata_errors="ignore") as container:
            return (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, ValueError, OSError):
        return 0.0
