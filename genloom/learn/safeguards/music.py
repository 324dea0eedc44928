"""Safeguards of music: validity and held-out loss, voice leading, and copies of the training tunes."""

from collections.abc import Sequence

from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.media.music.score import Score
from genloom.media.music.theory import find_faults
from genloom.model import Model
from genloom.rate.gate import Measure, measure_scores
from genloom.store.workspace import Workspace
from genloom.trust.music.copied_notes import measure_copied_notes

FAULT_TOLERANCE = 0.25  # more faults a bar: about what Bach's own chorales have
COPYING_TOLERANCE = 0.05  # more of a tune that is one run of a training tune


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure the shared safeguards, the faults a bar and, if the training data are here, copied runs of notes."""
    shared = default.measure_safeguards(workspace, champion, challenger, writers, answers)
    return [*shared, measure_voice_leading(answers), *measure_copying(workspace, champion, answers)]


def measure_voice_leading(answers: AnswerPairs) -> Measure:
    """Measure the faults of voice leading a bar."""
    champion, challenger = (
        [count_faults_per_bar(score) for score in tunes] for tunes in (answers.champion, answers.challenger)
    )
    return measure_scores("voice leading, faults a bar", "check", champion, challenger, "lower", FAULT_TOLERANCE)


def count_faults_per_bar(score: Score) -> float:
    return len(find_faults(score)) / max(len(score.bars), 1)


def measure_copying(workspace: Workspace, model: Model, answers: AnswerPairs) -> list[Measure]:
    """Measure the share of each tune that is one run of a training tune, beyond those that held-out tunes share."""
    if (dataset := default.get_dataset(workspace, model)) is None:
        return []
    held_out = [item.value for item in dataset.sample_documents("val", default.MAX_HELD_OUT)]
    tunes = [*answers.champion, *answers.challenger]
    report = measure_copied_notes(tunes, dataset.iter_documents("train"), held_out)
    shares = [
        run.num_notes / max(score.num_notes, 1) if report.is_copied(index) else 0.0
        for index, (run, score) in enumerate(zip(report.runs, tunes, strict=True))
    ]
    count = len(answers.champion)
    name = "copied notes in a row"
    return [measure_scores(name, "regression", shares[:count], shares[count:], "lower", COPYING_TOLERANCE)]
