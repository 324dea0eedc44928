"""Documents that overlap in part are in one split, in small and in large collections."""

import json
import random
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.collect import Report, collect, overlap, shard_files, shards, sorted_runs, summarize_report
from genloom.collect.builtin import load_shakespeare
from genloom.collect.duplicates import Sketches
from genloom.collect.overlap import DuplicateGroups, OverlapIndex
from genloom.collect.text.minhash import ComparedText, compute_sketches
from genloom.store.workspace import Workspace

PLAY = load_shakespeare()
WORDS = sorted({word.lower() for word in PLAY.split() if word.isalpha()})


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def run(notes: Path, workspace: Workspace, options: Mapping[str, Any] | None = None, name: str = "notes") -> Report:
    *_, last = collect([notes], workspace, name, options)
    assert last.report is not None
    return last.report


def edit_words(text: str, share: float, draw: random.Random) -> str:
    words = text.split(" ")
    for place in draw.sample(range(len(words)), int(share * len(words))):
        words[place] = draw.choice(WORDS)
    return " ".join(words)


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return set(zip(*(words[i:] for i in range(5)), strict=False))


def measure_containment(workspace: Workspace, name: str = "notes") -> list[float]:
    """Return the share of each held-out document that is in train, in descending order."""
    dataset = workspace.get_dataset(name)
    train = set[tuple[str, ...]]().union(*(grams(item.value) for item in dataset.iter_documents("train")))
    held = [grams(item.value) for split in ("val", "test") for item in dataset.iter_documents(split)]
    return sorted((len(one & train) / len(one) for one in held if one), reverse=True)


def table(report: Report) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted(report.folder.glob("part-*.parquet")))


def drafts(notes: Path, size: int, share: float, every: int = 2) -> None:
    """Write the plays in documents of a size, some of them also as a draft with other chunk boundaries."""
    draw = random.Random(3)
    for i, start in enumerate(range(0, len(PLAY) - size, size)):
        text = PLAY[start : start + size]
        (notes / f"{i:03}.txt").write_text(text)
        if i % every == 0:
            (notes / f"draft-{i:03}.txt").write_text("Draft two.\n\n" + edit_words(text, share, draw))


@pytest.mark.parametrize(("size", "share"), [(75_000, 0.005), (150_000, 0.01), (6_000, 0.02)])
def test_drafts_are_in_one_split_whatever_their_chunks(
    notes: Path, workspace: Workspace, size: int, share: float
) -> None:
    drafts(notes, size, share, every=1)
    for seed in range(3):
        report = run(notes, workspace, {"val": 0.15, "test": 0.15, "seed": seed})
        held = measure_containment(workspace)
        assert len(held) >= 6
        assert held[0] < 0.5
        assert report.num_overlapping
        assert report.is_split_by_group
        assert report.to_dict()["alike"] == {"documents": report.num_overlapping, "in_one_split": True}
        line = f"overlap: {report.num_overlapping} documents"
        assert any(line in summary for summary in summarize_report(report))
        assert line in (report.folder / "CARD.md").read_text()


