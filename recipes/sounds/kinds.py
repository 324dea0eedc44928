"""The kinds of sounds: each draws its plan, whose words are true of it, and makes the wave.

A kind is a function of a generator and a `Wishes`, which says how deep, how long and how fast it is to be.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recipes.sounds.signals import (
    Wave,
    add_partials,
    build_decay,
    build_hold,
    draw_curve,
    list_times,
    repeat_waves,
    shape_noise,
    sing_glide,
)

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Form:
    """The choices for a sound before its kind makes it."""

    hertz: float
    seconds: float
    bright: bool  # of noise: bright, else dark
    count: int
    direction: str  # "rising", "falling" or ""
    fast: bool


@dataclass(frozen=True)
class Kind:
    """A kind of sounds, what it is called, and which of the words of a form are true of it."""

    nouns: tuple[str, ...]
    make: Callable[[np.random.Generator, Form], Wave]
    registers: tuple[str, ...] = ()  # of deep, middle, high; (): it has no pitch
    lengths: tuple[str, ...] = ("short", "", "long")
    tones: tuple[str, ...] = ()  # of bright, dark
    attack: str = ""  # sudden or soft, if it is always so
    materials: tuple[str, ...] = ("",)
    plural: str = ""  # of a sound that is repeated, with its number before it
    directions: tuple[str, ...] = ("",)
    speeds: tuple[str, ...] = ()  # of slow, fast


def make_drum(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    bend = form.hertz * (1 + rng.uniform(0.2, 0.6) * np.exp(-times * rng.uniform(25, 50)))
    body = add_partials(bend, (1, 1.59, 2.14), (1, 0.25, 0.12)) * build_decay(form.seconds)
    click = shape_noise(rng, form.seconds, 400, 2500) * np.exp(-times * 150)
    return body + 0.25 * click


def make_wooden_drum(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    body = add_partials(np.full(len(times), form.hertz), (1, 3, 5), (1, 0.4, 0.2))
    knock = shape_noise(rng, form.seconds, 600, 3000) * np.exp(-times * 90)
    return body * build_decay(form.seconds) + 0.2 * knock


def make_snare(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    tone = np.sin(2 * np.pi * form.hertz * times) * np.exp(-times * 22)
    return 0.5 * tone + 0.6 * shape_noise(rng, form.seconds, 1500, 7000) * build_decay(form.seconds)


def make_cymbal(rng: np.random.Generator, form: Form) -> Wave:
    metal = add_partials(
        np.full(len(list_times(form.seconds)), rng.uniform(300, 420)), (8.9, 10.3, 12.1, 13.7, 15.3), (0.2,) * 5
    )
    return (shape_noise(rng, form.seconds, 4500, 7800) + metal) * build_decay(form.seconds, 0.001)


def make_bell(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    wave = np.zeros(len(times))
    for ratio, strength, speed in ((1, 1, 1), (2, 0.5, 1.4), (2.4, 0.3, 1.8), (3, 0.22, 2.2), (4.5, 0.12, 3)):
        if ratio * form.hertz < 7000:
            beat = 1 + 0.05 * np.sin(2 * np.pi * rng.uniform(1, 5) * times)
            wave += (
                strength
                * beat
                * np.sin(2 * np.pi * ratio * form.hertz * times)
                * 10 ** (-3 * speed * times / form.seconds)
            )
    return wave


def make_glass(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    low = np.sin(2 * np.pi * form.hertz * times) * build_decay(form.seconds)
    high = np.sin(2 * np.pi * 2.76 * form.hertz * times) if 2.76 * form.hertz < 7000 else np.zeros(len(times))
    return low + rng.uniform(0.2, 0.4) * high * 10 ** (-6 * times / form.seconds)


def make_whistle(rng: np.random.Generator, form: Form) -> Wave:
    times, share = list_times(form.seconds), np.linspace(0, 1, len(list_times(form.seconds)))
    slope = {"rising": share - 0.5, "falling": 0.5 - share}.get(form.direction, np.zeros(len(share)))
    vibrato = 0.012 * np.sin(2 * np.pi * rng.uniform(4, 7) * times)
    tone = sing_glide(form.hertz * 2 ** (0.9 * slope) * (1 + vibrato))
    breath = shape_noise(rng, form.seconds, form.hertz, form.hertz * 1.5)
    return (tone + 0.04 * breath) * build_hold(form.seconds, rng.uniform(0.15, 0.22), 0.12)


def make_siren(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    turns = rng.uniform(3.5, 5.5) if form.fast else rng.uniform(0.8, 1.3)
    curve = form.hertz * 2 ** (0.5 * np.sin(2 * np.pi * turns * times - np.pi / 2))
    return add_partials(curve, (1, 2, 3, 4), (1, 0.5, 0.33, 0.2)) * build_hold(form.seconds, 0.03, 0.06)


def make_rain(rng: np.random.Generator, form: Form) -> Wave:
    wave = shape_noise(rng, form.seconds, *((2200, 7000) if form.bright else (180, 420))) * 0.35
    drop_length = 240
    for start in rng.integers(0, max(len(wave) - drop_length, 1), round(form.seconds * rng.uniform(60, 120))):
        times = np.arange(drop_length) / 16_000
        hertz = rng.uniform(2500, 6000) if form.bright else rng.uniform(250, 600)
        wave[start : start + drop_length] += (
            rng.uniform(0.3, 1.6) * np.sin(2 * np.pi * hertz * times) * np.exp(-times * 500)
        )
    return wave * build_hold(form.seconds, 0.12, 0.12)


def make_wind(rng: np.random.Generator, form: Form) -> Wave:
    low, high = (2500, 4500) if form.bright else (150, 450)
    gusts = 0.65 + 0.35 * draw_curve(rng, form.seconds, 3)
    return shape_noise(rng, form.seconds, low, high, 8) * gusts * build_hold(form.seconds, 0.3, 0.3)


def make_thunder(rng: np.random.Generator, form: Form) -> Wave:
    rumble = shape_noise(rng, form.seconds, 40, 160) * (0.7 + 0.3 * draw_curve(rng, form.seconds, 8))
    crack = shape_noise(rng, form.seconds, 200, 1200) * np.exp(-list_times(form.seconds) * 14)
    return (rumble + 0.4 * crack) * build_decay(form.seconds, 0.015)


def make_laser(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    start, end = (5000, 250) if form.direction == "falling" else (250, 5000)
    curve = start * (end / start) ** (times / form.seconds)
    return sing_glide(curve * rng.uniform(0.85, 1.15)) * build_hold(form.seconds, 0.002, 0.05)


def make_bird(rng: np.random.Generator, form: Form) -> Wave:
    chirps = []
    for _ in range(form.count):
        seconds = rng.uniform(0.08, 0.13)
        curve = form.hertz * 2 ** (rng.uniform(0.3, 0.6) * np.sin(np.linspace(0, np.pi, len(list_times(seconds)))))
        chirps.append(sing_glide(curve) * build_hold(seconds, 0.015, 0.03))
    return repeat_waves(chirps, rng.uniform(0.2, 0.3))


def make_engine(rng: np.random.Generator, form: Form) -> Wave:
    times = list_times(form.seconds)
    curve = form.hertz * (1 + 0.02 * draw_curve(rng, form.seconds, 4))
    wave = add_partials(curve, tuple(range(1, 13)), tuple(1 / n**1.2 for n in range(1, 13)))
    return wave * (0.8 + 0.2 * np.sin(2 * np.pi * rng.uniform(8, 14) * times)) * build_hold(form.seconds, 0.08, 0.12)


def make_clap(rng: np.random.Generator, form: Form) -> Wave:
    def clap() -> Wave:
        times = list_times(0.14)
        return shape_noise(rng, 0.14, 900, 2600) * sum(
            np.where(times >= at, np.exp(-np.maximum(times - at, 0) * speed), 0)
            for at, speed in ((0.0, 250), (0.011, 250), (0.023, 45))
        )

    return repeat_waves([clap() for _ in range(form.count)], rng.uniform(0.3, 0.4))


def make_knock(rng: np.random.Generator, form: Form) -> Wave:
    hertz = rng.uniform(220, 420)

    def knock() -> Wave:
        times = list_times(0.16)
        body = add_partials(np.full(len(times), hertz), (1, 1.9, 3.1), (1, 0.5, 0.25)) * np.exp(-times * 45)
        return body + 0.3 * shape_noise(rng, 0.16, 500, 2500) * np.exp(-times * 140)

    return repeat_waves([knock() for _ in range(form.count)], rng.uniform(0.22, 0.32))


def make_drop(rng: np.random.Generator, form: Form) -> Wave:
    def drop() -> Wave:
        times = list_times(0.2)
        return sing_glide(rng.uniform(500, 750) * np.exp(times * rng.uniform(5, 8))) * np.exp(-times * 24)

    return repeat_waves([drop() for _ in range(form.count)], rng.uniform(0.3, 0.4))


def make_beep(rng: np.random.Generator, form: Form) -> Wave:
    seconds = rng.uniform(0.1, 0.16)
    times = list_times(seconds)
    beep = add_partials(np.full(len(times), form.hertz), (1, 3), (1, 0.25)) * build_hold(seconds, 0.006, 0.01)
    return repeat_waves([beep] * form.count, seconds + rng.uniform(0.1, 0.16))


def make_string(rng: np.random.Generator, form: Form) -> Wave:
    times, wave = list_times(form.seconds), np.zeros(len(list_times(form.seconds)))
    place = rng.uniform(0.12, 0.3)
    for n in range(1, 13):
        if n * form.hertz < 7000:
            strength = np.sin(np.pi * n * place) / n
            wave += (
                strength
                * np.sin(2 * np.pi * n * form.hertz * np.sqrt(1 + 1e-4 * n * n) * times)
                * np.exp(-times * (4.2 / form.seconds) * (0.7 + 0.3 * n))
            )
    return wave * build_decay(3 * form.seconds, 0.003)[: len(times)]


ALL = ("deep", "middle", "high")
KINDS: dict[str, Kind] = {
    "drum": Kind(("drum", "tom"), make_drum, ("deep", "middle"), ("short", ""), attack="sudden"),
    "wooden drum": Kind(("wooden drum", "wood block"), make_wooden_drum, ALL, ("short", ""), attack="sudden"),
    "snare": Kind(("snare", "snare drum"), make_snare, (), ("short",), ("bright",), "sudden"),
    "cymbal": Kind(("cymbal", "metal cymbal"), make_cymbal, (), ("short", "", "long"), ("bright",), "sudden"),
    "bell": Kind(("bell", "metal bell"), make_bell, ALL, ("", "long"), attack="sudden"),
    "glass": Kind(("glass", "glass being struck"), make_glass, ("high",), ("short", "", "long"), attack="sudden"),
    "whistle": Kind(
        ("whistle",), make_whistle, ("high",), ("", "long"), attack="soft", directions=("", "rising", "falling")
    ),
    "siren": Kind(("siren", "alarm siren"), make_siren, ("middle", "high"), ("", "long"), speeds=("slow", "fast")),
    "rain": Kind(("rain", "rainfall"), make_rain, (), ("", "long"), ("bright", "dark"), "soft"),
    "wind": Kind(("wind", "gust of wind"), make_wind, (), ("", "long"), ("bright", "dark"), "soft"),
    "thunder": Kind(("thunder", "thunderclap"), make_thunder, (), ("", "long"), ("dark",)),
    "laser": Kind(("laser", "laser shot"), make_laser, (), ("short",), directions=("falling", "rising")),
    "bird": Kind(("bird", "chirping bird"), make_bird, ("high",), (), plural="chirps of a bird"),
    "engine": Kind(("engine", "running engine"), make_engine, ("deep",), ("", "long"), attack=""),
    "clap": Kind(("clap",), make_clap, (), (), attack="sudden", plural="claps"),
    "knock": Kind(("knock on wood",), make_knock, (), (), attack="sudden", plural="knocks on wood"),
    "drop": Kind(("drop of water",), make_drop, (), (), attack="sudden", plural="drops of water"),
    "beep": Kind(("beep",), make_beep, ("middle", "high"), (), plural="beeps"),
    "string": Kind(("plucked string", "string"), make_string, ALL, ("", "long"), attack="sudden"),
}
