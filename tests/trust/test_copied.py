"""Copied spans against trying every pair of places, and against texts built to mislead the hashes."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.trust.copied import Copy, copied, draw_passages, longest_copied
from genloom.types import Item


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """So that documents share pieces and are cut into several even in small tests."""
    monkeypatch.setattr("genloom.trust.pieces._FIRST", 16)


def naive(output: str, documents: list[str]) -> int:
    longest = 0
    for text in documents:
        row = [0] * (len(text) + 1)
        for a in output:
            row = [0, *(row[j] + 1 if a == b else 0 for j, b in enumerate(text))]
            longest = max(longest, *row)
    return longest


def holds(copy: Copy, output: str, items: list[Item]) -> bool:
    """Whether the text of a copy stands where it says it does."""
    sources = [item for item in items if item.source == copy.source and item.licence == copy.licence]
    return (
        len(copy.text) == copy.length
        and output[copy.start : copy.start + copy.length] == copy.text
        and any(item.value[copy.offset : copy.offset + copy.length] == copy.text for item in sources)
    )


texts = st.one_of(st.text("ab", max_size=40), st.text("aé漢🙂\n", max_size=30), st.text(max_size=20))


@settings(max_examples=150, deadline=None)
@given(outputs=st.lists(texts, max_size=4), documents=st.lists(texts, max_size=8))
def test_agrees_with_trying_every_pair_of_places(outputs, documents):
    items = [Item(text, f"file {i}", f"licence {i % 3}") for i, text in enumerate(documents)]
    copies = longest_copied(outputs, iter(items))
    assert [copy.length for copy in copies] == [naive(output, documents) for output in outputs]
    assert all(copy == Copy(0) or holds(copy, output, items) for copy, output in zip(copies, outputs, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    filler=st.text("abcdefgh ", min_size=300, max_size=500),
    planted=st.text("xyz", min_size=1, max_size=90),
)
def test_finds_what_was_planted_wherever_it_stands(data, filler, planted):
    at = data.draw(st.integers(0, len(filler)))
    before = data.draw(st.text("pqr", max_size=50))
    items = [Item("something else"), Item(filler[:at] + planted + filler[at:], "play.txt", "public domain")]
    [copy] = longest_copied([before + planted + "!"], items)
    assert copy == Copy(len(planted), planted, len(before), "play.txt", "public domain", at)


def test_no_span_reaches_from_one_document_into_the_next():
    [copy] = longest_copied(["one two"], [Item("one "), Item("two")])
    assert copy.text == "one "


def test_of_equals_the_first_in_the_stream_is_named():
    copies = longest_copied(["the end"], [Item("in the end", "first"), Item("the end", "second")])
    assert (copies[0].source, copies[0].offset) == ("first", 3)


def test_runs_and_tables_do_not_slow_it_down_or_mislead_it():
    rule = "-" * 70
    documents = [Item(f"{rule}{'=' * 50}\n{' ' * 900}{i}", f"{i}") for i in range(50)]
    copies = longest_copied(["-" * 120, f"a{' ' * 2000}b", "  0"], documents)
    assert [copy.length for copy in copies] == [70, 900, 3]


def test_texts_whose_hashes_agree_are_told_apart():
    """Thue and Morse's sequence and its mirror have equal polynomial hashes modulo 2^64, whatever the base."""
    text = "ab"
    for _ in range(10):
        text += text.translate(str.maketrans("ab", "ba"))
    mirror = text.translate(str.maketrans("ab", "ba"))
    # The first document is a piece of its own and shares 1 character, so the lengths tried next are 2, 4 ... 2048.
    first = Item("a" + "?" * 20_000)
    [copy] = longest_copied([text + "x" * 1200], [first, Item(mirror)])
    assert copy.length == 1024  # the halves change places
    assert copy.text in text
    assert copy.text in mirror


def test_documents_are_streamed_and_long_ones_cut_with_nothing_lost():
    alive = 0

    def documents() -> Iterator[Item]:
        nonlocal alive
        for i in range(200):
            alive = i
            yield Item(f"document {i} " * 50, str(i))

    [copy] = longest_copied(["document 150 document 150 doc"], documents())
    assert alive == 199
    assert (copy.length, copy.source) == (29, "150")
    long = "".join(f"{i} bottles of beer, " for i in range(900))
    starts = range(0, len(long) - 60, 30)  # wherever the document is cut, a cut goes through two of these
    copies = longest_copied([long[start : start + 60] for start in starts], [Item(long)])
    assert [(copy.length, copy.offset) for copy in copies] == [(60, start) for start in starts]


def test_many_outputs_at_once_equal_one_at_a_time():
    items = [Item(f"{i * i} is the square of {i}, and {i} of {i * i} its root. ") for i in range(300)]
    outputs = [f"so {i * i} is the square of {i + 1}" for i in range(90)]
    assert longest_copied(outputs, items) == [longest_copied([output], items)[0] for output in outputs]


def test_held_out_text_gives_a_length_its_meaning():
    train = [Item("".join(f"{i} + {i} = {2 * i}; " for i in range(400)))]
    held = [Item("".join(f"{i} - {i} = 0; " for i in range(400)))]
    report = copied([train[0].value[100:300], "no number here"], train, held, passages=12)
    assert report.baseline is not None
    assert report.baseline.count == 12
    assert report.baseline.median <= report.baseline.high <= report.baseline.longest < 30
    assert [report.stands_out(copy) for copy in report.copies] == [True, False]
    alone = copied(["some"], train, [])
    assert alone.baseline is None
    assert not alone.stands_out(alone.copies[0])


def test_passages_are_drawn_evenly_from_all_places():
    documents = [Item("x"), Item("a" * 109), Item("b" * 309)]
    drawn = draw_passages(documents, [10] * 2000, seed=1)
    assert {len(text) for text in drawn} == {10}
    assert sum(text == "a" * 10 for text in drawn) / 2000 == pytest.approx(0.25, abs=0.03)
    assert draw_passages(documents, [10], seed=2) == draw_passages(documents, [10], seed=2)
    assert draw_passages(documents, [10, 5000]) == draw_passages(documents, [10, 5000])
    assert len(draw_passages(documents, [10, 5000])) == 1
