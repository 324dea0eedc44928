"""Documents are split at paragraphs, lines and sentences; what is between the pieces stays as it is."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.assistant.tasks.pieces import split_document
from genloom.assistant.tasks.sentences import split_sentences, split_with_blanks

LETTER = """Dear Ms Smith,

thank you for your order no. 12. It left our house on 3 May; the
carrier says that it will arrive within a week. Please tell us.

# Items

- two red chairs
- one table (oak)
  1. with a drawer

```python
print("not translated")

x = 1
```

-----

Yours
A. Jones
"""


def count_words(text: str) -> int:
    return len(text.split())


def rejoin(text: str, max_tokens: int) -> str:
    split = split_document(text, count_words, max_tokens)
    return split.join([piece.text for piece in split.pieces])


@pytest.mark.parametrize("max_tokens", [3, 10, 200])
def test_pieces_and_what_is_between_them_are_the_document(max_tokens: int) -> None:
    unwrapped = LETTER.replace("the\ncarrier", "the carrier")  # a paragraph whose lines an editor broke is one line
    assert rejoin(LETTER, max_tokens) == unwrapped


@given(st.text(alphabet=string.ascii_letters + " .!?\n-#\t", max_size=300), st.integers(2, 40))
def test_any_document_is_whole_again(text: str, max_tokens: int) -> None:
    rejoined = rejoin(text, max_tokens)
    assert "".join(rejoined.split()) == "".join(text.split())


def test_a_piece_is_a_line_without_its_marker() -> None:
    texts = [piece.text for piece in split_document(LETTER, count_words, 200).pieces]
    assert "two red chairs" in texts
    assert "Items" in texts
    assert "with a drawer" in texts
    assert not any("print" in text or "x = 1" in text for text in texts), "code is kept"
    assert any(text.startswith("thank you") and text.endswith("Please tell us.") for text in texts)


def test_long_paragraphs_are_cut_between_sentences() -> None:
    text = "One two three. Four five six. Seven eight nine ten."
    assert [piece.text for piece in split_document(text, count_words, 6).pieces] == [
        "One two three. Four five six.",
        "Seven eight nine ten.",
    ]


def test_no_piece_is_longer_than_the_model_reads() -> None:
    text = "word " * 500 + "x" * 3000
    pieces = split_document(text, len, 120).pieces
    assert max(len(piece.text) for piece in pieces) <= 120
    assert "".join(piece.before + piece.text for piece in pieces) == text


def test_a_text_without_letters_has_no_pieces() -> None:
    split = split_document("1234 --- 5\n\n***\n", count_words, 10)
    assert split.pieces == ()
    assert split.join([]) == "1234 --- 5\n\n***\n"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It rains. We stay.", ["It rains.", "We stay."]),
        ("Dr. Smith came. He left.", ["Dr. Smith came.", "He left."]),
        ("It costs 3.50 euros. Fine!", ["It costs 3.50 euros.", "Fine!"]),
        ('She said "No." Then she left.', ['She said "No."', "Then she left."]),
        ("He arrived, e.g. by train.", ["He arrived, e.g. by train."]),
        ("今日は。明日は。", ["今日は。", "明日は。"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences
    assert "".join(sentence + blanks for sentence, blanks in split_with_blanks(text)) == text
