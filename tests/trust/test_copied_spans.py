"""Copied spans against brute force, and against texts built to produce hash collisions."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.trust.copied_spans import CopiedSpan, find_longest_copies, measure_copied_spans, sample_passages
from genloom.types import Item


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Use small chunks, so that documents share chunks and are split even in small tests."""
    monkeypatch.setattr("genloom.trust.text_chunks._FIRST_CHUNK_CHARS", 16)


def brute_force(output: str, documents: list[str]) -> int:
    longest = 0
    for text in documents:
        row = [0] * (len(text) + 1)
        for a in output:
            row = [0, *(row[j] + 1 if a == b else 0 for j, b in enumerate(text))]
            longest = max(longest, *row)
    return longest


def is_accurate(copy: CopiedSpan, output: str, items: list[Item]) -> bool:
    """Whether the text of a copy is at its position in output and document."""
    sources = [item for item in items if item.source == copy.source and item.licence == copy.licence]
    return (
        len(copy.text) == copy.length
        and output[copy.start : copy.start + copy.length] == copy.text
        and any(item.value[copy.offset : copy.offset + copy.length] == copy.text for item in sources)
    )


texts = st.one_of(st.text("ab", max_size=40), st.text("aé漢🙂\n", max_size=30), st.text(max_size=20))


@settings(max_examples=150, deadline=None)
@given(outputs=st.lists(texts, max_size=4), documents=st.lists(texts, max_size=8))
def test_agrees_with_brute_force(outputs, documents):
    items = [Item(text, f"file {i}", f"licence {i % 3}") for i, text in enumerate(documents)]
    copies = find_longest_copies(outputs, iter(items))
    assert [copy.length for copy in copies] == [brute_force(output, documents) for output in outputs]
    assert all(
        copy == CopiedSpan(0) or is_accurate(copy, output, items) for copy, output in zip(copies, outputs, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    filler=st.text("abcdefgh ", min_size=300, max_size=500),
    planted=st.text("xyz", min_size=1, max_size=90),
)
def test_finds_planted_text_anywhere(data, filler, planted):
    at = data.draw(st.integers(0, len(filler)))
    prefix = data.draw(st.text("pqr", max_size=50))
    items = [Item("something else"), Item(filler[:at] + planted + filler[at:], "play.txt", "public domain")]
    [copy] = find_longest_copies([prefix + planted + "!"], items)
    assert copy == CopiedSpan(len(planted), planted, len(prefix), "play.txt", "public domain", at)


def test_no_span_extends_over_two_documents():
    [copy] = find_longest_copies(["one two"], [Item("one "), Item("two")])
    assert copy.text == "one "


def test_ties_go_to_the_first_in_the_stream():
    copies = find_longest_copies(["the end"], [Item("in the end", "first"), Item("the end", "second")])
    assert (copies[0].source, copies[0].offset) == ("first", 3)


def test_runs_and_tables_give_the_right_lengths():
    rule = "-" * 70
    documents = [Item(f"{rule}{'=' * 50}\n{' ' * 900}{i}", f"{i}") for i in range(50)]
    copies = find_longest_copies(["-" * 120, f"a{' ' * 2000}b", "  0"], documents)
    assert [copy.length for copy in copies] == [70, 900, 3]


def test_hash_collisions_are_resolved():
    """Thue and Morse's sequence and its mirror have equal polynomial hashes modulo 2^64, whatever the base."""
    text = "ab"
    for _ in range(10):
        text += text.translate(str.maketrans("ab", "ba"))
    mirror = text.translate(str.maketrans("ab", "ba"))
    # The first document is a chunk of its own and shares 1 character, so the lengths tried next are 2, 4 ... 2048.
    first = Item("a" + "?" * 20_000)
    [copy] = find_longest_copies([text + "x" * 1200], [first, Item(mirror)])
    assert copy.length == 1024  # the halves change places
    assert copy.text in text
    assert copy.text in mirror


def test_documents_are_streamed_and_long_ones_are_split_without_loss():
    num_streamed = 0

    def documents() -> Iterator[Item]:
        nonlocal num_streamed
        for i in range(200):
            num_streamed = i
            yield Item(f"document {i} " * 50, str(i))

    [copy] = find_longest_copies(["document 150 document 150 doc"], documents())
    assert num_streamed == 199
    assert (copy.length, copy.source) == (29, "150")
    long = "".join(f"{i} bottles of beer, " for i in range(900))
    starts = range(0, len(long) - 60, 30)  # every split of the document goes through two of these
    copies = find_longest_copies([long[start : start + 60] for start in starts], [Item(long)])
    assert [(copy.length, copy.offset) for copy in copies] == [(60, start) for start in starts]


def test_many_outputs_at_once_equal_one_at_a_time():
    items = [Item(f"{i * i} is the square of {i}, and {i} of {i * i} its root. ") for i in range(300)]
    outputs = [f"so {i * i} is the square of {i + 1}" for i in range(90)]
    assert find_longest_copies(outputs, items) == [find_longest_copies([output], items)[0] for output in outputs]


def test_held_out_text_gives_a_baseline():
    train = [Item("".join(f"{i} + {i} = {2 * i}; " for i in range(400)))]
    held_out = [Item("".join(f"{i} - {i} = 0; " for i in range(400)))]
    report = measure_copied_spans([train[0].value[100:300], "no number here"], train, held_out, num_passages=12)
    assert report.baseline is not None
    assert report.baseline.count == 12
    assert report.baseline.median <= report.baseline.percentile_95 <= report.baseline.maximum < 30
    assert [copy.length > report.baseline.maximum for copy in report.spans] == [True, False]
    without_held_out = measure_copied_spans(["some"], train, [])
    assert without_held_out.baseline is None


def test_passages_are_sampled_uniformly_over_positions():
    documents = [Item("x"), Item("a" * 109), Item("b" * 309)]
    passages = sample_passages(documents, [10] * 2000, seed=1)
    assert {len(text) for text in passages} == {10}
    assert sum(text == "a" * 10 for text in passages) / 2000 == pytest.approx(0.25, abs=0.03)
    assert sample_passages(documents, [10], seed=2) == sample_passages(documents, [10], seed=2)
    assert sample_passages(documents, [10, 5000]) == sample_passages(documents, [10, 5000])
    assert len(sample_passages(documents, [10, 5000])) == 1
