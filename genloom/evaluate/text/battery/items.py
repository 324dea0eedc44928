"""Items of the battery: contexts with a right continuation and, for some tasks, wrong ones."""

import random
from dataclasses import dataclass
from importlib import resources

_EXAMPLES = ("6 + 3 = 9", "48 - 26 = 22", "3 * 3 = 9", "31 + 45 = 76", "7 - 2 = 5", "21 * 4 = 84")
_OPERAND_RANGES = {1: (2, 9), 2: (11, 99)}  # by number of digits, without trivial operands


@dataclass(frozen=True)
class BatteryItem:
    """A context and its possible continuations, which include the space before them."""

    kind: str
    context: str
    answer: str
    distractors: tuple[str, ...] = ()

    @property
    def continuations(self) -> tuple[str, ...]:
        """The right continuation first; each is scored by its likelihood, so the order does not matter."""
        return (self.answer, *self.distractors)


def build_cloze_items() -> list[BatteryItem]:
    """Build texts whose last word is missing and follows from the context."""
    return [
        BatteryItem("cloze", context, f" {answer}", _prepend_space(distractors))
        for context, answer, *distractors in _read_table("cloze.tsv")
    ]


def build_choice_items() -> list[BatteryItem]:
    """Build common-knowledge questions with one right answer and three wrong ones."""
    return [
        BatteryItem("choice", f"Question: {question}\nAnswer:", f" {answer}", _prepend_space(distractors))
        for question, answer, *distractors in _read_table("choice.tsv")
    ]


def build_arithmetic_items(seed: int = 0, count_per_kind: int = 20) -> list[BatteryItem]:
    """Build sums, differences and products after six worked examples, `count_per_kind` per operation and size, in turn.

    Operands have one or two digits; the second factor of a product always has one. No problem occurs twice.
    """
    rng = random.Random(seed)
    header, seen_problems, items = "\n".join(_EXAMPLES) + "\n", set(_EXAMPLES), []
    for _ in range(count_per_kind):
        for operation in ("+", "-", "*"):
            for digits in _OPERAND_RANGES:
                problem = _make_problem(rng, operation, digits)
                while problem in seen_problems:
                    problem = _make_problem(rng, operation, digits)
                seen_problems.add(problem)
                question, _, result = problem.rpartition(" ")
                items.append(BatteryItem(_OPERATION_NAMES[operation], header + question, f" {result}\n"))
    return items


_OPERATION_NAMES = {"+": "addition", "-": "subtraction", "*": "multiplication"}


def _make_problem(rng: random.Random, operation: str, digits: int) -> str:
    first, second = rng.randint(*_OPERAND_RANGES[digits]), rng.randint(*_OPERAND_RANGES[digits])
    if operation == "+":
        return f"{first} + {second} = {first + second}"
    if operation == "-":
        return f"{max(first, second)} - {min(first, second)} = {abs(first - second)}"
    second = rng.randint(*_OPERAND_RANGES[1])
    return f"{first} * {second} = {first * second}"


def _read_table(name: str) -> list[list[str]]:
    """Read the rows of a file in this folder, in a fixed order that is shuffled over topics."""
    text = resources.files("genloom.evaluate.text.battery").joinpath(name).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    random.Random(0).shuffle(rows)
    return rows


def _prepend_space(words: list[str]) -> tuple[str, ...]:
    return tuple(f" {word}" for word in words)