@pytest.mark.parametrize("every", [1, 2, 10])  # with few groups only held-out documents move, with many all may
def test_a_large_collection_is_corrected_after_writing(
    notes: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(shards, "SMALL_BYTES", 200_000)
    monkeypatch.setattr(shard_files, "ROW_GROUP_BYTES", 60_000)
    monkeypatch.setattr(shard_files, "SHARD_BYTES", 400_000)
    drafts(notes, 6_000, 0.04, every)  # a similarity of 0.68, so that none is removed
    (notes / "extract.txt").write_text(PLAY[3_000:9_000])
    reports = [run(notes, workspace, {"val": 0.15, "test": 0.15, "workers": n}, f"by-{n}") for n in (1, 2)]
    assert measure_containment(workspace, "by-1")[0] < 0.5
    assert reports[0].to_dict() == reports[1].to_dict()
    folder = workspace.get_dataset("by-1").folder
    assert len(list(folder.glob("part-*.parquet"))) > 2
    assert {path.suffix for path in folder.iterdir()} == {".parquet", ".json", ".md"}
    rows = table(reports[0]).to_pylist()
    for path in folder.glob("part-*.parquet"):
        sources = pq.read_table(path).column("source").to_pylist()
        assert sources == sorted(sources)
    for split, facts in reports[0].splits.items():
        sizes = [row["bytes"] for row in rows if row["split"] == split]
        assert facts == {"documents": len(sizes), "bytes": sum(sizes)}
        assert sum(sizes) >= 0.08 * reports[0].bytes_kept
    assert table(reports[1]).equals(table(reports[0]))


def test_if_every_text_has_variants_the_shares_are_kept(notes: Path, workspace: Workspace) -> None:
    drafts(notes, 6_000, 0.05, every=1)
    report = run(notes, workspace, {"val": 0.1, "test": 0.1})
    assert report.num_overlapping > 0.95 * report.documents_kept > 300
    assert measure_containment(workspace)[0] < 0.1
    for split in ("val", "test"):
        assert report.splits[split]["bytes"] / report.bytes_kept == pytest.approx(0.1, abs=0.01)


def test_chunks_of_one_novel_do_not_overlap(notes: Path, workspace: Workspace) -> None:
    (notes / "novel.txt").write_text(PLAY[:400_000])
    report = run(notes, workspace)
    assert report.num_overlapping == 0
    assert report.splits["val"]["documents"]
    assert not any("overlap" in line for line in summarize_report(report))


def test_if_all_documents_overlap_some_are_held_out_with_a_warning(notes: Path, workspace: Workspace) -> None:
    draw = random.Random(1)
    text = PLAY[:9000]
    for i in range(30):
        (notes / f"{i}.txt").write_text(edit_words(text, 0.06, draw))
    report = run(notes, workspace, {"val": 0.1})
    assert report.splits["val"]["documents"]
    assert not report.is_split_by_group
    warning = f"overlap: {report.num_overlapping} documents"
    assert any(warning in line for line in summarize_report(report))
    card = (report.folder / "CARD.md").read_text()
    assert warning in card
    assert "no held-out document has a near-duplicate" not in card


def test_the_same_texts_with_further_ones(notes: Path, workspace: Workspace) -> None:
    drafts(notes, 75_000, 0.005)
    run(notes, workspace, {"val": 0.2, "test": 0.2})
    before = {item.meta["id"] for item in workspace.get_dataset("notes").iter_documents("train")}
    (notes / "more.txt").write_text(edit_words(PLAY[20_000:60_000], 0.03, random.Random(8)))
    run(notes, workspace, {"val": 0.2, "test": 0.2})
    assert measure_containment(workspace)[0] < 0.5
    after = {item.meta["id"] for item in workspace.get_dataset("notes").iter_documents("train")}
    assert len(before & after) > 0.8 * len(before)


def find_groups(folder: Path, texts: list[str], at_once: int = 50) -> DuplicateGroups:
    folder.mkdir(exist_ok=True)
    overlaps = OverlapIndex(folder)
    for start in range(0, len(texts), at_once):
        some = [ComparedText(text) for text in texts[start : start + at_once]]
        overlaps.add(compute_sketches(some, [bytes(32)] * len(some), should_find_near=True))
    return overlaps.find_groups(np.ones(len(texts), bool))


def prose(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def test_groups_of_documents(tmp_path: Path) -> None:
    draw = random.Random(5)
    one, two, three = (prose(draw, 2000) for _ in range(3))
    extract = " ".join(one.split()[200:600])
    middle = " ".join([*two.split()[1000:], *three.split()[:1000]])
    quoting = prose(draw, 1500) + " " + " ".join(one.split()[:150])
    found = find_groups(tmp_path, [one, two, prose(draw, 900), extract, three, middle, quoting, "too short to tell"])
    assert found.group_ids_D.tolist() == [0, 1, 2, 0, 1, 1, 6, 7]
    assert found.constrained_ids.tolist() == [0, 1, 3, 4, 5]
    assert not found.excluded_D.any()


def test_a_common_prompt_does_not_make_a_group(tmp_path: Path) -> None:
    draw = random.Random(5)
    prompt = prose(draw, 300)
    texts = [f"{prompt} {prose(draw, 120)}" for _ in range(100)]
    assert not len(find_groups(tmp_path, texts).constrained_ids)


def test_a_book_that_also_occurs_line_by_line_is_never_held_out_without_its_lines(tmp_path: Path) -> None:
    draw = random.Random(5)
    lines = [prose(draw, 30) for _ in range(200)]
    texts = [prose(draw, 2000), *lines, " ".join(lines)]
    found = find_groups(tmp_path, texts)
    group = found.group_ids_D[-1]
    alone = [n for n in range(1, 201) if found.group_ids_D[n] != group]
    assert len(alone) < 50  # of a line so short, few passages are compared with those of a book
    assert found.group_ids_D[0] == 0
    assert not found.excluded_D[0]


def test_an_article_of_paragraphs_from_many_others_is_never_held_out(tmp_path: Path) -> None:
    draw = random.Random(5)
    others = [prose(draw, 400) for _ in range(60)]
    article = " ".join(" ".join(other.split()[100:140]) for other in others)
    found = find_groups(tmp_path, [*others, article])
    assert found.excluded_D.tolist() == [False] * 60 + [True]


@pytest.mark.parametrize("system", ["", "You are the assistant of a shop. " * 20])
@pytest.mark.parametrize(("question_words", "answer_words"), [(8, 22), (14, 8), (30, 120)])
def test_an_answer_is_not_both_learned_and_held_out(
    notes: Path, workspace: Workspace, question_words: int, answer_words: int, system: str
) -> None:
    draw = random.Random(2)
    answers = [prose(draw, answer_words) for _ in range(80)]
    rows = [{"question": prose(draw, question_words), "answer": answer, "system": system} for answer in answers * 2]
    (notes / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run(notes, workspace, {"near_duplicates": 1})
    dataset = workspace.get_dataset("notes")
    train, *held = [
        {item.meta["turns"][-1].content for item in dataset.iter_documents(split)} for split in ("train", "val", "test")
    ]
    assert report.documents_kept == 160
    assert report.is_split_by_group
    assert all(held)
    assert train.isdisjoint(set().union(*held))


def test_a_question_is_not_both_learned_and_held_out(notes: Path, workspace: Workspace) -> None:
    """With other answers, which alone are too different; a common question of more documents makes no group."""
    draw = random.Random(3)
    questions = [prose(draw, 12) for _ in range(60)]
    rows = [{"question": question, "answer": prose(draw, 40)} for question in questions * 3]
    rows += [{"question": "Please write a poem about anything.", "answer": prose(draw, 40)} for _ in range(90)]
    (notes / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(notes, workspace).documents_kept == 270
    dataset = workspace.get_dataset("notes")
    train, *held = [
        {item.meta["turns"][0].content for item in dataset.iter_documents(split)} for split in ("train", "val", "test")
    ]
    assert all(len(each) > 1 for each in held)
    assert train.isdisjoint(set().union(*held) - {rows[-1]["question"]})


def test_a_short_text_and_its_variant_are_in_one_split(notes: Path, workspace: Workspace) -> None:
    draw = random.Random(4)
    texts = [prose(draw, draw.randrange(12, 60)) for _ in range(100)]
    variants = [f"{text} {prose(draw, len(text.split()) * 2 // 5)}" for text in texts]
    (notes / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts + variants))
    report = run(notes, workspace, {"val": 0.1, "test": 0.1})
    assert report.documents_kept == 200
    assert report.is_split_by_group
    assert len(measure_containment(workspace)) > 20
    assert measure_containment(workspace)[0] < 0.1


def test_a_template_of_questions_does_not_join_the_families_of_answers(notes: Path, workspace: Workspace) -> None:
    draw = random.Random(0)
    templates = ("What about {}?", "Tell me about {} please.", "I want to know about {}")
    rows = [
        {"prompt": template.format(draw.choice(WORDS)), "completion": answer}
        for answer in (prose(draw, 10) for _ in range(60))
        for template in templates
    ]
    draw.shuffle(rows)
    (notes / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run(notes, workspace)
    assert sum(report.splits[split]["documents"] for split in ("val", "test")) >= 8
    assert max(measure_containment(workspace)) < 0.5


def test_a_common_answer_does_not_make_a_group(tmp_path: Path) -> None:
    draw = random.Random(4)
    for answer, count, num_grouped in (
        ("No.", 40, 0),
        ("I cannot help you with that.", 40, 40),
        ("I am sorry. " * 9, 90, 0),
    ):
        texts = [ComparedText(prose(draw, 40), answer) for _ in range(count)]
        overlaps = OverlapIndex(tmp_path)
        overlaps.add(compute_sketches(texts, [bytes(32)] * count, should_find_near=True))
        assert len(overlaps.find_groups(np.ones(count, bool)).constrained_ids) == num_grouped


def test_neither_batches_nor_partitions_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(7)
    texts = [prose(draw, 200) for _ in range(300)]
    texts += [edit_words(text, 0.06, draw) for text in texts[:100]]
    draw.shuffle(texts)
    found = [find_groups(tmp_path / "one", texts)]
    monkeypatch.setattr(sorted_runs, "MAX_RECORDS", 256)
    found.append(find_groups(tmp_path / "many", texts, at_once=7))
    assert (found[0].group_ids_D == found[1].group_ids_D).all()
    assert 180 < len(found[0].constrained_ids) <= 200


def test_only_kept_documents_are_compared_and_numbered(tmp_path: Path) -> None:
    draw = random.Random(5)
    one, other = prose(draw, 800), prose(draw, 800)
    texts = [ComparedText(text) for text in (one, edit_words(one, 0.1, draw), other, edit_words(one, 0.1, draw))]
    overlaps = OverlapIndex(tmp_path)
    overlaps.add(compute_sketches(texts, [bytes(32)] * 4, should_find_near=True))
    assert overlaps.find_groups(np.array([True, False, True, True])).group_ids_D.tolist() == [0, 1, 0]
    assert overlaps.find_groups(np.array([False, False, True, True])).group_ids_D.tolist() == [0, 1]


def test_a_chain_is_one_group() -> None:
    draw = np.random.default_rng(4)
    chain = draw.permutation(1000)
    order = draw.permutation(999)
    groups = overlap._find_connected_components(1200, chain[:-1][order], chain[1:][order])
    assert (groups[:1000] == 0).all()
    assert (groups[1000:] == np.arange(1000, 1200)).all()


def test_many_samples_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "MAX_RECORDS", 1 << 15)
    draw = np.random.default_rng(1)
    overlaps = OverlapIndex(tmp_path)
    for _ in range(100):
        samples = draw.integers(0, 1 << 34, 20_000, dtype=np.uint64)
        keys, owners = np.zeros((20, 17), np.uint64), np.repeat(np.arange(20), 1000)
        overlaps.add(Sketches(keys, np.zeros((20, 128), np.uint8), samples, owners))
    tracemalloc.start()
    assert not len(overlaps.find_groups(np.ones(2000, bool)).constrained_ids)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "samples").stat().st_size == 16_000_000  # on disk: the rest of a run joins it
    assert peak < 4_000_000


def test_the_card_describes_what_was_removed(notes: Path, workspace: Workspace) -> None:
    drafts(notes, 20_000, 0.001)
    for options, present, absent in (
        ({}, "no held-out document has a near-duplicate", "Only exact copies"),
        ({"near_duplicates": 0}, "Only exact copies were removed", "Near-duplicates were removed"),
        ({"val": 0, "test": 0}, "nothing is held out", "near-duplicate"),
        ({"test": 0}, "`val` is held out", "`test`"),
    ):
        card = (run(notes, workspace, options).folder / "CARD.md").read_text()
        assert present in card
        assert absent not in card.split("## Licences")[0].split("|\n\n")[-1]
    assert json.loads((workspace.get_dataset("notes").folder / "manifest.json").read_text())["options"]["test"] == 0


@pytest.mark.parametrize(
    "options", [{"near_duplicates": 0}, {"near_duplicates": 1}, {"near_duplicates": 0, "val": 0, "test": 0}]
)
def test_twins_that_may_be_held_out_are_told(options: dict[str, float], notes: Path, workspace: Workspace) -> None:
    drafts(notes, 4_000, 0.02)
    codes = {note.code for note in run(notes, workspace, options).notes}
    assert ("collect.twins_not_compared" in codes) == (options == {"near_duplicates": 0})
