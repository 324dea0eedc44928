"""The template language: what is inserted is text, parts vanish with their lines, and faults are named."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.assistant.prompts.template import (
    FORMATS,
    MAX_CHARS,
    MAX_DEPTH,
    check_variables,
    clean_value,
    escape_text,
    find_control_character,
    parse_template,
)
from genloom.errors import GenloomError

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"), max_size=60)
MARKS = st.text(alphabet="{}[]\\|ab \n", max_size=40)
NAMES = st.text(alphabet=string.ascii_letters + "_", min_size=1, max_size=8)


def render(source: str, **values: str | list[str]) -> str:
    return parse_template(source).render(values)


@pytest.mark.parametrize(
    ("source", "values", "text"),
    [
        ("Write to {to}.", {"to": "Anna"}, "Write to Anna."),
        ("Write to {to}.", {}, "Write to ."),
        ("Write[[ to {to}]].", {"to": "Anna"}, "Write to Anna."),
        ("Write[[ to {to}]].", {"to": " \n"}, "Write."),
        ("[[{a}[[ and {b}]]]]!", {"a": "x", "b": "y"}, "x and y!"),
        ("[[{a}[[ and {b}]]]]!", {"a": "x"}, "x!"),
        ("[[{a}[[ and {b}]]]]!", {"b": "y"}, "!"),
        ('{"name": 1, {}: [1]}', {}, '{"name": 1, {}: [1]}'),
        (r"\{to} \[[x\]] \\{to}", {"to": "A"}, r"{to} [[x]] \A"),
        (r"C:\path\n", {}, r"C:\path\n"),
        ("{l}", {"l": ["a", " ", "b"]}, "a, b"),
        ("{l|and}", {"l": ["a", "b", "c"]}, "a, b and c"),
        ("{l|and}", {"l": ["a"]}, "a"),
        ("{l|bullets}", {"l": ["a", "b"]}, "- a\n- b"),
        ("{l|numbered}", {"l": ["a", "b"]}, "1. a\n2. b"),
        ("{l|lines}", {"l": ["a", "b"]}, "a\nb"),
        ("[[{l}]]x", {"l": ["", " "]}, "x"),
        ("{a|bullets}", {"a": "text"}, "text"),
    ],
)
def test_templates_are_filled_in(source: str, values: dict[str, str | list[str]], text: str) -> None:
    assert parse_template(source).render(values) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("A\n[[B {x}]]\nC", "A\nC"),
        ("A\n\n[[B {x}]]\n\nC", "A\n\nC"),
        ("[[B {x}]]\nC", "C"),
        ("A\n[[B {x}]]", "A"),
        ("A\n[[B {x}]]\n[[D {x}]]\nC", "A\nC"),
        ("A\n[[B {x}]]\n[[D {x}]]", "A"),
        ("A [[B {x}]]\nC", "A \nC"),
        ("A\n\n[[B {x}]]\n[[D {x}]]\n\nC", "A\n\nC"),
        ("A\n\n[[B {x}]] [[D {x}]]", "A"),
        ("[[B {x}]]\n\nC\n\n\nD", "C\n\n\nD"),
    ],
)
def test_a_part_that_vanishes_takes_its_line_along(source: str, text: str) -> None:
    assert render(source) == text
    assert render(source, x="1").replace("[", "").replace("]", "") == source.translate(
        str.maketrans("", "", "[]")
    ).replace("{x}", "1")


@given(TEXTS, st.one_of(TEXTS, MARKS), TEXTS)
def test_the_text_of_a_variable_is_inserted_as_it_is(before: str, value: str, after: str) -> None:
    source = f"{escape_text(before)}{{a}}{escape_text(after)}"
    assert parse_template(source).render({"a": value, "b": "never"}) == before + value + after


@given(st.one_of(TEXTS, MARKS))
def test_escaped_text_renders_as_itself(text: str) -> None:
    template = parse_template(escape_text(text))
    assert template.variables == []
    assert template.render({"a": "never", "b": "never"}) == text


@given(MARKS)
def test_any_text_is_a_template_or_an_error_with_a_code(source: str) -> None:
    code = ""
    try:
        parse_template(source).render({})
    except GenloomError as error:
        code = error.code
    assert not code or code.startswith("assistant.")


@given(st.dictionaries(NAMES, MARKS, max_size=4))
def test_values_never_become_parts_or_variables(values: dict[str, str]) -> None:
    source = "".join(f"[[<{{{name}}}>]]" for name in values)
    expected = "".join(f"<{value}>" if value.strip() else "" for value in values.values())
    assert parse_template(source).render(values) == expected


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("[[ {a}", "assistant.part_not_closed"),
        ("a ]] b", "assistant.part_not_opened"),
        ("[[nothing]]", "assistant.part_without_variable"),
        ("[[[[{a}]]]]", "assistant.part_without_variable"),
        ("{a|loud}", "assistant.unknown_format"),
        ("{a|}", "assistant.unknown_format"),
        ("[[{a}" * (MAX_DEPTH + 1) + "]]" * (MAX_DEPTH + 1), "assistant.template_too_deep"),
        ("x" * (MAX_CHARS + 1), "assistant.template_too_long"),
    ],
)
def test_faults_are_named(source: str, code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        parse_template(source, "mail.prompt")
    assert caught.value.code == code
    assert "mail.prompt" in str(caught.value)


def test_an_error_says_in_which_line_it_is() -> None:
    with pytest.raises(GenloomError) as caught:
        parse_template("a\nb [[ c\n{d}")
    assert caught.value.fields["line"] == 2


def test_an_undeclared_variable_is_named_with_the_nearest() -> None:
    with pytest.raises(GenloomError) as caught:
        check_variables(parse_template("{recipent}"), ["recipient"], "mail")
    assert caught.value.code == "assistant.unknown_variable"
    assert "'recipient'" in str(caught.value)


def test_variables_are_listed_once_in_their_order() -> None:
    assert parse_template("{b}[[{a}{b|bullets}]]{c}").variables == ["b", "a", "c"]
    assert all(parse_template(f"{{a|{each}}}").variables == ["a"] for each in FORMATS)


def test_control_characters_are_removed_from_values_and_found_in_templates() -> None:
    assert clean_value("a\x00\x1b[2Jb\r\nc\rd\te\ud800") == "a[2Jb\nc\nd\te\ufffd"
    assert clean_value(["\x07a", "b"]) == ["a", "b"]
    assert find_control_character("ok\r\n\tok") is None
    assert find_control_character("a\nb\x1bc") == (2, "U+001B")


def test_of_two_parts_in_a_paragraph_one_can_stay() -> None:
    source = "A\n\n[[B {x}]]\n[[D {y}]]\n\nC"
    assert render(source, x="1") == "A\n\nB 1\n\nC"
    assert render(source, y="1") == "A\n\nD 1\n\nC"


def test_line_breaks_of_a_variable_stay() -> None:
    assert render("A\n{a}[[ {b}]]\nC", a="\n\n") == "A\n\n\n\nC"
