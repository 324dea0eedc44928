"""Prompts as files: those written are read back, and any other content gives an error that names the place."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.assistant.prompts.checks import AnswerChecks
from genloom.assistant.prompts.library import list_built_in_names, load_built_in
from genloom.assistant.prompts.prompt import Example, FewShot, Prompt, PromptTest, Variable
from genloom.assistant.prompts.prompt_file import MAX_FILE_BYTES, format_prompt, parse_prompt, read_prompt
from genloom.assistant.prompts.template import escape_text
from genloom.errors import GenloomError

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"), max_size=40)
FILLED = TEXTS.filter(lambda text: text.strip())


def build(instruction: str, answer: str, value: str, choice: str, note: str) -> Prompt:
    return Prompt(
        prompt=f"{escape_text(instruction)}{{text}}",
        system=escape_text(note),
        description=note,
        owner="mia",
        variables={
            "text": Variable(description=note, choices={choice: value}),
            "points": Variable(kind="list", default=escape_text(value)),
        },
        few_shot=FewShot(3, "first"),
        examples=(Example(answer, {"text": value, "points": [value, answer]}),),
        tests=(PromptTest({"text": value}, AnswerChecks(contains=("a",), max_words=3)),),
        settings={"temperature": 0.5, "max_tokens": 20},
        words={"short": 10},
        stop=("\n",),
        name="made",
        version=2,
    )


@given(FILLED, TEXTS, TEXTS, TEXTS, TEXTS)
def test_a_prompt_is_read_back_as_it_was_written(
    instruction: str, answer: str, value: str, choice: str, note: str
) -> None:
    prompt = build(instruction, answer, value, choice, note)
    assert parse_prompt(format_prompt(prompt), "made", 2) == prompt


@pytest.mark.parametrize("name", list_built_in_names())
def test_built_in_prompts_are_written_as_they_are_read(name: str) -> None:
    prompt = load_built_in(name)
    assert prompt.description
    assert prompt.tests
    assert all(variable.description for variable in prompt.variables.values())
    assert parse_prompt(format_prompt(prompt), name) == prompt
    for row in (*prompt.examples, *prompt.tests):
        prompt.fill_values(row.given)


def parse(text: str, **_: Any) -> Prompt:
    return parse_prompt(text, "mail")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("prompt = 'a", "assistant.bad_toml"),
        ("x = 1\nx = 2", "assistant.bad_toml"),
        ("a = " + "[" * 3000 + "]" * 3000, "assistant.bad_toml"),
        ("", "assistant.empty_prompt"),
        ("prompt = ' '", "assistant.empty_prompt"),
        ("prompt = 3", "core.bad_setting_value"),
        ("prompt = 'a'\npromt = 'b'", "core.unknown_setting"),
        ("prompt = 'a'\nname = 'b'", "core.unknown_setting"),
        ("prompt = 'a {x}'", "assistant.unknown_variable"),
        ("prompt = 'a'\nsystem = '{x}'", "assistant.unknown_variable"),
        ("prompt = 'a'\nvariables = 3", "assistant.not_a_table"),
        ("prompt = 'a'\nvariables.x = 3", "assistant.not_a_table"),
        ("prompt = 'a'\n[variables.x]\ncolour = 'red'", "core.unknown_setting"),
        ("prompt = 'a'\n[variables.x]\nkind = 'number'", "core.bad_setting_value"),
        ("prompt = 'a'\n[variables.'a b']", "assistant.bad_variable_name"),
        ("prompt = 'a'\n[variables.x]\ndefault = '{y}'", "assistant.unknown_variable"),
        ("prompt = 'a'\n[variables.x]\ndefault = '{x}'", "assistant.cyclic_default"),
        (
            "prompt = 'a'\n[variables.x]\ndefault = '{y}'\n[variables.y]\ndefault = '[[{x}]]'",
            "assistant.cyclic_default",
        ),
        ("prompt = 'a'\nexamples = 'b'", "assistant.not_a_list"),
        ("prompt = 'a'\n[[examples]]\nanswer = 'b'\ngiven.x = 'c'", "assistant.unknown_variable"),
        ("prompt = 'a'\n[[examples]]\nanswer = 3", "core.bad_setting_value"),
        ("prompt = 'a'\n[variables.x]\n[[examples]]\nanswer = 'b'\ngiven.x = {a = 1}", "core.bad_setting_value"),
        ("prompt = 'a'\n[[tests]]", "assistant.test_without_check"),
        ("prompt = 'a'\n[[tests]]\nregex = '('", "assistant.bad_pattern"),
        ("prompt = 'a'\n[[tests]]\nschema = '{'", "assistant.bad_json_setting"),
        ("prompt = 'a'\n[[tests]]\nmax_words = -1", "core.bad_setting_value"),
        ("prompt = 'a'\n[[tests]]\ncheck = 'nothing'", "core.unknown_part"),
        ("prompt = 'a'\n[few_shot]\ncount = 100", "core.bad_setting_value"),
        ("prompt = 'a'\n[few_shot]\ncount = true", "core.bad_setting_value"),
        ("prompt = 'a'\n[words]\nshort = 0", "assistant.bad_words"),
        ("prompt = 'a\x07'", "assistant.control_character"),
        ('prompt = "a\\u0007"', "assistant.control_character"),
        ("prompt = 'a'\n" + "".join(f"[variables.x{n}]\n" for n in range(70)), "assistant.too_many"),
        ("prompt = 'a'\n" + "[[examples]]\nanswer = 'b'\n" * 1001, "assistant.too_many"),
    ],
)
def test_faults_of_a_file_are_named(text: str, code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        parse(text)
    assert caught.value.code == code


def test_files_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "mail.toml"
    for content in (b"prompt = '\xff'", b"prompt = '" + b"x" * MAX_FILE_BYTES + b"'"):
        path.write_bytes(content)
        with pytest.raises(GenloomError) as caught:
            read_prompt(path)
        assert caught.value.code == "core.unreadable_file"
    with pytest.raises(GenloomError) as caught:
        read_prompt(tmp_path / "missing.toml")
    assert caught.value.code == "core.unreadable_file"
    path.write_bytes(b"\xef\xbb\xbfprompt = 'a'\r\nsystem = '''b\r\nc'''\r\n")
    assert read_prompt(path).system == "b\nc"
    path.write_text("prompt = '[['", encoding="utf-8")
    with pytest.raises(GenloomError) as caught:
        read_prompt(path)
    assert caught.value.code == "assistant.bad_prompt_file"
    assert str(path) in str(caught.value)


def test_values_are_filled_in_by_choices_and_defaults() -> None:
    prompt = parse(
        """
