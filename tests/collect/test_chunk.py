"""Long text is split into bounded chunks at boundaries that depend on the text, and so agree between copies."""

import random
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from genloom.collect.builtin import load_shakespeare
from genloom.collect.text.chunk import MAX_CHUNK_CHARS, MIN_CHUNK_CHARS, choose_chunk_chars, iter_chunks


def blocks(text: str, size: int) -> Iterator[str]:
    return (text[i : i + size] for i in range(0, len(text), size))


@given(st.text(alphabet="ab \n", max_size=4000), st.integers(16, 600), st.integers(1, 1000))
@example("aaaaaaaaaaaaa   aaaaaaaaa", 16, 1)
def test_chunks_join_to_the_text_and_are_bounded(text: str, limit: int, block: int) -> None:
    chunks = list(iter_chunks(blocks(text, block), limit))
    assert "".join(chunks) == text
    assert all(len(chunk) <= 1.5 * limit for chunk in chunks)
    assert all(len(chunk) >= limit // 2 for chunk in chunks[:-1])
    assert chunks == list(iter_chunks([text], limit))


def test_boundaries_are_between_paragraphs_else_lines_else_words() -> None:
    text = load_shakespeare()[:100_000]
    assert all(piece.endswith("\n\n") for piece in list(iter_chunks([text], 8000))[:-1])
    assert all(piece.endswith("\n") for piece in list(iter_chunks([text.replace("\n\n", "\n")], 8000))[:-1])
    assert all(piece.endswith(" ") for piece in list(iter_chunks([text.replace("\n", " ")], 8000))[:-1])
    assert {len(piece) for piece in iter_chunks(["x" * 100_000], 8000)} == {8000, 4000}


def test_two_copies_have_common_chunks_after_a_difference() -> None:
    text = load_shakespeare()[:400_000]
    other = "A foreword that the other edition lacks.\n\n" * 40 + text[:200_000] + "A note.\n\n" + text[200_000:]
    ours, theirs = set(iter_chunks([text], 16_000)), set(iter_chunks([other], 16_000))
    assert len(ours & theirs) > 0.6 * len(ours)


def test_an_endless_line_is_split() -> None:
    draw = random.Random(5)
    line = (draw.randbytes(50_000).hex() for _ in range(200))
    longest = max(len(piece) for piece in iter_chunks(line, 4096))
    assert longest <= 1.5 * 4096


def test_chunk_length_depends_on_the_size_of_the_collection() -> None:
    assert choose_chunk_chars(1000) == MIN_CHUNK_CHARS
    assert choose_chunk_chars(1_115_000) == 1_115_000 // 64
    assert choose_chunk_chars(10**12) == MAX_CHUNK_CHARS
