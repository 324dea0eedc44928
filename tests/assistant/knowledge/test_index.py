"""The index of documents: what is read, found, updated and forgotten, also when a process dies or a file changes."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from genloom.assistant.knowledge import documents, update
from genloom.assistant.knowledge.index import FILE_NAME, KnowledgeIndex, open_index
from genloom.assistant.knowledge.search import choose_tokens, fuse_ranks, search_passages
from genloom.assistant.knowledge.update import UpdateReport, iter_update
from tests.errors import raises_code

TOPICS = ("warranty", "shipping", "battery", "returns", "cleaning", "colour")


def embed(texts: Sequence[str]) -> np.ndarray:
    """Return vectors in which texts that share words are near: a cheap encoder."""
    rows = np.zeros((len(texts), 384), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.casefold().split():
            row += np.random.default_rng(abs(hash_word(word))).standard_normal(384)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def hash_word(word: str) -> int:
    return sum(ord(c) * 31**n for n, c in enumerate(word.strip(".,?!#")[:12])) % (2**31)


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    """A folder of a few documents."""
    folder = tmp_path / "handbook"
    folder.mkdir()
    for number, topic in enumerate(TOPICS):
        (folder / f"{topic}.md").write_text(f"# {topic.title()}\n\nThe {topic} has the number {number} in our list.\n")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Iterator[KnowledgeIndex]:
    opened = open_index(tmp_path / "ws" / "knowledge" / "handbook", is_new=True)
    yield opened
    opened.close()


def refresh(index: KnowledgeIndex, *sources: Path, encoder: str = "test") -> UpdateReport:
    *_, last = iter_update(index, sources, index.path.parents[2], encoder, embed)
    assert last.report is not None
    return last.report


def ask(index: KnowledgeIndex, question: str) -> list[str]:
    """Return the names of the files that are found, best first."""
    hits = search_passages(index, question, embed([question])[0], 10)
    return [Path(place.file).name for hit in hits for place in hit.passage.places]


def test_the_passage_about_a_question_comes_first(index: KnowledgeIndex, handbook: Path) -> None:
    report = refresh(index, handbook)
    assert (report.read, report.unchanged, report.passages) == (6, 0, 6)
    for topic in TOPICS:
        assert ask(index, f"What number has {topic}?")[0] == f"{topic}.md"


def test_only_changed_files_are_read_again_and_removed_ones_vanish(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    (handbook / "battery.md").write_text("# Battery\n\nThe battery is now made of lemons and copper.\n")
    (handbook / "colour.md").unlink()
    (handbook / "gift.md").write_text("# Gift\n\nA gift card is valid for a year.\n")
    report = refresh(index, handbook)
    assert (report.read, report.unchanged, report.removed, report.embedded) == (2, 4, 1, 2)
    assert ask(index, "lemons copper")[0] == "battery.md"
    assert "colour.md" not in ask(index, "colour number")
    report = refresh(index, handbook)
    assert not report.is_changed
    assert report.embedded == 0


def test_a_file_with_another_time_and_the_same_content_is_not_embedded_again(
    index: KnowledgeIndex, handbook: Path
) -> None:
    refresh(index, handbook)
    os.utime(handbook / "battery.md", (1, 1))
    assert refresh(index, handbook).unchanged == 6
    (handbook / "battery.md").rename(handbook / "cells.md")
    report = refresh(index, handbook)
    assert (report.read, report.removed, report.embedded) == (1, 1, 0)


def test_equal_passages_are_stored_once_with_all_their_places(index: KnowledgeIndex, handbook: Path) -> None:
    shutil.copy(handbook / "battery.md", handbook / "copy.md")
    report = refresh(index, handbook)
    assert report.passages == 6
    (hit, *_) = search_passages(index, "battery", embed(["battery"])[0], 3)
    assert [Path(place.file).name for place in hit.passage.places] == ["battery.md", "copy.md"]
    (handbook / "battery.md").unlink()
    refresh(index, handbook)
    (hit, *_) = search_passages(index, "battery", embed(["battery"])[0], 3)
    assert [Path(place.file).name for place in hit.passage.places] == ["copy.md"]


def test_an_index_of_another_encoder_is_built_anew(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    assert refresh(index, handbook, encoder="another").embedded == 6


def test_nothing_to_read_is_an_error_with_the_reasons(index: KnowledgeIndex, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with raises_code("knowledge.nothing_readable"):
        refresh(index, empty)
    (empty / "noise.txt").write_bytes(random.Random(0).randbytes(5000))
    (empty / "nothing.md").write_text("")
    with raises_code("knowledge.nothing_readable") as caught:
        refresh(index, empty)
    assert "noise.txt" in caught.value.fields["reasons"]


def test_an_index_is_kept_where_all_its_files_are_gone(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    for path in handbook.iterdir():
        path.unlink()
    with raises_code("knowledge.all_gone", count=6):
        refresh(index, handbook)
    assert index.count_passages() == 6


def test_unreadable_files_are_named_and_the_others_are_read(index: KnowledgeIndex, handbook: Path) -> None:
    (handbook / "broken.pdf").write_bytes(b"%PDF-1.7 nothing of the kind")
    (handbook / "bad.docx").write_bytes(b"PK\x03\x04 cut off")
    (handbook / "junk.txt").write_bytes(bytes(range(256)) * 20)
    os.symlink(handbook, handbook / "loop")
    os.symlink("nowhere", handbook / "dangling.txt")
    report = refresh(index, handbook)
    assert report.read == 6
    named = {note.source.rpartition("/")[2] for note in report.notes if note.is_skipped}
    assert {"broken.pdf", "bad.docx", "junk.txt"} <= named
    assert report.passages == 6


def test_a_long_file_is_read_up_to_its_bound(
    index: KnowledgeIndex, handbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_CHARS", 20_000)
    monkeypatch.setattr(documents, "_BLOCK_CHARS", 4_000)
    (handbook / "long.txt").write_text("".join(f"Line {n} of many.\n" for n in range(10_000)))
    report = refresh(index, handbook)
    assert [note.code for note in report.notes if note.source.endswith("long.txt")] == ["knowledge.file_cut"]
    assert index.list_files()["handbook/long.txt"].notes


def test_places_in_a_file_that_is_read_in_blocks_are_right(
    index: KnowledgeIndex, handbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_BLOCK_CHARS", 4_000)
    text = "".join(f"Line {n} of many.\n" for n in range(2_000))
    (handbook / "long.txt").write_text(text)
    refresh(index, handbook)
    (hit, *_) = [h for h in search_passages(index, "Line 1500", embed(["1500"])[0], 10) if "1500" in h.passage.text]
    assert text[hit.passage.place.start : hit.passage.place.end] == hit.passage.text
    assert f"Line {hit.passage.place.line - 1} " in hit.passage.text


def test_a_file_that_changes_while_it_is_read_is_read_the_next_time(
    index: KnowledgeIndex, handbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = update.read_documents

    def change(file: documents.SourceFile, process: documents.LimitedProcess) -> object:
        if file.path.name == "battery.md":
            file.path.write_text("The battery is another one, of other size.")
        return read(file, process)

    monkeypatch.setattr(update, "read_documents", change)
    report = refresh(index, handbook)
    assert [note.code for note in report.notes] == ["knowledge.file_changes"]
    monkeypatch.setattr(update, "read_documents", read)
    assert refresh(index, handbook).read == 1


def test_rows_of_tables_are_documents_with_all_their_columns(index: KnowledgeIndex, handbook: Path) -> None:
    (handbook / "prices.csv").write_text("product,price,warranty\nLamp,30,24 months\nChair,80,60 months\n")
    (handbook / "mails.jsonl").write_text('{"from": "Ann", "text": "Where is my parcel?"}\n')
    refresh(index, handbook)
    (hit, *_) = search_passages(index, "chair 60 months", embed(["chair 60 months"])[0], 5)
    assert hit.passage.place.row == 3
    assert "price: 80" in hit.passage.text
    assert str(hit.passage.place) == "handbook/prices.csv, row 3"


def test_a_damaged_index_says_how_to_build_it_again(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    path = index.path
    index.close()
    path.write_bytes(b"no database at all" * 100)
    with raises_code("knowledge.damaged"):
        open_index(path.parent)


def test_two_processes_read_and_write_one_index(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    assert ask(index, "battery")[0] == "battery.md"
    other = open_index(index.path.parent)
    (handbook / "zebra.md").write_text("# Zebra\n\nThe zebra has stripes.")
    refresh(other, handbook)
    other.close()
    assert ask(index, "zebra stripes")[0] == "zebra.md"


def test_passages_without_a_file_are_not_found(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    with sqlite3.connect(index.path) as connection:
        connection.execute("DELETE FROM places")
    assert search_passages(index, "battery", embed(["battery"])[0], 5) == []


def test_words_of_a_question_are_no_query_language(index: KnowledgeIndex, handbook: Path) -> None:
    refresh(index, handbook)
    for question in (
        '"battery" OR (',
        "battery NEAR/2 *",
        "NOT battery AND",
        "'; DROP TABLE files;--",
        "列 AND 表",
        "\x00",
    ):
        assert isinstance(ask(index, question), list)


def test_frequent_words_are_left_out_where_rarer_ones_are_enough() -> None:
    counts = {"linux": 90_000, "zebra": 3, "disk": 15_000}
    assert choose_tokens(counts, 20_000) == ["zebra", "disk"]
    assert choose_tokens({"linux": 90_000}, 20_000) == ["linux"]


def test_a_passage_that_both_rankings_have_comes_first() -> None:
    scores = fuse_ranks([(1.0, [1, 2, 3]), (2.0, [4, 3, 5])])
    assert max(scores, key=lambda id: scores[id]) == 3


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from genloom.assistant.knowledge import update
from genloom.assistant.knowledge.index import open_index
update.BATCH_PASSAGES = 4
def embed(texts):
    print("embedding", flush=True)
    time.sleep(0.01)
    return np.ones((len(texts), 384), np.float32)
index = open_index(Path(sys.argv[1]), is_new=True)
for step in update.iter_update(index, [Path(sys.argv[2])], Path("/nonexistent"), "test", embed):
    pass
"""


@pytest.mark.slow
def test_a_process_that_dies_leaves_an_index_that_the_next_one_completes(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.md").write_text(f"# Part {number}\n\nThe part {number} weighs {number} grams.\n")
    place = tmp_path / "index"
    for wait in (0.0, 0.05, 0.15, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), str(place), str(folder)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        index = open_index(place)
        index.check()
        complete = {name for name, file in index.list_files().items() if file.digest}
        assert len(complete) <= 60
        index.close()
    index = open_index(place)
    report = refresh(index, folder)
    assert report.passages == 60
    index.check()
    index.close()
    assert (place / FILE_NAME).is_file()
