"""A folder becomes a data set, and nothing is skipped without a note."""

import errno
import gzip
import json
import os
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.collect import Report, collect, sorted_runs, spool, summarize_report
from genloom.collect.builtin import load_shakespeare
from genloom.collect.duplicates import _SignatureFile
from genloom.collect.preparation import build_options
from genloom.collect.sorted_runs import SortedRuns
from genloom.collect.spool import DocumentSpool
from genloom.collect.workers import JOB_BYTES
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.errors import raises_code

PLAY = load_shakespeare()
MIT = 'Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "x"'


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def run(
    sources: list[Path | str], workspace: Workspace, options: Mapping[str, Any] | None = None, name: str = "notes"
) -> Report:
    *_, last = collect(sources, workspace, name, options)
    assert last.stage == "done"
    assert last.report is not None
    return last.report


def read_splits(workspace: Workspace, name: str = "notes") -> dict[str, list[Item]]:
    dataset = workspace.get_dataset(name)
    dataset.verify()
    return {split: list(dataset.iter_documents(split)) for split in ("train", "val", "test")}


def read_all(workspace: Workspace, name: str = "notes") -> dict[str, Item]:
    return {item.source: item for items in read_splits(workspace, name).values() for item in items}


def part(number: int, size: int = 1500) -> str:
    """Return a part of the plays, no two of which are similar."""
    return PLAY[number * 20_000 : number * 20_000 + size].strip()


def test_every_format_is_read(notes: Path, workspace: Workspace) -> None:
    import docx

    (notes / "a.txt").write_text(part(0))
    (notes / "b.md").write_bytes(("# Größe\n\n" + part(1)).encode("cp1252"))
    (notes / "c.html").write_text(f"<html><body><article><p>{part(2)}</p></article></body></html>")
    (notes / "d.py").write_text(
        "# SPDX-License-Identifier: MIT\n" + "\n".join(f"x{i} = compute({i})" for i in range(50))
    )
    (notes / "e.jsonl").write_text("\n".join(json.dumps({"text": part(i), "license": "CC0-1.0"}) for i in (3, 4)))
    (notes / "f.csv").write_text('id,story\n1,"' + part(5).replace('"', "'") + '"\n')
    pq.write_table(pa.table({"content": [part(6)]}), notes / "g.parquet")
    document = docx.Document()
    document.add_paragraph(part(7))
    document.save(str(notes / "h.docx"))
    with zipfile.ZipFile(notes / "i.epub", "w") as book:
        container = '<container xmlns="c"><rootfiles><rootfile full-path="b.opf"/></rootfiles></container>'
        book.writestr("META-INF/container.xml", container)
        items = '<manifest><item id="c" href="c.xhtml"/></manifest><spine><itemref idref="c"/></spine>'
        book.writestr("b.opf", f'<package xmlns="o">{items}</package>')
        book.writestr("c.xhtml", f"<p>{part(8)}</p>")
    (notes / "j.txt.gz").write_bytes(gzip.compress(part(9).encode()))
    (notes / "deep" / "er").mkdir(parents=True)
    (notes / "deep" / "er" / "k").write_text(part(10))
    report = run([notes], workspace)
    items = read_all(workspace)
    whole = ["a.txt", "b.md", "c.html", "d.py", "h.docx", "i.epub", "j.txt.gz", "deep/er/k"]
    rows = ["e.jsonl:1", "e.jsonl:2", "g.parquet:1"]
    assert {f"notes/{source}" for source in whole + rows} <= set(items)
    assert any(source.startswith("notes/f.csv:") for source in items)
    assert len(items) == 12 == report.documents_kept == report.documents_read
    assert items["notes/a.txt"].value == part(0)
    assert items["notes/b.md"].value.startswith("# Größe")
    assert items["notes/d.py"].licence == "MIT"
    assert items["notes/e.jsonl:2"].licence == "CC0-1.0"
    assert items["notes/g.parquet:1"].value == part(6)
    assert report.licences == {"unknown": 9, "CC0-1.0": 2, "MIT": 1}
    taken = {note.source: note.code for note in report.notes}
    tables = dict.fromkeys(("notes/e.jsonl", "notes/f.csv"), "collect.column_taken")
    assert taken == {**tables, "notes/b.md": "collect.encoding_guessed"}


