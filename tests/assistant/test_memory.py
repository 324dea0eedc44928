"""Memory: a plain file that people edit, within bounds."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.assistant.memory import (
    MAX_FACT_CHARS,
    MAX_FILE_BYTES,
    add_fact,
    choose_facts,
    describe_facts,
    open_memory,
    remove_facts,
)
from genloom.assistant.prompts.template import clean_value
from genloom.errors import GenloomError


def code_of(action) -> str:
    with pytest.raises(GenloomError) as caught:
        action()
    return caught.value.code


def test_facts_are_lines_of_a_file(tmp_path: Path) -> None:
    memory = add_fact(open_memory(tmp_path, "me"), "I live  in\nGraz")
    memory = add_fact(memory, "I am a nurse")
    assert memory.path.read_text() == "- I live in Graz\n- I am a nurse\n"
    assert add_fact(memory, "i AM a nurse").facts == ["I live in Graz", "I am a nurse"]
    assert memory.path.stat().st_mode & 0o077 == 0, "for nobody else to read"


def test_what_a_person_writes_in_the_file_stays(tmp_path: Path) -> None:
    memory = add_fact(open_memory(tmp_path, "me"), "One")
    memory.path.write_text("# Mine\n\n- One\nA remark.\n* Two\n")
    assert open_memory(tmp_path, "me").facts == ["One", "Two"]
    memory, removed = remove_facts(memory, "1")
    assert removed == ["One"]
    assert memory.path.read_text() == "# Mine\n\nA remark.\n* Two\n"
    assert add_fact(memory, "Three").path.read_text().endswith("* Two\n- Three\n")


def test_facts_are_forgotten_by_number_or_words(tmp_path: Path) -> None:
    memory = open_memory(tmp_path, "me")
    for fact in ("I like tea", "I have a cat", "My cat is grey", "4 chairs"):
        memory = add_fact(memory, fact)
    assert code_of(lambda: remove_facts(memory, "dog")) == "assistant.no_such_fact"
    assert code_of(lambda: remove_facts(memory, "9")) == "assistant.no_such_fact"
    assert code_of(lambda: remove_facts(memory, " ")) == "assistant.no_such_fact"
    memory, removed = remove_facts(memory, "CAT")
    assert removed == ["I have a cat", "My cat is grey"]
    assert remove_facts(memory, "2")[1] == ["4 chairs"]


def test_bad_input_is_refused_or_cleaned(tmp_path: Path) -> None:
    memory = open_memory(tmp_path, "me")
    assert code_of(lambda: add_fact(memory, " \n")) == "assistant.empty_fact"
    assert code_of(lambda: add_fact(memory, "x" * (MAX_FACT_CHARS + 1))) == "assistant.fact_too_long"
    assert code_of(lambda: open_memory(tmp_path, "../me")) == "store.bad_name_chars"
    assert add_fact(memory, "a\x00\x1bb\ud800").facts == ["ab\ufffd"]
    memory.path.write_bytes(b"- \xff\n")
    assert code_of(lambda: open_memory(tmp_path, "me")) == "core.unreadable_file"
    memory.path.write_bytes(b"-" * (MAX_FILE_BYTES + 1))
    assert code_of(lambda: open_memory(tmp_path, "me")) == "core.unreadable_file"
    memory.path.write_bytes(b"x" * (MAX_FILE_BYTES - 2) + b"\n")
    assert code_of(lambda: add_fact(memory, "one more")) == "assistant.memory_full"


def test_the_newest_facts_are_told_within_a_bound(tmp_path: Path) -> None:
    memory = open_memory(tmp_path, "me")
    for number in range(20):
        memory = add_fact(memory, f"fact {number}")
    assert choose_facts(memory, 10_000, len) == memory.facts
    chosen = choose_facts(memory, 100, len)
    assert chosen == memory.facts[-len(chosen) :]
    assert 0 < len(describe_facts(chosen)) <= 100
    assert choose_facts(memory, 0, len) == []
    assert describe_facts([]) == ""


@settings(max_examples=30)
@given(st.text(max_size=50))
def test_any_fact_is_one_line_that_is_read_back(tmp_path_factory: pytest.TempPathFactory, fact: str) -> None:
    memory = open_memory(tmp_path_factory.mktemp("memory"), "me")
    if not str(clean_value(fact)).strip():
        assert code_of(lambda: add_fact(memory, fact)) == "assistant.empty_fact"
        return
    memory = add_fact(memory, fact)
    assert len(memory.facts) == 1
    assert open_memory(memory.path.parent.parent, "me").facts == memory.facts
