"""The estimate and the progress of a training, as people read them."""

import pytest

from genloom.api.progress import TEXT_QUALITY, find_text_level, format_estimate, show_events
from genloom.model.likelihood import BITS_PER_BYTE, HeldOutMetric
from genloom.option_names import name_options
from genloom.train.events import EvalMetrics, Event, RunEstimate, StepMetrics, TextSample


def estimate(**facts: float | None) -> RunEstimate:
    shared = {"num_parameters": 1000, "steps": 10, "total_units": 100, "seconds": 60.0, "memory_bytes": 10**9}
    expected = {"units_per_second": 10.0, "expected_loss": None, "error_margin": 0.05, "ngram_baseline": None}
    return RunEstimate(**{**shared, **expected, **facts})  # ty: ignore[invalid-argument-type]


def collect_notes(events: list[Event]) -> tuple[list[str], list[str]]:
    """Return the notes of the bar, and those on lines of their own."""

    class Bar:
        def update(self, done: float, note: str = "") -> None:
            bar_notes.append(note)

    bar_notes, notes = list[str](), list[str]()
    list(show_events(iter(events), Bar(), notes.append))
    return bar_notes, notes


@pytest.mark.parametrize(("loss", "words"), [(0.9, "makes sense"), (1.8, "means little"), (2.4, "without sense")])
def test_the_estimate_says_in_words_what_to_expect(loss: float, words: str) -> None:
    lines = "\n".join(
        format_estimate(estimate(expected_loss=loss, ngram_baseline=2.5, num_epochs=1.5, total_units=10**6))
    )
    assert words in lines
    assert "1.5 passes over the data" in lines
    assert ("from_=" in lines) == (loss > 1.6)


def test_of_a_text_that_repeats_itself_few_bits_promise_no_sense() -> None:
    lines = "\n".join(format_estimate(estimate(expected_loss=0.5, ngram_baseline=0.49)))
    assert "in words  unknown" in lines
    assert "mostly makes sense" not in lines


@pytest.mark.parametrize(("num_tokens", "level"), [(5_000, "little_data"), (5_000_000, "sentences")])
def test_of_little_text_few_bits_promise_no_good_sentences(num_tokens: int, level: str) -> None:
    facts = {"expected_loss": 1.4, "ngram_baseline": 1.5, "num_epochs": 10.0, "total_units": 10 * num_tokens}
    assert find_text_level(estimate(**facts)) == level
    assert name_options(TEXT_QUALITY[level]) in "\n".join(format_estimate(estimate(**facts)))


def test_of_little_text_a_bad_forecast_is_still_said() -> None:
    facts = {"expected_loss": 2.4, "ngram_baseline": 2.5, "num_epochs": 10.0, "total_units": 50_000}
    assert find_text_level(estimate(**facts)) == "words"


def test_tuning_shows_what_is_held_out_and_not_the_loss_of_a_batch() -> None:
    step = StepMetrics(3, 10, {"model": 4.0}, {}, 100, 7.0, 1.0)
    evaluation = EvalMetrics(3, HeldOutMetric(BITS_PER_BYTE, 0.846))
    bar_notes, notes = collect_notes([estimate(loss_before=0.86, general_loss_before=1.056), evaluation, step])
    assert "held-out 0.846 bits/byte (0.860 before)" in bar_notes[0]
    assert "loss" not in bar_notes[0]
    assert any("now 0.860 bits per byte, of general text 1.056" in note for note in notes)
    bar_notes, _ = collect_notes([estimate(), evaluation, step])
    assert "loss 5.771 bits" in bar_notes[0]


def test_a_text_on_the_way_is_a_note() -> None:
    assert collect_notes([TextSample(5, "Once upon")])[1] == ["  writes at step 5: Once upon"]
