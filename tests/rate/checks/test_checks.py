"""Checks of text: score, pass or fail, and a reason; settings are validated."""

import pytest

from genloom.rate.checks import build_check
from tests.errors import raises_code


def run_check(name, text, **settings):
    result = build_check(name, settings)(text)
    assert 0 <= result.score <= 1
    assert result.has_passed == (result.score == 1)
    assert result.reason
    return result


def test_misspelt_checks_and_settings_are_refused():
    with raises_code("core.unknown_part", name="lenght") as caught:
        build_check("lenght", {})
    assert "'length'" in str(caught.value)
    with raises_code("core.unknown_setting", key="max_lenght"):
        build_check("length", {"max_lenght": 3})


def test_a_check_is_chosen_by_the_medium_and_not_by_the_type_of_the_value():
    """A SELFIES string is a str, too."""
    with raises_code("rate.check_of_other_medium", check="length", medium="molecule"):
        build_check("length", {}, "molecule")
    with raises_code("rate.check_of_other_medium", check="colour", medium="audio"):
        build_check("colour", {}, "audio")


def test_regex():
    assert run_check("regex", "about 12 kg", pattern=r"\d+").has_passed
    assert not run_check("regex", "about twelve", pattern=r"\d+").has_passed
    assert not run_check("regex", "I think so", pattern="i think", is_absent=True, ignore_case=True).has_passed
    assert run_check("regex", " 12\n", pattern=r"\d+", is_full_match=True).has_passed
    assert not run_check("regex", "12 kg", pattern=r"\d+", is_full_match=True).has_passed
    with raises_code("rate.bad_pattern", pattern="("):
        build_check("regex", {"pattern": "("})


@pytest.mark.parametrize("text", ['{"a": 1, "b": []}', '\n{"a": 0, "b": null}\n', '```json\n{"a": 1, "b": 2}\n```'])
def test_json_with_the_required_keys(text):
    assert run_check("json", text, kind="object", keys=["a", "b"]).has_passed


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1,}', "[1]", '{"b": 1}', "NaN", '{"a": NaN}', "[" * 100_000, "1" * 10_000, "Sure: {}"]
)
def test_invalid_or_incomplete_json(text):
    assert not run_check("json", text, kind="object", keys=["a"]).has_passed


def test_json_scores_rise_on_the_way_to_validity():
    texts = ["?", '{"a" ? 1, "b": 2}', '{"a": 1, "b": ?}', "[1]", '{"a": 1}', '{"a": 1, "b": 2}']
    scores = [run_check("json", text, kind="object", keys=["a", "b"]).score for text in texts]
    assert scores == sorted(scores)
    assert len(set(scores[:3])) == 3


@pytest.mark.parametrize(("unit", "length"), [("words", 8), ("characters", 34), ("sentences", 2), ("lines", 2)])
def test_lengths_in_every_unit(unit, length):
    text = "It is 3.5 m long. Is\n\nthat enough?"
    assert run_check("length", text, unit=unit, min_length=length, max_length=length).has_passed
    assert run_check("length", text, unit=unit, min_length=length + 1).score == pytest.approx(length / (length + 1))
    assert run_check("length", text, unit=unit, max_length=length - 1).score == pytest.approx((length - 1) / length)


def test_empty_text_has_length_zero():
    assert run_check("length", "").has_passed
    assert run_check("length", "", min_length=1).score == 0
    with raises_code("rate.bad_length_range", min_length=3, max_length=2):
        build_check("length", {"min_length": 3, "max_length": 2})


def test_similarity_to_a_source():
    source = "The bridge was opened in 1907 and carries four lanes of traffic."
    assert run_check("similarity", "the  bridge was OPENED in 1907", source=source, min_share=0.99).has_passed
    far = run_check("similarity", "Whales sing across whole oceans.", source=source, min_share=0.5)
    near = run_check("similarity", "The bridge was opened by whales.", source=source, min_share=0.9)
    assert far.score < near.score < 1
    copied = run_check("similarity", source, source=source, max_share=0.5)
    assert copied.score == 0
    assert "100%" in copied.reason
    assert run_check("similarity", "", source=source).has_passed
    with raises_code("rate.bad_similarity_range", min_share=0.6, max_share=0.5):
        build_check("similarity", {"source": source, "min_share": 0.6, "max_share": 0.5})


def test_repetition_of_the_source_is_not_similar():
    once = run_check("similarity", "four lanes", source="four lanes", min_share=1.0)
    often = run_check("similarity", "four lanes " * 10, source="four lanes", min_share=1.0)
    assert once.has_passed
    assert often.score < 0.2
