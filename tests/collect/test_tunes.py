"""Scores are collected with a count of what was changed, and of what could not be read."""

from pathlib import Path

from genloom.collect.card import summarize_report
from genloom.collect.run import collect
from genloom.media.music.midi import MAX_TICKS, write_midi
from genloom.media.music.score import Meter, Note, Part, Score, Tempo
from genloom.store.workspace import Workspace

NOTES = tuple(Note(24 * i, 24, 60 + i) for i in range(8))


def test_notes_that_are_left_out_and_tunes_that_are_broken_are_counted(tmp_path: Path) -> None:
    long = Score((Part(0, (*NOTES, Note(MAX_TICKS, 24, 60))),), (Meter(0, 4, 4),), (Tempo(0, 120.0),))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "long.mid").write_bytes(write_midi(long))
    (tmp_path / "in" / "book.abc").write_text("X:1\nM:2/4\nL:1/4\nK:C\nCE|GE|cG|EC|\n\nX:2\nM:9/0\nK:C\nCDE|\n")
    *_, last = collect([tmp_path / "in"], Workspace(tmp_path / "w"), "tunes", {"workers": 1})
    assert last.report is not None
    assert last.report.documents_kept == 2
    assert last.report.counters["changed"]["dropped"] == 1
    assert any("1 note left out" in line for line in summarize_report(last.report))
    note = next(note for note in last.report.notes if note.code == "collect.pieces_unread")
    assert "1 of its 2 pieces" in note.reason