def test_a_canvas_holds_the_texts_of_its_nodes(notes: Path, workspace: Workspace) -> None:
    nodes = [{"id": "1", "type": "text", "text": part(0)}, {"id": "2", "type": "file", "file": "b.md"}]
    (notes / "a.canvas").write_text(json.dumps({"nodes": nodes, "edges": []}))
    run([notes], workspace)
    assert [item.value for item in read_all(workspace).values()] == [part(0)]


def test_unreadable_files_are_listed_with_a_reason(notes: Path, workspace: Workspace) -> None:
    (notes / "good.txt").write_text(part(0))
    (notes / "junk.txt").write_bytes(random.Random(1).randbytes(10_000))
    (notes / "broken.pdf").write_bytes(b"%PDF-1.7\n garbage")
    (notes / "old.doc").write_bytes(b"x")
    (notes / "empty.txt").write_text("")
    (notes / "rows.jsonl").write_text(json.dumps({"text": part(1)}) + "\n{broken\n")
    (notes / "nothing.csv").write_text("a,b\n1,2\n")
    (notes / "header.csv").write_text("text,author\n")
    (notes / "gone.txt").symlink_to(notes / "nowhere.txt")
    report = run([notes], workspace)
    codes = {note.source.removeprefix("notes/"): note.code for note in report.notes}
    assert codes.pop("header.csv") == "collect.no_rows"
    assert set(codes) == {"junk.txt", "broken.pdf", "old.doc", "empty.txt", "rows.jsonl", "nothing.csv", "gone.txt"}
    assert codes["old.doc"] == "collect.unsupported_suffix"
    assert codes["empty.txt"] == "collect.empty_file"
    assert codes["rows.jsonl"] == "collect.rows_skipped"
    assert codes["nothing.csv"] == "collect.no_text_column"
    assert codes["gone.txt"] == "collect.not_a_file"
    assert report.files_skipped == 7
    assert report.documents_kept == 2
    manifest = workspace.get_dataset("notes").manifest
    assert {note["source"] for note in manifest["notes"]} == {note.source for note in report.notes}
    card = (workspace.get_dataset("notes").folder / "CARD.md").read_text()
    assert all(note.reason in card for note in report.notes)
    assert "7 files could not be read:" in summarize_report(report)


@pytest.mark.parametrize(
    "files", [{}, {"a.png": b"\x89PNG\r\n"}, {"a.txt": b"\0\1\2" * 500, "b.pdf": b"x"}, {"a.txt": b" \n"}]
)
def test_a_folder_without_readable_files_is_one_error(
    notes: Path, workspace: Workspace, files: dict[str, bytes]
) -> None:
    for name, content in files.items():
        (notes / name).write_bytes(content)
    with raises_code("collect.nothing_readable" if files else "collect.no_files", sources="notes") as caught:
        run([notes], workspace)
    assert all(name in str(caught.value) or content.isspace() for name, content in files.items())
    assert workspace.list_datasets() == []
    assert list(workspace.root.glob("data/*")) == []


def test_of_many_reasons_why_nothing_was_collected_the_most_frequent_comes_first(
    notes: Path, workspace: Workspace
) -> None:
    for suffix in ("odp", "doc", "ppt", "pages", "xls", "mobi", "zip"):
        (notes / f"a.{suffix}").write_bytes(b"x")
    (notes / "b.zip").write_bytes(b"x")
    for number in range(3):
        (notes / f"{number}.txt").write_text(part(number))
    with raises_code("collect.nothing_readable", sources="notes") as caught:
        run([notes], workspace, {"languages": ("xx",)})
    reasons = caught.value.fields["reasons"]
    assert reasons.startswith("3 documents: ")
    assert "2 files, notes/a.zip the first: " in reasons
    assert reasons.index("a.zip") < reasons.index("a.doc")
    assert reasons.endswith("; 3 other reasons")


