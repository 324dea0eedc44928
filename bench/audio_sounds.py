"""Sounds by a model: whether they are what was asked for; and what a codec of sounds keeps, beside Opus.

    python bench/audio_sounds.py --codec sounds-codec
    python bench/audio_sounds.py --model sounds --count 4

Codec: sounds of the recipe under a seed that no training has seen, through the autoencoder (or the codec of a model
that has one) and back. Mel distance: mean absolute difference of 64 mel bands in decibels, where one of the two is at
most 60 decibels below the loudest place. SI-SDR: scale-invariant ratio of the signal to the error of the wave (Le Roux
et al. 2019); it counts phases, which nobody hears in noise. The peer is Opus (libopus) at its lowest rates.

Prompts: the captions of sounds of each kind under another seed. Kind right: by a judge trained on sounds of the recipe,
whose accuracy on others is stated. Words kept: the share of the words like deep, short, bright, sudden that the sound
measures as. Beside them the same for the sounds of the recipe whose captions they are: what a perfect model reaches.
"""

import argparse
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import genloom as gl
from genloom.codecs.autoencoder import Autoencoder
from genloom.codecs.latent import Codec as LatentCodec
from genloom.generate import engine
from genloom.media.audio.libraries import load_library
from genloom.media.audio.measures import measure_sound
from genloom.media.audio.processing import change_rate
from genloom.media.audio.reading import read_sound
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import compute_mel_decibels
from genloom.media.audio.words import count_kept
from genloom.model import load_model
from recipes.sounds.judge import train_judge
from recipes.sounds.kinds import KINDS
from recipes.sounds.scenes import build_scene

SEED = 103
RANGE_DB = 60.0
OPUS_RATES = (6_000, 12_000)  # bits a second


def measure_mel_distance(sound: Sound, other: Sound) -> float:
    """Return the mean difference of mel bands in decibels, where one of the sounds is loud enough to be heard."""
    levels, others = (compute_mel_decibels(each, 64, -100.0, 8_000.0) for each in (sound, other))
    length = max(len(levels), len(others))
    levels, others = (
        np.pad(each, ((0, length - len(each)), (0, 0)), constant_values=-100.0) for each in (levels, others)
    )
    floor = levels.max() - RANGE_DB
    levels, others = np.maximum(levels, floor), np.maximum(others, floor)
    is_heard = (levels > floor) | (others > floor)
    return float(np.abs(levels - others)[is_heard].mean())


def measure_si_sdr(sound: Sound, other: Sound) -> float:
    """Return the scale-invariant ratio of the signal to the error, in decibels."""
    length = min(sound.frames, other.frames)
    wave, estimate = (each.samples[0, :length].astype(np.float64) for each in (sound, other))
    scaled = wave * (wave @ estimate) / max(wave @ wave, 1e-12)
    error = estimate - scaled
    return 10 * float(np.log10(max(scaled @ scaled, 1e-12) / max(error @ error, 1e-12)))


def code_by_opus(sound: Sound, bits: int) -> Sound:
    """Return the sound through Opus at so many bits a second."""
    av: Any = load_library("av")
    buffer, wide = io.BytesIO(), change_rate(sound, 48_000)
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(wide.samples, format="flt", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return change_rate(read_sound(buffer.getvalue()).sound, sound.rate)


def report_codec(workspace: gl.Workspace, name: str, count: int) -> None:
    """Print how near sounds come back from a codec, beside Opus."""
    model = load_model(workspace.store, name)
    codec = model.codec
    autoencoder = codec.autoencoder if isinstance(codec, LatentCodec) else Autoencoder.from_model(model)
    sounds = [build_scene(SEED, number).sound for number in range(count)]
    ways: dict[str, Callable[[Sound], Sound]] = {
        name: lambda sound: autoencoder.decode(autoencoder.encode(sound)),
        **{f"Opus {bits // 1000} kbit/s": lambda sound, bits=bits: code_by_opus(sound, bits) for bits in OPUS_RATES},
    }
    spec = autoencoder.spec
    inner: Any = autoencoder.inner_codec
    config = inner.config
    numbers = spec.latent * spec.grid[0] / (config.hop * config.frames / config.rate)
    print(f"{count} sounds of the recipe, seed {SEED}; {name}: {numbers:.0f} numbers a second")
    print(f"{'codec':16} mel distance, dB   SI-SDR, dB (median)")
    for label, code in ways.items():
        decoded = [code(sound) for sound in sounds]
        distances = [measure_mel_distance(*pair) for pair in zip(sounds, decoded, strict=True)]
        ratios = [measure_si_sdr(*pair) for pair in zip(sounds, decoded, strict=True)]
        print(f"{label:16} {np.mean(distances):12.2f} {np.median(ratios):18.1f}")


def generate_sounds(model: Any, prompts: Sequence[str], steps: int, guidance: float) -> list[Sound]:
    """Return a sound for each prompt."""
    params = {"steps": steps, "guidance_scale": guidance}
    request = engine.build_request(prompts, 1, SEED, (), params, is_sequence=False)
    sounds: list[Sound] = []
    for batch in engine.split_batches(request, engine.fit_batch_size(model)):
        sounds += list(engine.run_request(model, batch).values)
    return sounds


def report_prompts(workspace: gl.Workspace, name: str, count: int, steps: int, guidance: float) -> None:
    """Print how many sounds are of the kind that was asked for, and keep its words."""
    model, judge = load_model(workspace.store, name), train_judge()
    scenes = [build_scene(SEED, number, kind) for kind in KINDS for number in range(count)]
    prompts = [scene.caption for scene in scenes]
    made = generate_sounds(model, prompts, steps, guidance)
    print(f"judge: {judge.accuracy:.1%} of sounds of the recipe right that it was not trained on")
    for label, sounds in ((name, made), ("recipe", [scene.sound for scene in scenes])):
        named = judge.name_kinds(sounds)
        right = [kind == scene.kind for kind, scene in zip(named, scenes, strict=True)]
        kept = count_kept(prompts, [measure_sound(sound) for sound in sounds])
        words = ", ".join(f"{measure} {number} of {total}" for measure, (number, total) in sorted(kept.items()))
        print(f"{label}: kind right {np.mean(right):.1%} of {len(right)}; words kept: {words}")
        if sounds is made:
            wrong = {scene.kind: kind for scene, kind in zip(scenes, named, strict=True) if scene.kind != kind}
            print("  taken for another: " + ", ".join(f"{kind} for {other}" for kind, other in wrong.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--codec", default="", help="an autoencoder, or a model with one as its codec")
    parser.add_argument("--model", default="", help="a model with prompts")
    parser.add_argument("--count", type=int, default=0, help="sounds; of each kind for --model")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    arguments = parser.parse_args()
    workspace = gl.Workspace()
    if arguments.codec:
        report_codec(workspace, arguments.codec, arguments.count or 60)
    if arguments.model:
        report_prompts(workspace, arguments.model, arguments.count or 4, arguments.steps, arguments.guidance)


if __name__ == "__main__":
    main()
