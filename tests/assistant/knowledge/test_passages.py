"""Passages: their size, overlap, sections and places in the file, whatever the text is like."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.assistant.knowledge.documents import Document
from genloom.assistant.knowledge.passages import MAX_WORDS, split_document
from genloom.assistant.knowledge.sentences import MAX_SENTENCE_WORDS, count_words, list_tokens, split_sentences
from genloom.media.text.headings import Heading

SENTENCE = "The quick brown fox jumps over the lazy dog and runs to the river. "


def test_a_long_text_becomes_passages_that_overlap_by_whole_sentences() -> None:
    text = "".join(f"Number {n}. {SENTENCE}" for n in range(60))
    passages = split_document(Document(text))
    assert len(passages) > 4
    for passage in passages:
        assert count_words(passage.text) <= MAX_WORDS
        assert text[passage.start : passage.end] == passage.text
        assert passage.text[0].isupper()
    for first, second in pairwise(passages):
        assert first.start < second.start < first.end < second.end


def test_everything_stands_in_a_passage() -> None:
    text = "".join(f"Word{n} stands here. " for n in range(700))
    passages = split_document(Document(text))
    found = {word for passage in passages for word in passage.text.split()}
    assert {f"Word{n}" for n in range(700)} <= found


def test_headings_of_markdown_are_the_path_and_no_passage_crosses_one() -> None:
    body = SENTENCE * 12
    text = f"# Handbook\n\n{body}\n\n## Warranty\n\n{body}\n\n### Batteries\n\n{body}\n\n## Returns\n\n{body}\n"
    passages = split_document(Document(text))
    paths = list(dict.fromkeys(passage.heading for passage in passages))
    assert paths == [
        "Handbook",
        "Handbook › Warranty",
        "Handbook › Warranty › Batteries",
        "Handbook › Returns",
    ]
    for passage in passages:
        assert passage.text.count("#") in (0, 1, 2, 3)
        assert passage.line == text.count("\n", 0, passage.start) + 1


def test_marks_in_code_are_no_headings() -> None:
    text = f"# Title\n\n```\n# a comment\n```\n\n{SENTENCE * 12}"
    assert {passage.heading for passage in split_document(Document(text))} == {"Title"}


def test_underlined_headings_are_found() -> None:
    text = f"Handbook\n========\n\n{SENTENCE * 10}\n\nWarranty\n--------\n\n{SENTENCE * 10}"
    assert [passage.heading for passage in split_document(Document(text))] == ["Handbook", "Handbook › Warranty"]


def test_short_sections_of_one_chapter_are_joined() -> None:
    text = "# Rules\n\n" + "".join(f"## Rule {n}\n\nBe kind on day {n}.\n\n" for n in range(6))
    passages = split_document(Document(text))
    assert len(passages) == 1
    assert passages[0].heading == "Rules"


def test_a_change_in_one_section_leaves_the_passages_of_the_others() -> None:
    sections = [f"# Part {n}\n\n" + "".join(f"{n} and {m}. {SENTENCE}" for m in range(30)) for n in range(4)]
    before = {passage.digest for passage in split_document(Document("\n\n".join(sections)))}
    sections[1] = f"A new sentence stands first. {sections[1]}"
    after = {passage.digest for passage in split_document(Document("\n\n".join(sections)))}
    assert len(before & after) >= 0.6 * len(before)


def test_pages_and_headings_that_a_file_names_are_kept() -> None:
    pages = [f"Page {n}\n{SENTENCE * 9}" for n in range(1, 4)]
    text = "\n\n".join(pages)
    starts = tuple(text.index(page) for page in pages)
    document = Document(text, line=0, page_noun="page", page_starts=starts, headings=(Heading(1, "Page 2", starts[1]),))
    passages = split_document(document)
    assert [(passage.page, passage.heading) for passage in passages if passage.page > 1] == [
        (2, "Page 2"),
        (3, "Page 2"),
    ]
    assert all(passage.line == 0 for passage in passages)


def test_a_part_of_a_long_text_knows_its_place() -> None:
    (passage,) = split_document(Document("First line.\nSecond line.", start=1000, line=40))
    assert (passage.start, passage.line, passage.last_line) == (1000, 40, 41)


@settings(deadline=None)  # a busy machine is no fault
@given(st.text(max_size=2000))
def test_any_text_is_split_and_each_passage_is_where_it_says(text: str) -> None:
    for passage in split_document(Document(text)):
        assert 0 <= passage.start < passage.end <= len(text)
        assert passage.text.strip()


@settings(deadline=None)  # a busy machine is no fault
@given(st.text(alphabet="ab .!?\n-1)。", max_size=600))
def test_sentences_are_in_order_and_have_all_letters(text: str) -> None:
    spans = list(split_sentences(text))
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert "".join("".join(text[b:e].split()) for b, e in spans) == "".join(text.split())


def test_a_text_without_full_stops_is_split_at_words() -> None:
    spans = list(split_sentences("word " * 5000))
    assert len(spans) > 5000 / MAX_SENTENCE_WORDS / 2
    assert max(end - begin for begin, end in spans) <= 6 * MAX_SENTENCE_WORDS


def test_abbreviations_and_numbers_end_no_sentence() -> None:
    text = "Dr. Smith pays 3.50 euros, e.g. in cash. The rest follows on 3 May. It is 24. Then all ends."
    assert [text[b:e] for b, e in split_sentences(text)] == [
        "Dr. Smith pays 3.50 euros, e.g. in cash.",
        "The rest follows on 3 May.",
        "It is 24.",
        "Then all ends.",
    ]


def test_words_are_found_by_their_stems_without_accents_and_scripts_without_spaces_by_pairs() -> None:
    assert list_tokens("The warranties expired") == list_tokens("warranty expire")
    assert list_tokens("Café") == list_tokens("cafe")
    assert list_tokens("l’assurance") == ["assuranc"]
    assert set(list_tokens("保修期为两年")) >= {"保修", "修期", "两年"}
