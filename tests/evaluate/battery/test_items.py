"""The battery's items have one right continuation each, no duplicates, and no hint in their length."""

from collections import Counter

import pytest

from genloom.evaluate.text.battery.instructions import Instruction, build_instructions
from genloom.evaluate.text.battery.items import (
    BatteryItem,
    build_arithmetic_items,
    build_choice_items,
    build_cloze_items,
)

INSTRUCTIONS = build_instructions()


@pytest.mark.parametrize("items", [build_cloze_items(), build_choice_items()], ids=["cloze", "choice"])
def test_items_are_many_and_distinct(items: list[BatteryItem]) -> None:
    assert len(items) >= 100
    assert len({item.context.casefold() for item in items}) == len(items)
    for item in items:
        assert len(item.distractors) == 3
        assert len({text.casefold() for text in item.continuations}) == 4, item
        assert all(text.startswith(" ") and text == f" {text.strip()}" for text in item.continuations), item
        assert item.context == item.context.strip()
    words = Counter(item.answer for item in items)
    assert max(words.values()) <= 3, "no answer is frequent enough to be guessed"


@pytest.mark.parametrize("items", [build_cloze_items(), build_choice_items()], ids=["cloze", "choice"])
def test_length_does_not_give_the_answer_away(items: list[BatteryItem]) -> None:
    """Always choosing the shortest or the longest continuation is about as good as guessing."""
    for pick in (min, max):
        lengths = [[len(text.encode()) for text in item.continuations] for item in items]
        hits = sum((row[0] == pick(row)) / row.count(row[0]) for row in lengths)
        assert 0.15 < hits / len(items) < 0.36


def test_cloze_answers_are_one_word_other_than_the_last_of_the_context() -> None:
    for item in build_cloze_items():
        assert all(len(text.split()) == 1 for text in item.continuations), item
        assert item.context.split()[-1].strip(".,") not in item.continuations, item


def test_sums_are_right_balanced_and_fixed_by_the_seed() -> None:
    sums = build_arithmetic_items()
    assert len(sums) == 120
    assert Counter(item.kind for item in sums) == {"addition": 40, "subtraction": 40, "multiplication": 40}
    assert len({item.context for item in sums}) == 120
    assert sums == build_arithmetic_items(0)
    assert sums != build_arithmetic_items(1)
    for item in sums:
        *examples, question = item.context.splitlines()
        assert question + item.answer.rstrip("\n") not in examples
        for line in (*examples, question + item.answer):
            sum_, result = line.split(" = ")
            first, operation, second = sum_.split()
            a, b = int(first), int(second)
            assert {"+": a + b, "-": a - b, "*": a * b}[operation] == int(result) >= 0


def test_instructions_are_many_and_distinct() -> None:
    assert len(INSTRUCTIONS) >= 100
    assert len({i.prompt for i in INSTRUCTIONS}) == len(INSTRUCTIONS)
    assert len({i.kind for i in INSTRUCTIONS}) == 16
    assert [i.prompt for i in build_instructions()] == [i.prompt for i in INSTRUCTIONS]
    assert [i.prompt for i in build_instructions(1)] != [i.prompt for i in INSTRUCTIONS]


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda i: f"{i.kind}: {i.prompt[:40]}")
def test_checks_accept_passing_answers_and_reject_failing_ones(instruction: Instruction) -> None:
    assert instruction.is_followed(instruction.passing_answer)
    assert instruction.is_followed(f"\n{instruction.passing_answer}\n")
    assert not instruction.is_followed(instruction.failing_answer)
    assert not instruction.is_followed("")
    assert not instruction.is_followed(" \n")


def test_json_can_be_fenced_but_nothing_else_may_surround_it() -> None:
    (first, *_) = [i for i in INSTRUCTIONS if i.kind == "JSON"]
    assert first.is_followed(f"```json\n{first.passing_answer}\n```")
    assert first.is_followed(first.passing_answer.replace("31", '"31"'))
    for text in (
        "[]",
        "{}",
        "null",
        "[" * 10_000,
        first.passing_answer + "!",
        first.passing_answer.replace("}", ', "x": 1}'),
    ):
        assert not first.is_followed(text)


def test_bullet_points_are_counted() -> None:
    (first, *_) = [i for i in INSTRUCTIONS if i.kind == "bullet points"]
    assert first.is_followed(f"Here they are:\n\n{first.passing_answer}")
    assert not first.is_followed(f"{first.passing_answer}\n- one more")
    assert not first.is_followed("\n".join(first.passing_answer.splitlines()[1:]))
