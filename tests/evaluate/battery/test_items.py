"""The battery's items are sound: one right continuation each, nothing twice, and no giveaway in their length."""

from collections import Counter

import pytest

from genloom.evaluate.battery.instructions import Instruction, instructions
from genloom.evaluate.battery.items import Item, arithmetic, choice, cloze

INSTRUCTIONS = instructions()


@pytest.mark.parametrize("items", [cloze(), choice()], ids=["cloze", "choice"])
def test_written_items_are_many_and_differ(items: list[Item]) -> None:
    assert len(items) >= 100
    assert len({item.context.casefold() for item in items}) == len(items)
    for item in items:
        assert len(item.wrong) == 3
        assert len({text.casefold() for text in item.continuations}) == 4, item
        assert all(text.startswith(" ") and text == f" {text.strip()}" for text in item.continuations), item
        assert item.context == item.context.strip()
    words = Counter(item.right for item in items)
    assert max(words.values()) <= 3, "no answer is right so often that it could be learned"


@pytest.mark.parametrize("items", [cloze(), choice()], ids=["cloze", "choice"])
def test_length_does_not_tell_the_right_one(items: list[Item]) -> None:
    """Whoever always takes the shortest or the longest is right about as often as who guesses."""
    for pick in (min, max):
        lengths = [[len(text.encode()) for text in item.continuations] for item in items]
        hits = sum((row[0] == pick(row)) / row.count(row[0]) for row in lengths)
        assert 0.15 < hits / len(items) < 0.36


def test_cloze_asks_for_one_word_that_the_text_did_not_say_last() -> None:
    for item in cloze():
        assert all(len(text.split()) == 1 for text in item.continuations), item
        assert item.context.split()[-1].strip(".,") not in item.continuations, item


def test_sums_are_right_balanced_and_fixed_by_the_seed() -> None:
    sums = arithmetic()
    assert len(sums) == 120
    assert Counter(item.kind for item in sums) == {"addition": 40, "subtraction": 40, "multiplication": 40}
    assert len({item.context for item in sums}) == 120
    assert sums == arithmetic(0)
    assert sums != arithmetic(1)
    for item in sums:
        *shown, asked = item.context.splitlines()
        assert asked + item.right.rstrip("\n") not in shown
        for line in (*shown, asked + item.right):
            sum_, result = line.split(" = ")
            first, operation, second = sum_.split()
            a, b = int(first), int(second)
            assert {"+": a + b, "-": a - b, "*": a * b}[operation] == int(result) >= 0


def test_instructions_are_many_and_differ() -> None:
    assert len(INSTRUCTIONS) >= 100
    assert len({i.prompt for i in INSTRUCTIONS}) == len(INSTRUCTIONS)
    assert len({i.kind for i in INSTRUCTIONS}) == 16
    assert [i.prompt for i in instructions()] == [i.prompt for i in INSTRUCTIONS]
    assert [i.prompt for i in instructions(1)] != [i.prompt for i in INSTRUCTIONS]


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda i: f"{i.kind}: {i.prompt[:40]}")
def test_checks_accept_a_right_answer_and_refuse_a_wrong_one(instruction: Instruction) -> None:
    assert instruction.kept(instruction.right)
    assert instruction.kept(f"\n{instruction.right}\n")
    assert not instruction.kept(instruction.wrong)
    assert not instruction.kept("")
    assert not instruction.kept(" \n")


def test_json_may_stand_in_a_fence_and_nothing_else_around_it() -> None:
    (first, *_) = [i for i in INSTRUCTIONS if i.kind == "JSON"]
    assert first.kept(f"```json\n{first.right}\n```")
    assert first.kept(first.right.replace("31", '"31"'))
    for text in ("[]", "{}", "null", "[" * 10_000, first.right + "!", first.right.replace("}", ', "x": 1}')):
        assert not first.kept(text)


def test_bullet_points_are_counted() -> None:
    (first, *_) = [i for i in INSTRUCTIONS if i.kind == "bullet points"]
    assert first.kept(f"Here they are:\n\n{first.right}")
    assert not first.kept(f"{first.right}\n- one more")
    assert not first.kept("\n".join(first.right.splitlines()[1:]))
