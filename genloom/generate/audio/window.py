"""The part of a source that a model reads for a task, and the way back: what it made is faded into the source.

Shape letters: C channels, N samples of a channel.
"""

from dataclasses import dataclass

import numpy as np

from genloom.errors import GenloomError
from genloom.media.audio.processing import change_rate
from genloom.media.audio.sound import Sound, make_sound

FADE_SECONDS = 0.01  # in which what is made and the source overlap at an edge
MIN_CONTEXT_SHARE = 0.2  # of what a model reads, that is the source's own beside a gap


@dataclass(frozen=True, eq=False)
class Window:
    """A source with room for what is added, the seconds of it that a model reads, and those that it makes."""

    canvas: Sound
    begin: float  # of the part that is read
    seconds: float
    gap: tuple[float, float]  # in the canvas

    def extract(self) -> Sound:
        """Return the part that the model reads; what is beyond the canvas is silence."""
        first, count = (round(each * self.canvas.rate) for each in (self.begin, self.seconds))
        samples = self.canvas.samples[:, first : first + count].copy()
        begin, end = (round((each - self.begin) * self.canvas.rate) for each in self.gap)
        samples[:, max(begin, 0) : end] = 0
        return Sound(samples, self.canvas.rate)

    def find_cells(self, num_cells: int) -> tuple[int, int]:
        """Return the first cell of the gap, and that after its last, if so many cells hold what is read."""
        begin, end = ((each - self.begin) / self.seconds * num_cells for each in self.gap)
        return max(int(np.floor(begin)), 0), min(int(np.ceil(end)), num_cells)

    def restore(self, made: Sound) -> Sound:
        """Return the canvas with what was made in its gap, at its own rate and in its own channels."""
        canvas = self.canvas
        samples = change_rate(made, canvas.rate).samples.mean(0)
        fade = round(FADE_SECONDS * canvas.rate)
        first, last = (round(each * canvas.rate) for each in self.gap)
        first, last = max(first - fade, 0), min(last + fade, canvas.frames)
        offset = round(self.begin * canvas.rate)
        part = samples[max(first - offset, 0) : max(last - offset, 0)]
        part = np.pad(part, (0, last - first - len(part)))  # the model may have ended before the gap does
        weight = np.ones(last - first, np.float32)
        ramp = np.linspace(0, 1, min(2 * fade, (last - first) // 2) + 2, dtype=np.float32)[1:-1]
        if first > 0:
            weight[: len(ramp)] = ramp
        if last < canvas.frames:
            weight[len(weight) - len(ramp) :] = ramp[::-1]
        result = canvas.samples.copy()
        result[:, first:last] = result[:, first:last] * (1 - weight) + part * weight
        return make_sound(result, canvas.rate)


def open_window(source: Sound, gap: tuple[float, float] | None, added: float, max_seconds: float) -> Window:
    """Return the window around a gap, or before `added` seconds at the end; GenloomError if the model reads less."""
    canvas = Sound(np.pad(source.samples, ((0, 0), (0, round(added * source.rate)))), source.rate)
    begin, end = gap if gap is not None else (source.seconds, canvas.seconds)
    longest = max_seconds * (1 - MIN_CONTEXT_SHARE)
    if end - begin > longest + 1e-6:
        raise GenloomError("audio.gap_too_long", seconds=round(end - begin, 2), maximum=round(longest, 2))
    start = (begin + end - max_seconds) / 2 if gap is not None else end - max_seconds
    start = max(min(start, canvas.seconds - max_seconds), 0.0)
    return Window(canvas, start, max_seconds, (begin, end))
