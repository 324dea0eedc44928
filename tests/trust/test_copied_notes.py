"""Runs of notes copied from training tunes: found in any key, in any part, with their place and source."""

import random

import pytest

from genloom.media.music.score import DRUMS, Note, Part, Score
from genloom.trust.music.copied_notes import measure_copied_notes
from genloom.types import Item


def compose(seed: int, num_notes: int = 40) -> tuple[Note, ...]:
    rng, notes, tick = random.Random(seed), [], 0
    for _ in range(num_notes):
        duration = rng.choice((6, 12, 24))
        notes.append(Note(tick, duration, rng.randrange(50, 80)))
        tick += duration
    return tuple(notes)


def append_notes(first: tuple[Note, ...], second: tuple[Note, ...], semitones: int = 0) -> tuple[Note, ...]:
    shift = first[-1].end - second[0].onset
    return first + tuple(note._replace(onset=note.onset + shift, pitch=note.pitch + semitones) for note in second)


@pytest.mark.parametrize("semitones", [0, 5, -7])
def test_a_run_is_found_in_any_key_and_part(semitones: int) -> None:
    stolen = compose(1)[10:22]
    lower = append_notes(compose(301, 20), stolen, semitones)
    output = Score((Part(73, compose(300)), Part(42, lower)))
    corpus = [
        Item(Score((Part(52, compose(seed)), Part(53, compose(seed + 100)))), f"piece {seed}", "CC0")
        for seed in range(5)
    ]
    report = measure_copied_notes([output], corpus, [Score((Part(0, compose(seed)),)) for seed in range(200, 210)])
    (run,) = report.runs
    assert (run.num_notes, run.source, run.licence) == (12, "piece 1", "CC0")
    onsets = [onset for onset, _ in output.bars]
    assert onsets[run.first_bar - 1] <= lower[20].onset < onsets[run.first_bar]
    assert run.line >= 1
    assert report.is_copied(0)
    assert report.baseline is not None
    assert report.baseline.maximum < 12


def test_runs_neither_reach_over_parts_nor_count_drums() -> None:
    first, second = compose(1)[:10], compose(2)[:10]
    output = Score((Part(73, first), Part(42, second), Part(DRUMS, compose(4))))
    corpus = [Item(Score((Part(73, append_notes(first, second)), Part(DRUMS, compose(4)))), "joined")]
    report = measure_copied_notes([output, Score(())], corpus, [])
    assert [run.num_notes for run in report.runs] == [10, 0]
    assert report.baseline is None
    assert not report.is_copied(0)
