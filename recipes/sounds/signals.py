"""The parts of which sounds are made: envelopes, tones, glides and shaped noise.

Shape letters: N samples.
"""

import numpy as np

RATE = 16_000
Wave = np.ndarray  # (N,) float64


def count_samples(seconds: float) -> int:
    return max(round(seconds * RATE), 2)


def list_times(seconds: float) -> Wave:
    return np.arange(count_samples(seconds)) / RATE


def build_decay(seconds: float, attack: float = 0.002) -> Wave:
    """Return an envelope that falls by 60 decibels over the seconds, after a rise of `attack` seconds."""
    times = list_times(seconds)
    return np.minimum(times / max(attack, 1e-4), 1) * 10 ** (-3 * np.maximum(times - attack, 0) / seconds)


def build_hold(seconds: float, attack: float, release: float) -> Wave:
    """Return an envelope that rises, stays, and falls at the end."""
    times = list_times(seconds)
    rise = np.minimum(times / max(attack, 1e-4), 1)
    fall = np.minimum((seconds - times) / max(release, 1e-4), 1)
    return np.sin(np.pi / 2 * np.clip(np.minimum(rise, fall), 0, 1)) ** 2


def sing_glide(frequencies: Wave) -> Wave:
    """Return a sine of changing frequency in hertz."""
    return np.sin(2 * np.pi * np.cumsum(frequencies) / RATE)


def add_partials(frequencies: Wave, ratios: tuple[float, ...], strengths: tuple[float, ...]) -> Wave:
    """Return a sum of sines at multiples of a frequency; those above the hearing of the rate are left out."""
    phase = 2 * np.pi * np.cumsum(frequencies) / RATE
    top = float(frequencies.max())
    return sum(
        (strength * np.sin(ratio * phase) for ratio, strength in zip(ratios, strengths, strict=True)
         if ratio * top < 0.45 * RATE),
        start=np.zeros(len(frequencies)),
    )  # fmt: skip


def shape_noise(rng: np.random.Generator, seconds: float, low: float, high: float, order: int = 4) -> Wave:
    """Return noise between two frequencies, with a root mean square of 1."""
    count = count_samples(seconds)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum /= np.sqrt(1 + (hertz / high) ** order) * np.sqrt(1 + (low / np.maximum(hertz, 1)) ** order)
    wave = np.fft.irfft(spectrum, count)
    return wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)


def draw_curve(rng: np.random.Generator, seconds: float, changes: float) -> Wave:
    """Return a smooth random curve from -1 to 1 with about so many changes a second."""
    times = list_times(seconds)
    knots = rng.uniform(-1, 1, max(int(seconds * changes) + 3, 4))
    return np.interp(times, np.linspace(0, seconds, len(knots)), knots)


def repeat_waves(waves: list[Wave], gap: float) -> Wave:
    """Return waves that begin one after the other, so many seconds apart."""
    step = count_samples(gap)
    total = np.zeros(step * (len(waves) - 1) + max(len(wave) for wave in waves))
    for number, wave in enumerate(waves):
        total[number * step : number * step + len(wave)] += wave
    return total


def finish_wave(wave: Wave, peak: float) -> Wave:
    """Return a wave of this peak that neither begins nor ends with a click."""
    edge = min(32, len(wave) // 2)
    wave = wave - wave.mean()
    wave[:edge] *= np.linspace(0, 1, edge)
    wave[-edge:] *= np.linspace(1, 0, edge)
    return wave * (peak / max(float(np.abs(wave).max()), 1e-9))
