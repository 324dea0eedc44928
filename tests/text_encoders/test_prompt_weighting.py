"""Weights in prompts: what is read, what multiplies, what is part of the text, and what is said of mistakes."""

import numpy as np
import pytest

from genloom.text_encoders import prompt_weighting, words
from genloom.text_encoders.prompt_weighting import parse_weighted_prompt
from tests.errors import raises_code

ENCODER = words.build(words.Config(width=8))


def weights(prompt: str) -> dict[str, float]:
    said = parse_weighted_prompt(prompt)
    return {said.text[begin:end]: said.weights[begin] for begin, end in ENCODER.compute_offsets(said.text)}


def test_a_weight_applies_to_the_words_in_parentheses() -> None:
    assert parse_weighted_prompt("a red (fox:1.3) reads").text == "a red fox reads"
    assert weights("a red (fox cub:1.3) reads") == {"a": 1, "red": 1, "fox": 1.3, "cub": 1.3, "reads": 1}
    assert weights("(night: 0.5 )") == {"night": 0.5}
    assert weights("(moon:0)") == {"moon": 0}


def test_nested_weights_multiply() -> None:
    assert weights("((red:0.5) fox:2) den") == {"red": 1, "fox": 2, "den": 1}


@pytest.mark.parametrize("plain", ["A button (blood type)", ":) and :(", "a (b (c)) d", "12:30", "((", "\\", ""])
def test_other_parentheses_are_part_of_the_text(plain: str) -> None:
    said = parse_weighted_prompt(plain)
    assert said.text == plain
    assert set(said.weights) <= {1.0}


def test_a_backslash_escapes() -> None:
    assert parse_weighted_prompt(r"\(fox:1.3\) \\").text == "(fox:1.3) \\"
    assert parse_weighted_prompt(r"(12\:30:2)").text == "12:30"
    assert weights(r"(clock \(round\):2)") == {"clock": 2, "round": 2}


@pytest.mark.parametrize(
    ("prompt", "code", "weight"),
    [
        ("a (fox:1.3 reads", "unclosed_group", None),
        ("a (fox:big)", "bad_weight", "big"),
        ("a (fox:)", "bad_weight", ""),
        ("a (fox:-1)", "bad_weight", "-1"),
        ("a (fox:1e3)", "bad_weight", "1e3"),
        ("a (fox:9)", "weight_too_large", 9),
    ],
)
def test_a_mistake_is_reported_with_its_position(prompt: str, code: str, weight: object) -> None:
    with raises_code(f"text_encoders.{code}", weight=weight) as error:
        parse_weighted_prompt(prompt)
    assert "fox" in error.value.fields["group"]


def test_states_of_weighted_words_are_scaled() -> None:
    plain, louder = prompt_weighting.encode_weighted_prompts(ENCODER, ["a red fox", "a red (fox:1.5)"])
    assert np.allclose(louder, plain * np.array([[1], [1], [1.5]]))
    (nothing,) = prompt_weighting.encode_weighted_prompts(ENCODER, [""])
    assert nothing.shape == (0, 8)
