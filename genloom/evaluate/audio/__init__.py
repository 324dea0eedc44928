"""Evaluation of sounds: the shared measures, how near samples are to held-out sounds, and what prompts asked for."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from genloom.evaluate import default
from genloom.evaluate.battery import Battery
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.features import mel_statistics
from genloom.evaluate.report import Report
from genloom.media.audio.measures import Measures, measure_sound
from genloom.media.audio.sound import Sound
from genloom.media.audio.words import count_kept
from genloom.metrics.frechet import frechet_distance

BATTERY: Battery | None = None
compare = default.compare


def evaluate(context: EvaluationContext) -> Report:
    """Measure the shared figures, a distance in spectra, and the lengths, pitches and tones that prompts ask for."""
    items, outputs = default.generate_samples(context)
    report = default.build_report(context, items, outputs)
    held_out = [item.value for item in items]
    measures, held_measures = ([measure_sound(sound) for sound in sounds] for sounds in (outputs, held_out))
    prompts = [str(item.meta.get("caption") or "") for item in items]
    followed, held_followed = count_kept(prompts, measures), count_kept(prompts, held_measures)
    distance = measure_spectral_distance(outputs, held_out)
    lines = [
        f"Distance of spectra to held-out sounds: {distance:.1f} (Fréchet, {mel_statistics.KEY}; 0: the same)",
        *(f"  {line}" for line in describe_medians(measures, held_measures)),
        *(
            f"  {name} as the prompt asks: {kept} of {total} (held-out sounds: {held_followed[name][0]})"
            for name, (kept, total) in followed.items()
        ),
    ]
    details = {
        "distance": distance,
        "followed": followed,
        "followed_held_out": held_followed,
        "measures": [asdict(each) for each in measures],
    }
    return replace(report, lines=[*report.lines, *lines], details={**report.details, **details})


def measure_spectral_distance(outputs: Sequence[Sound], held_out: Sequence[Sound]) -> float:
    """Return the Fréchet distance of the features of two collections."""
    extract = mel_statistics.build_extractor()
    first, second = (extract(sounds).astype(np.float64) for sounds in (outputs, held_out))
    return float(frechet_distance(first, second))


def describe_medians(measures: Sequence[Measures], held_out: Sequence[Measures]) -> list[str]:
    """Return the median length, brightness and attack of samples, and of held-out sounds."""
    return [
        f"median {name}: {np.median([getattr(each, name) for each in measures]):.3g} {unit} "
        f"(held out: {np.median([getattr(each, name) for each in held_out]):.3g} {unit})"
        for name, unit in (("length", "s"), ("brightness", "Hz"), ("attack", "ms"))
    ]
