"""Machine judges say how well a text does, whether it passes, and why; by name, with settings that are checked."""

import pytest

from genloom import plugins
from genloom.rate.checks import build_check


def verdict(name, text, **settings):
    made = build_check(name, settings)(text)
    assert 0 <= made.score <= 1
    assert made.has_passed == (made.score == 1)
    assert made.reason
    return made


def test_judges_are_found_by_name():
    texts, pictures = {"code", "json", "length", "regex", "similarity"}, {"centred", "colour", "outline"}
    assert set(plugins.part_names("check")) == texts | pictures
    with pytest.raises(ValueError, match="Did you mean 'length'"):
        build_check("lenght", {})
    with pytest.raises(ValueError, match=r"Did you mean 'most'"):
        build_check("length", {"max_lenght": 3})


def test_patterns():
    assert verdict("regex", "about 12 kg", pattern=r"\d+").passed
    assert not verdict("regex", "about twelve", pattern=r"\d+").passed
    assert not verdict("regex", "I think so", pattern="i think", is_absent=True, ignore_case=True).passed
    assert verdict("regex", " 12\n", pattern=r"\d+", is_full_match=True).passed
    assert not verdict("regex", "12 kg", pattern=r"\d+", is_full_match=True).passed
    with pytest.raises(ValueError, match="no regular expression"):
        build_check("regex", {"pattern": "("})


@pytest.mark.parametrize("text", ['{"a": 1, "b": []}', '\n{"a": 0, "b": null}\n', '```json\n{"a": 1, "b": 2}\n```'])
def test_json_with_its_keys(text):
    assert verdict("json", text, kind="object", keys=["a", "b"]).passed


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1,}', "[1]", '{"b": 1}', "NaN", '{"a": NaN}', "[" * 100_000, "1" * 10_000, "Sure: {}"]
)
def test_what_is_not_the_json_that_was_asked_for(text):
    assert not verdict("json", text, kind="object", keys=["a"]).passed


def test_json_scores_rise_on_the_way_to_validity():
    texts = ["?", '{"a" ? 1, "b": 2}', '{"a": 1, "b": ?}', "[1]", '{"a": 1}', '{"a": 1, "b": 2}']
    scores = [verdict("json", text, kind="object", keys=["a", "b"]).score for text in texts]
    assert scores == sorted(scores)
    assert len(set(scores[:3])) == 3


@pytest.mark.parametrize(("unit", "length"), [("words", 8), ("characters", 34), ("sentences", 2), ("lines", 2)])
def test_lengths_in_every_unit(unit, length):
    text = "It is 3.5 m long. Is\n\nthat enough?"
    assert verdict("length", text, unit=unit, min_length=length, max_length=length).passed
    assert verdict("length", text, unit=unit, min_length=length + 1).score == pytest.approx(length / (length + 1))
    assert verdict("length", text, unit=unit, max_length=length - 1).score == pytest.approx((length - 1) / length)


def test_nothing_has_no_length():
    assert verdict("length", "").passed
    assert verdict("length", "", min_length=1).score == 0
    with pytest.raises(ValueError, match="from least to most"):
        build_check("length", {"min_length": 3, "max_length": 2})


def test_similarity_to_a_source():
    source = "The bridge was opened in 1907 and carries four lanes of traffic."
    assert verdict("similarity", "the  bridge was OPENED in 1907", source=source, min_share=0.99).passed
    far = verdict("similarity", "Whales sing across whole oceans.", source=source, min_share=0.5)
    near = verdict("similarity", "The bridge was opened by whales.", source=source, min_share=0.9)
    assert far.score < near.score < 1
    copied = verdict("similarity", source, source=source, max_share=0.5)
    assert (copied.score, copied.reason) == (0.0, "100% of it stands in the source, more than 50%")
    assert verdict("similarity", "", source=source).passed
    with pytest.raises(ValueError, match="from 0 to 1"):
        build_check("similarity", {"source": source, "min_share": 0.6, "max_share": 0.5})


def test_repeating_what_stands_there_once_is_not_similar():
    once = verdict("similarity", "four lanes", source="four lanes", min_share=1.0)
    often = verdict("similarity", "four lanes " * 10, source="four lanes", min_share=1.0)
    assert once.passed
    assert often.score < 0.2
