"""Checks of answers: words, lengths, forms and schemas; hostile patterns end in time."""

import pytest

from genloom.assistant.prompts.checks import AnswerChecks, check_answer, contains_words, normalise_answer
from genloom.assistant.prompts.patterns import MAX_PATTERN_CHARS, has_match, is_fast
from genloom.errors import GenloomError


@pytest.mark.parametrize(
    ("checks", "right", "wrong"),
    [
        ({"contains": ("New  york",)}, "I love new\nYork!", "I love Newyork"),
        ({"lacks": ("cat",)}, "concatenate", "a Cat."),
        ({"equals": "Paris"}, ' "paris." ', "Paris, France"),
        ({"choices": ("yes", "no")}, "No.", "maybe"),
        ({"regex": r"^\d{4}$"}, "in\n1999\nagain", "19999"),
        ({"min_words": 2}, "a b", "a"),
        ({"max_words": 2}, "a b", "a b c"),
        ({"json_equals": '{"a": "X", "b": [1]}'}, '```json\n{"b": [1], "A": "x."}\n```', '{"a": "x"}'),
        ({"json_equals": "[1]"}, "[1]", "it is [1]"),
        ({"schema": '{"type": "object", "required": ["a"]}'}, '{"a": 1}', '{"b": 1}'),
        ({"check": ("length:max_length=2",)}, "a b", "a b c"),
    ],
)
def test_right_answers_pass_and_wrong_ones_do_not(checks: dict, right: str, wrong: str) -> None:
    built = AnswerChecks(**checks)
    assert not built.is_empty
    assert check_answer(right, built) == []
    (failure,) = check_answer(wrong, built)
    assert failure.reason


def test_every_failure_is_told() -> None:
    checks = AnswerChecks(contains=("x", "y"), max_words=1, regex="z")
    assert [failure.check for failure in check_answer("a b", checks)] == ["contains", "contains", "max_words", "regex"]
    assert AnswerChecks().is_empty
    assert check_answer("anything", AnswerChecks()) == []


@pytest.mark.parametrize(
    ("text", "words", "is_there"),
    [
        ("the cats", "cat", False),
        ("cat, dog", "cat", True),
        ("a C++ course", "c++", True),
        ("café", "caf", False),
        ("scat cat", "cat", True),
        ("", "cat", False),
    ],
)
def test_words_are_found_as_whole_words(text: str, words: str, is_there: bool) -> None:
    assert contains_words(text, words) == is_there


def test_answers_are_compared_without_case_and_punctuation_at_their_ends() -> None:
    assert normalise_answer('  "The  Answer." ') == "the answer"
    assert normalise_answer("3.5 %") == "3.5 %"


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ({"regex": "("}, "assistant.bad_pattern"),
        ({"regex": "a" * (MAX_PATTERN_CHARS + 1)}, "assistant.pattern_too_long"),
        ({"schema": "{"}, "assistant.bad_json_setting"),
        ({"json_equals": "[" * 100_000}, "assistant.bad_json_setting"),
        ({"check": ("lenght",)}, "core.unknown_part"),
        ({"check": ("length:max_length=-1",)}, "rate.bad_length_range"),
    ],
)
def test_checks_that_cannot_be_used_are_refused(checks: dict, code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        AnswerChecks(**checks)
    assert caught.value.code == code


def test_a_schema_that_is_none_or_refers_to_a_network_is_refused() -> None:
    for schema in ('{"type": "nothing"}', '{"$ref": "https://example.org/a.json"}'):
        with pytest.raises(GenloomError) as caught:
            check_answer("{}", AnswerChecks(schema=schema))
        assert caught.value.code == "assistant.bad_json_setting"


def test_patterns_with_one_repeat_are_fast() -> None:
    assert is_fast(r"^\w+$")
    assert is_fast(r"\* [*+] \d{3}")
    assert not is_fast(r"(a+)+$")
    assert not is_fast(r"(?P<x>a)(?P=x)")


def test_a_pattern_that_takes_forever_fails_in_time() -> None:
    with pytest.raises(TimeoutError):
        has_match(r"(a+)+$", "a" * 60 + "b")
    (failure,) = check_answer("a" * 60 + "b", AnswerChecks(regex=r"(a|aa)+(b+c)+$"))
    assert failure.check == "regex"
    assert has_match(r"(a+)b+", "aab"), "and the next search works"
