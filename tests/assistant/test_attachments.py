"""Attachments: read within bounds, whole if they fit, else the passages most like the question, in their order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.assistant.attachments import (
    Attachment,
    choose_passages,
    excerpt_attachments,
    quote_excerpts,
    read_attachment,
    split_passages,
)
from genloom.errors import GenloomError

REPORT = "\n\n".join(
    [
        "The house was built in 1910. " * 10,
        "The roof was repaired in 1984 by a carpenter from Graz. " * 6,
        "In the garden there are roses and an old well. " * 8,
    ]
)


def count_words(text: str) -> int:
    return len(text.split())


def test_a_short_file_is_read_whole() -> None:
    (excerpt,) = excerpt_attachments([Attachment("a.txt", REPORT)], "roof?", 10_000, count_words)
    assert excerpt.is_whole
    assert excerpt.text == REPORT


def test_of_a_long_file_the_passages_like_the_question_are_read() -> None:
    (excerpt,) = excerpt_attachments([Attachment("a.txt", REPORT)], "Who repaired the roof?", 70, count_words)
    assert not excerpt.is_whole
    assert "carpenter" in excerpt.text
    assert "roses" not in excerpt.text
    assert 0 < excerpt.num_tokens <= 70 < excerpt.num_total
    assert excerpt.to_record() == {"name": "a.txt", "tokens": excerpt.num_tokens, "of": excerpt.num_total}


def test_passages_stay_in_their_order_and_gaps_are_marked() -> None:
    text = choose_passages(REPORT, "house and garden with a well", 145, count_words)
    assert text.index("1910") < text.index("well")
    assert "…" in text


def test_files_share_the_room_and_short_ones_leave_theirs() -> None:
    attachments = [Attachment("long.txt", REPORT), Attachment("short.txt", "A few words.")]
    long, short = excerpt_attachments(attachments, "roof", 100, count_words)
    assert (long.name, short.name) == ("long.txt", "short.txt")
    assert short.is_whole
    assert 50 < long.num_tokens <= 97
    assert [e.num_tokens for e in excerpt_attachments(attachments, "roof", 0, count_words)] == [0, 0]
    assert excerpt_attachments([], "roof", 100, count_words) == []


def test_a_question_follows_the_texts() -> None:
    excerpts = excerpt_attachments([Attachment("a.txt", "Words.")], "Why?", 100, count_words)
    assert quote_excerpts(excerpts, "Why?") == "Text of a.txt:\nWords.\n\nWhy?"
    assert quote_excerpts([], "Why?") == "Why?"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2000))
def test_no_word_of_a_text_is_lost_or_made_up(text: str) -> None:
    assert "".join("".join(split_passages(text)).split()) == "".join(text.split())


def test_files_are_read_by_their_kind(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("<html><body><p>Some <b>words</b> that count as prose here.</p></body></html>")
    assert "Some words" in read_attachment(page).text
    note = tmp_path / "b.txt"
    note.write_bytes("Zoë\x00\x1b[2J".encode())
    assert read_attachment(note).text.startswith("Zoë")
    assert "\x1b" not in read_attachment(note).text


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b" \n", "assistant.attachment_empty"),
        ("a.pdf", b"%PDF-1.4 broken", "media.unreadable"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenloomError) as caught:
        read_attachment(tmp_path / name)
    assert caught.value.code == code


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.txt"):
        with pytest.raises(GenloomError) as caught:
            read_attachment(path)
        assert caught.value.code == "assistant.attachment_missing"
