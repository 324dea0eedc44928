"""The medium audio: sounds from WAV, FLAC, MP3, OGG, Opus and M4A files, saved as these and as spectrograms."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.audio.measures import measure_sound
from genloom.media.audio.sound import Sound as Sound
from genloom.media.saving import write_file
from genloom.settings import explain_unreadable_file
from genloom.types import DefaultRecipe, Display, Item

kind: str = "audio"
plural: str = "sounds"
unit: str = "second"
persons: tuple[str, ...] = ("voice",)
tokens_per_sample: int = 128
feature_extractor: str = "mel_statistics"  # features for comparing sounds: a module of evaluate/features

suffixes: tuple[str, ...] = (".flac", ".wav", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aiff", ".aif")
save_suffixes: tuple[str, ...] = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff", ".png")

# An autoencoder of sounds: a latent of half as many frames; spectra count, and the wave itself a little.
AUTOENCODER: Mapping[str, Any] = {
    "latent": 16,
    "downsampling": [2],
    "decoder_std": 1.0,
    "beta": 1.0,
    "laplacian_weight": 0.0,
    "scale_equivariance_weight": 0.0,
    "spectral_weight": 3.0,
}
# A voice: flow over mel bands, or the latent of a vocoder, of the phonemes of a text; see conditioners/speech.py.
VOICE = DefaultRecipe(
    ("flow",),
    "dit",
    ("latent", "mel"),
    batch_size=8,
    context_length=0,
    persons="voice",
    settings={
        "codec": {"model": "vocoder", "length": 512},
        "network": {"patch_size": 2, "width": 192, "depth": 4},
        "conditions": {"text": {"name": "speech"}},
        "plan": {"cooldown": 0.4, "ema_decay": 0.99},
    },
)
default_recipes: tuple[DefaultRecipe, ...] = (
    VOICE,
    DefaultRecipe(
        ("flow",),
        "dit",
        ("latent", "waveform"),
        batch_size=32,
        context_length=0,
        text_encoder="minilm",
        settings={"codec": {"model": "sounds"}, "network": {"patch_size": 1}},
    ),
    DefaultRecipe(
        ("variational",),
        "spectral",
        ("waveform",),
        batch_size=16,
        context_length=0,
        settings={"objective": AUTOENCODER},
    ),
    DefaultRecipe(
        ("vae_gan",), "spectral", ("waveform",), batch_size=16, context_length=0, settings={"objective": AUTOENCODER}
    ),
    DefaultRecipe(
        ("autoregressive", "masked"),
        "transformer",
        ("fsq_tokens",),
        batch_size=32,
        context_length=0,
        text_encoder="minilm",
        settings={"codec": {"model": "sounds-codes"}},
    ),
    DefaultRecipe(
        (),
        "dit",
        ("latent", "waveform"),
        batch_size=32,
        context_length=0,
        text_encoder="minilm",
        settings={"codec": {"model": "sounds"}, "network": {"patch_size": 1}},
    ),
)

MAX_PREVIEW_COLUMNS = 64
CLIPPED_SHARE = 0.001  # of the samples at full scale
SILENT_PEAK = 1e-3
MIN_SECONDS = 0.05


def open(path: Path) -> Item:
    """Return the sound in a file as an Item; `meta` has its `title`, `caption`, `tags` and `changes`."""
    from genloom.media.audio import reading

    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(reading.MAX_BYTES + 1)
        recording = reading.read_sound(data)
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    tags = dict(recording.tags)
    caption = tags.get("description") or tags.get("comment") or tags.get("title") or ""
    meta = {"title": tags.get("title", ""), "caption": caption, "tags": tags, "changes": recording.changes}
    return Item(recording.sound, str(path), tags.get("license") or tags.get("copyright") or "unknown", meta)


def save(item: Item, path: Path) -> None:
    """Write the sound in the format of the suffix, with the tags in `meta`; .png is its spectrogram."""
    path = Path(path)
    data = render(item.value, path.suffix.lower(), item.meta.get("tags"))
    write_file(path, lambda file: file.write(data))


def render(sound: Sound, suffix: str, tags: Mapping[str, str] | None = None) -> bytes:
    """Return the sound as a file of this suffix; GenloomError for another one."""
    require_save_suffix(Path(suffix and f"sound{suffix}"))
    if suffix == ".png":
        from genloom.media.audio import plots

        return plots.draw_sound(sound)
    from genloom.media.audio import writing

    return writing.write_sound(sound, {".oga": ".ogg", ".aif": ".aiff"}.get(suffix, suffix), tags)


def require_save_suffix(path: Path) -> None:
    """Raise GenloomError for a suffix of no format that sounds are saved in."""
    if (suffix := path.suffix.lower()) not in (*save_suffixes, ".oga", ".aif"):
        raise GenloomError("audio.bad_save_suffix", suffix=suffix or "such")


def preview(item: Item, max_columns: int = MAX_PREVIEW_COLUMNS) -> str:
    """Return the sound for a terminal: its facts, its levels in blocks and its spectrogram in shades."""
    from genloom.media.audio import plots

    sound: Sound = item.value
    return "\n".join([describe_shortly(sound), *plots.draw_characters(sound, max_columns)])


def describe_shortly(sound: Sound) -> str:
    """Return the length, the rate and what people hear first, in one line."""
    measures = measure_sound(sound)
    facts = [f"{sound.seconds:.2f} s", f"{sound.rate / 1000:g} kHz", "mono" if sound.channels == 1 else "stereo"]
    facts += [f"{measures.pitch:.0f} Hz"] if measures.pitch else []
    return ", ".join([*facts, f"{measures.loudness:.0f} LUFS"])


def check(item: Item) -> list[str]:
    """List the problems of a sound; an empty list if there are none."""
    sound: Sound = item.value
    problems, magnitudes = [], np.abs(sound.samples)
    if magnitudes.max() < SILENT_PEAK:
        problems.append("it is silent")
    elif (share := float((magnitudes > 0.9995).mean())) > CLIPPED_SHARE:
        problems.append(f"it is clipped: {share:.1%} of its samples are at full scale")
    if sound.seconds < MIN_SECONDS:
        problems.append(f"it lasts only {1000 * sound.seconds:.0f} ms")
    if abs(float(sound.samples.mean())) > 0.05:
        problems.append("it has an offset: its mean is not 0")
    return problems


def count_units(value: Sound) -> int:
    """Return the number of seconds that have begun."""
    return -(-value.frames // value.rate)


def cut(value: Sound, max_units: int) -> Sound:
    """Return the first seconds, at least one."""
    return value.cut(0, max(max_units, 1) * value.rate)


def split(value: Sound, count: int) -> Sequence[Sound]:
    """Return at most `count` passages of whole seconds, about equally long."""
    seconds = count_units(value)
    edges = np.linspace(0, seconds, min(count, seconds) + 1).round().astype(int) * value.rate
    return [value.cut(int(begin), int(end)) for begin, end in pairwise(edges)]


def describe(value: Sound) -> Mapping[str, float]:
    """Return its seconds, pitch, brightness, attack, noise and loudness."""
    from genloom.media.audio.measures import UNITS

    measures = vars(measure_sound(value))
    names = {name: f"{name}, {UNITS[name]}" if UNITS[name] else name for name in measures}
    return {"seconds": value.seconds, **{names[name]: float(number) for name, number in measures.items()}}


def extract_style_features(value: Sound) -> np.ndarray:
    """Return what people notice first of a sound, on scales of hearing."""
    from genloom.media.audio import style_features

    return style_features.measure_style_features(value)


def show(value: Sound) -> Display:
    """Return the sound as a picture of its wave and its spectrogram, and in characters."""
    return Display("image/png", render(value, ".png"), preview(Item(value)))


def render_sound(value: Sound) -> Display:
    """Return the sound for a page that plays it."""
    return Display("audio/flac", encode(value), "")


def sheet(values: Sequence[Sound], captions: Sequence[str] = ()) -> Display:
    """Return the spectrograms one below the other."""
    from genloom.media.audio import plots

    captions = captions or [""] * len(values)
    text = "\n\n".join(
        f"{caption}\n{preview(Item(value))}".lstrip() for value, caption in zip(values, captions, strict=True)
    )
    return Display("image/png", plots.draw_sounds(values, captions), text)


def encode(value: Sound) -> bytes:
    """Return the sound as FLAC in 16 bits, the same bytes for equal sounds."""
    from genloom.media.audio import writing

    return writing.write_sound(value, ".flac")


def decode(data: bytes) -> Sound:
    """Return the sound in the bytes of a sound file; ValueError if they are damaged."""
    from genloom.media.audio import reading

    return reading.read_sound(data).sound