def test_a_source_that_does_not_exist(notes: Path, workspace: Workspace) -> None:
    with raises_code("collect.no_such_source", source=str(notes / "missing")):
        run([notes / "missing"], workspace)
    with raises_code("collect.no_such_builtin", source="builtin:shakespear", known="shakespeare, structures"):
        run(["builtin:shakespear"], workspace)
    (notes / "rows.csv").write_text("id,story\n1,once upon a time\n")
    with raises_code("collect.nothing_readable") as caught:
        run([notes], workspace, {"column": "txt"})
    assert "'txt'" in caught.value.fields["reasons"]
    assert "id, story" in caught.value.fields["reasons"]


def test_splits_of_the_builtin_corpus(workspace: Workspace) -> None:
    report = run(["builtin:shakespeare"], workspace)
    splits = read_splits(workspace)
    assert sum(len(items) for items in splits.values()) == report.documents_kept > 50
    for name in ("val", "test"):
        share = report.splits[name]["bytes"] / report.bytes_kept
        assert share == pytest.approx(0.05, abs=0.012)
        assert len(splits[name]) >= 2
    # no text is lost: the chunks in the order of their numbers are the plays
    chunks = sorted(read_all(workspace).values(), key=lambda item: int(item.source.split("#")[1]))
    assert "".join("".join(item.value.split()) for item in chunks) == "".join(PLAY.split())
    assert {item.licence for item in chunks} == {"public domain"}
    assert report.counters["languages"] == {"en": report.documents_kept}


def test_near_duplicates_are_never_in_two_splits(notes: Path, workspace: Workspace) -> None:
    draw = random.Random(5)
    vocabulary = [word for word in PLAY.split() if word.isalpha()]
    for i in range(60):
        text = part(i % 55, 4000 + i)
        (notes / f"{i:02}.txt").write_text(text)
        words = text.split(" ")
        for place in draw.sample(range(len(words)), 3):
            words[place] = draw.choice(vocabulary)
        (notes / f"twin-{i:02}.txt").write_text(" ".join(words))
    (notes / "book.txt").write_text(PLAY[1_100_000:] * 1)
    report = run([notes], workspace, {"val": 0.2, "test": 0.2})
    splits = read_splits(workspace)
    assert report.drop_counts["near-duplicate"] + report.drop_counts["exact copy"] >= 60
    names = [{item.source.removeprefix("notes/").removeprefix("twin-") for item in items} for items in splits.values()]
    assert len(names[0] | names[1] | names[2]) == sum(map(len, names))
    grams = [[five_grams(item.value) for item in items] for items in splits.values()]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert max(len(a & b) / len(a | b) for a in grams[i] for b in grams[j]) < 0.87


def five_grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(*(words[i:] for i in range(5)), strict=False))


def test_another_edition_of_a_book_is_not_kept_twice(notes: Path, workspace: Workspace) -> None:
    book = PLAY[:600_000]
    (notes / "first.txt").write_text(book)
    (notes / "second.txt").write_text(
        "A foreword of the second edition. " * 90 + "\n\n" + book.replace("heart", "soul", 40)
    )
    report = run([notes], workspace)
    assert report.bytes_kept < 1.25 * len(book)


