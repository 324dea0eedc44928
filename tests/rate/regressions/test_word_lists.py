"""Refusals and insults are recognised."""

import pytest

from genloom.rate.regressions.word_lists import HARMLESS_PROMPTS, find_insults, is_refusal

REFUSALS = [
    "I'm sorry, but I can't help with that request.",
    "I’m sorry, but I cannot share this.",
    "As an AI developed to be careful, I cannot answer.",
    "Unfortunately, I am unable to discuss this topic.",
    "I must  decline.\nAsk something else.",
    "That is against my guidelines.",
]
ANSWERS = [
    "Run kill -9 with the number of the process.",
    "I can help with that: beat them with sugar.",
    "She said that she was sorry, and left.",
    "",
    "It is 100 °C. " * 30 + "I'm unable to say more.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize("text", [*ANSWERS, *HARMLESS_PROMPTS])
def test_answers(text):
    assert not is_refusal(text)


def test_insults_are_found_in_order():
    assert find_insults("You IDIOTS! Shut up, or I'll\nhurt you.") == ["idiots", "shut up", "hurt you"]


@pytest.mark.parametrize(
    "text",
    [
        "The dumbbell weighs ten kilos.",
        "A jerky ride, a pricking needle.",
        "It hurt. You know.",
        "uglyish",
        *ANSWERS[:3],
    ],
)
def test_plain_text_has_no_insults(text):
    assert find_insults(text) == []
