"""Sounds without end: each a function of (seed, number), with a caption whose every word is true of it."""

import json
from dataclasses import asdict, dataclass

import numpy as np

from genloom.media.audio.measures import LENGTH_DB
from genloom.media.audio.processing import trim_silence
from genloom.media.audio.sound import Sound, make_sound
from recipes.sounds.kinds import COUNTS, KINDS, Form, Kind
from recipes.sounds.signals import RATE, finish_wave

REGISTERS = {"deep": (65.0, 160.0), "middle": (210.0, 620.0), "high": (780.0, 2200.0)}  # hertz
LENGTHS = {"short": (0.25, 0.55), "": (0.75, 1.3), "long": (1.7, 2.0)}  # seconds of the envelope
MAX_SAMPLES = 128 * 256
SECONDS_SHARE, MENTION_SHARE = 0.12, 0.75  # of the captions with seconds, and of the words that are said


@dataclass(frozen=True)
class Scene:
    """A sound, its caption, and its plan."""

    sound: Sound
    caption: str
    kind: str
    register: str
    length: str
    form: Form

    def to_json(self) -> str:
        """Return the plan, by which what was asked can be checked."""
        plan = {"kind": self.kind, "register": self.register, "length": self.length, **asdict(self.form)}
        return json.dumps({name: value for name, value in plan.items() if value not in ("", False)})


def build_scene(seed: int, number: int, kind: str = "") -> Scene:
    """Return the sound of a seed and a number; of this kind, or of one that they choose_word."""
    rng = np.random.default_rng((seed, number, 3))
    names = list(KINDS)
    chosen = names[int(rng.integers(len(names)))]
    name = kind or chosen
    each = KINDS[name]
    register, length = choose_word(rng, each.registers), choose_word(rng, each.lengths)
    low, high = REGISTERS[register or "middle"]
    form = Form(
        hertz=round(float(low * (high / low) ** rng.uniform()), 1),
        seconds=round(float(rng.uniform(*LENGTHS[length])), 3),
        bright=choose_word(rng, each.tones) == "bright",
        count=int(rng.integers(1, 5)) if each.plural else 1,
        direction=choose_word(rng, each.directions),
        fast=choose_word(rng, each.speeds) == "fast",
    )
    wave = finish_wave(each.make(rng, form), float(rng.uniform(0.5, 0.9)))[:MAX_SAMPLES]
    sound = make_sound(wave, RATE)
    return Scene(sound, write_caption(rng, each, register, length, form, sound), name, register, length, form)


def choose_word(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))] if options else ""


def write_caption(rng: np.random.Generator, kind: Kind, register: str, length: str, form: Form, sound: Sound) -> str:
    """Return a caption with some of the words that are true: "a deep drum, short, sudden"."""
    before, after = [], []
    for word in (register, length, form.direction, "fast" if form.fast else "slow" if kind.speeds else "", kind.attack,
                 ("bright" if form.bright else "dark") if kind.tones else ""):  # fmt: skip
        if word and rng.uniform() < MENTION_SHARE:
            said = "low" if word == "deep" and rng.uniform() < 0.4 else word
            (before if len(before) < 2 and rng.uniform() < 0.5 else after).append(said)
    if length == "" and not kind.plural and rng.uniform() < SECONDS_SHARE:
        after.append(f"{trim_silence(sound, LENGTH_DB).seconds:.1f} seconds")
    if kind.plural and form.count > 1:
        noun, article = kind.plural, f"{COUNTS[form.count]} "
    else:
        noun = kind.nouns[int(rng.integers(len(kind.nouns)))]
        article = "" if noun in ("rain", "rainfall", "wind", "thunder") else "a "
    adjectives = "".join(f"{word} " for word in before)
    phrase = f"{article}{adjectives}{noun}"
    if phrase.startswith("a ") and phrase[2] in "aeiou":
        phrase = f"an {phrase[2:]}"
    return ", ".join([phrase, *after])