def test_the_result_does_not_depend_on_the_number_of_processes(notes: Path, workspace: Workspace) -> None:
    for i in range(12):
        (notes / f"{i}.txt").write_text(part(i, 9000))
    (notes / "big.txt").write_text(PLAY * 4)  # streamed in jobs of its own
    (notes / "bad.pdf").write_bytes(b"%PDF-1.7")
    assert (notes / "big.txt").stat().st_size > 2 * JOB_BYTES
    reports = [run([notes], workspace, {"workers": workers}, f"by-{workers}") for workers in (1, 2)]
    folders = [workspace.get_dataset(report.name).folder for report in reports]
    tables = [pq.read_table(folder / "part-00000.parquet") for folder in folders]
    assert tables[0].equals(tables[1])
    assert reports[0].to_dict() == reports[1].to_dict()


def test_progress_ends_at_the_total(notes: Path, workspace: Workspace) -> None:
    for i in range(5):
        (notes / f"{i}.txt").write_text(part(i))
    (notes / "big.txt.gz").write_bytes(gzip.compress(PLAY.encode() * 5))
    events = list(collect([notes], workspace, "notes"))
    done = [progress.bytes_done for progress in events]
    assert done == sorted(done)
    assert done[-1] == events[-1].total_bytes == sum(path.stat().st_size for path in notes.iterdir())
    assert [progress.stage for progress in events][-2:] == ["writing", "done"]
    assert all(progress.report is None for progress in events[:-1])


def test_an_interrupted_collection_leaves_nothing_behind(notes: Path, workspace: Workspace) -> None:
    (notes / "a.txt").write_text(PLAY * 5)
    progress = collect([notes], workspace, "notes")
    next(progress)
    progress.close()  # ty: ignore[missing-attribute]  # it is a generator
    assert workspace.list_datasets() == []
    assert workspace.list_leftovers() == []


@pytest.mark.parametrize(
    ("owner", "method"), [(_SignatureFile, "add"), (SortedRuns, "_write_run"), (DocumentSpool, "_write_buffer")]
)
def test_a_full_disk_is_an_error_and_leaves_nothing_behind(
    notes: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    def fill_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (notes / "rows.jsonl").write_text("\n".join(json.dumps({"text": f"A short note of {i}"}) for i in range(500)))
    monkeypatch.setattr(sorted_runs, "MAX_RECORDS", 1000)
    monkeypatch.setattr(spool, "MAX_BYTES_IN_MEMORY", 1000)
    monkeypatch.setattr(owner, method, fill_disk)
    with raises_code("store.disk_full"):
        run([notes], workspace)
    assert workspace.list_leftovers() == []


def test_the_workspace_and_hidden_folders_are_not_collected(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(part(0))
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "b.txt").write_text(part(1))
    workspace = Workspace(tmp_path / "my-workspace")
    first = run([tmp_path], workspace)
    second = run([tmp_path], workspace)
    assert first.documents_kept == second.documents_kept == 1
    assert first.digest == second.digest
    assert not second.notes[0].is_skipped


def test_of_a_scrivener_project_its_texts_are_read(tmp_path: Path) -> None:
    project = tmp_path / "Novel.scriv"
    for name in ("Novel.scrivx", "Settings/recents.txt", "QuickLook/Preview.html", "Files/Data/1A/content.txt"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(part(len(name)))
    card = run([tmp_path], Workspace(tmp_path / "genloom-workspace"))
    assert card.documents_kept == 1
    assert "(3)" in card.notes[0].reason


def test_a_licence_from_an_option_or_a_file(notes: Path, workspace: Workspace) -> None:
    (notes / "LICENSE").write_text(MIT)
    (notes / "a.txt").write_text(part(0))
    assert run([notes], workspace).licences == {"MIT": 1}
    assert run([notes / "a.txt"], workspace, {"licence": "my own"}).licences == {"my own": 1}


def test_filters_and_scrubbing(notes: Path, workspace: Workspace) -> None:
    (notes / "english.txt").write_text(part(0) + "\n\nWrite to will@globe.example or 192.168.0.7.")
    (notes / "german.txt").write_text(
        "Der Mond ist aufgegangen, die goldnen Sternlein prangen am Himmel hell und klar. " * 3
    )
    (notes / "numbers.txt").write_text("\n".join(" ".join(f"{i * j:07}" for j in range(12)) for i in range(20)))
    report = run([notes], workspace, {"languages": ("en", "und"), "min_quality": 0.3, "scrub": ("email", "ip")})
    assert report.drop_counts == {"other language": 1, "low quality": 1}
    assert report.counters["scrubbed"] == {"email": 1, "ip": 1}
    (item,) = read_all(workspace).values()
    assert item.value.endswith("Write to [email] or [ip].")
    assert item.meta["language"] == "en"
    assert item.meta["quality"] > 0.9


def test_seeds_choose_other_documents(notes: Path, workspace: Workspace) -> None:
    for i in range(40):
        (notes / f"{i}.txt").write_text(part(i))
    held = []
    for seed in (0, 0, 1):
        run([notes], workspace, {"seed": seed, "val": 0.2})
        held.append({item.source for item in read_splits(workspace)["val"]})
    assert held[0] == held[1] != held[2]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"scrub": ("emails",)}, "bad_option"),
        ({"near_duplicates": 0.3}, "bad_option"),
        ({"languages": ("english",)}, "bad_option"),
        ({"min_quality": 2}, "bad_option"),
        ({"val": 0.4, "test": 0.3}, "bad_held_out_share"),
        ({"val": -0.1}, "bad_held_out_share"),
        ({"val": float("nan")}, "bad_held_out_share"),
        ({"test": float("nan")}, "bad_held_out_share"),
        ({"test": float("inf")}, "bad_held_out_share"),
        ({"min_quality": float("nan")}, "bad_option"),
        ({"near_duplicates": float("nan")}, "bad_option"),
        ({"seed": -5}, "bad_option"),
        ({"seed": 2**64}, "bad_option"),
        ({"chunk_chars": 10}, "bad_option"),
        ({"size": 8}, "unsupported_option"),
        ({"sizes": 8}, "unknown_option"),
        ({"workers": -1}, "bad_option"),
    ],
)
def test_invalid_options(options: dict[str, Any], code: str) -> None:
    with raises_code(f"collect.{code}"):
        build_options("text", options)


