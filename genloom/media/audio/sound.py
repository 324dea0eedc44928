"""A sound: its samples in 16 bits, of one or two channels, and their rate.

Shape letters: C channels, N samples of a channel.
"""

from dataclasses import dataclass

import numpy as np

from genloom.errors import GenloomError

MIN_RATE, MAX_RATE = 4_000, 192_000  # samples a second
MAX_CHANNELS = 2
STEPS = 1 << 15  # of a sample between 0 and 1


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples float32 (C, N) from -1 to 1 in steps of 2⁻¹⁵, as files in 16 bits; `make_sound` rounds to them."""

    samples: np.ndarray
    rate: int

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def frames(self) -> int:
        """The number of samples of a channel."""
        return self.samples.shape[1]

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sound):
            return NotImplemented
        return self.rate == other.rate and np.array_equal(self.samples, other.samples)

    def __hash__(self) -> int:
        return hash((self.rate, self.samples.tobytes()))

    def cut(self, begin: int, end: int) -> "Sound":
        """Return the samples from `begin` to `end`, which is excluded."""
        return Sound(self.samples[:, begin:end], self.rate)


def make_sound(samples: np.ndarray, rate: int) -> Sound:
    """Return the sound of samples (N,) or (C, N); louder ones than full scale are clipped, and all rounded to 16 bits.

    Raise GenloomError for no samples, more than two channels, numbers that are not finite, and an odd rate.
    """
    samples = np.atleast_2d(np.asarray(samples, np.float32))
    require_rate(rate)
    if samples.ndim != 2 or not 1 <= len(samples) <= MAX_CHANNELS:
        raise GenloomError("audio.too_many_channels", count=samples.shape[0], maximum=MAX_CHANNELS)
    if not samples.shape[1]:
        raise GenloomError("audio.empty")
    if not np.isfinite(samples).all():
        raise GenloomError("audio.not_finite")
    steps = np.rint(samples * STEPS).clip(-STEPS, STEPS - 1)
    return Sound(np.ascontiguousarray(steps / np.float32(STEPS), np.float32), int(rate))


def require_rate(rate: float) -> None:
    """Raise GenloomError for a rate that is too low or too high."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise GenloomError("audio.bad_rate", rate=rate, minimum=MIN_RATE, maximum=MAX_RATE)