prompt = '{length} to {to}[[ and {others|and}]]: {greeting}'
[variables.to]
[variables.length]
default = 'Write'
choices = {short = 'Write briefly'}
[variables.others]
kind = 'list'
[variables.greeting]
default = 'Dear {to}'
"""
    )
    assert prompt.required_variables == ["to"]
    render = prompt.prompt_template.render
    assert render(prompt.fill_values({"to": "Anna"})) == "Write to Anna: Dear Anna"
    given = {"to": "{length}", "length": "short", "others": ["B", "C"]}
    assert render(prompt.fill_values(given)) == "Write briefly to {length} and B and C: Dear {length}"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "assistant.value_missing"),
        ({"to": "  "}, "assistant.value_missing"),
        ({"to": "a", "tone": "b"}, "assistant.unknown_value"),
        ({"to": ["a"]}, "assistant.value_not_text"),
        ({"to": 3}, "assistant.value_not_text"),
        ({"to": "a", "mood": "sad"}, "assistant.bad_choice"),
        ({"to": "a" * 1_000_001}, "assistant.value_too_long"),
    ],
)
def test_wrong_values_are_named(given: dict[str, Any], code: str) -> None:
    prompt = parse("prompt = '{to}'\n[variables.to]\n[variables.mood]\nis_closed = true\nchoices = ['happy', 'calm']")
    with pytest.raises(GenloomError) as caught:
        prompt.fill_values(given)
    assert caught.value.code == code


def test_the_digest_is_of_what_a_model_reads() -> None:
    first = parse("prompt = '{a}'\ndescription = 'x'\nowner = 'mia'\n[variables.a]\ndescription = 'y'")
    assert first.digest == parse("prompt = '{a}'\n[variables.a]").digest
    assert first.digest != parse("prompt = '{a}!'\n[variables.a]").digest
    assert first.digest != parse("prompt = '{a}'\nstop = ['x']\n[variables.a]").digest