def test_links_out_of_the_folder_are_told_and_not_followed(tmp_path: Path) -> None:
    folder, other = tmp_path / "notes", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "a.txt").write_text("one line of text")
    (folder / "inner").mkdir()
    (folder / "inner" / "c.txt").write_text("a third line of words")
    (folder / "again").symlink_to(folder / "inner")
    (folder / "circle").symlink_to(folder)
    (other / "b.txt").write_text("another line of words")
    (folder / "linked").symlink_to(other)
    (folder / "shadow.txt").symlink_to(other / "b.txt")
    *_, last = collect([folder], Workspace(tmp_path / "w"), "n")
    assert last.report is not None
    assert last.report.documents_kept == 2
    noted = [(note.source, note.code) for note in last.report.notes]
    assert noted == [("notes/linked", "collect.link_outside"), ("notes/shadow.txt", "collect.link_outside")]
    *_, last = collect([folder, other], Workspace(tmp_path / "w"), "both")
    assert last.report is not None
    assert (last.report.documents_kept, last.report.notes) == (3, [])


def test_a_mixture_of_languages_is_noted(notes: Path, workspace: Workspace) -> None:
    for number in range(8):
        (notes / f"en-{number}.txt").write_text(part(number))
    german = "Der Wächter ging zum Hafen hinunter und wartete dort auf das Schiff aus dem Süden, {} Nächte lang."
    for number in range(3):
        (notes / f"de-{number}.txt").write_text(german.format(number))
    (note,) = run([notes], workspace).notes
    assert (note.code, note.is_skipped) == ("collect.mixed_languages", False)
    assert run([notes], workspace, {"languages": ("en",)}).notes == []
    for number in range(3, 40):
        (notes / f"en-{number}.txt").write_text(part(number))
    assert run([notes], workspace).notes == [], "a few documents are no mixture"
