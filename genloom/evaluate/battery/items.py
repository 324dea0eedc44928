"""What the battery asks: beginnings of texts with a right continuation and, where there are any, wrong ones."""

import random
from dataclasses import dataclass
from importlib import resources

_SHOWN = ("6 + 3 = 9", "48 - 26 = 22", "3 * 3 = 9", "31 + 45 = 76", "7 - 2 = 5", "21 * 4 = 84")
_SIZES = {1: (2, 9), 2: (11, 99)}  # numbers of one digit and of two, without those that leave nothing to do


@dataclass(frozen=True)
class Item:
    """A beginning and how it may go on; a continuation holds the blank before it."""

    kind: str
    context: str
    right: str
    wrong: tuple[str, ...] = ()

    @property
    def continuations(self) -> tuple[str, ...]:
        """The right one first: what is asked is how likely each is, so that their order cannot matter."""
        return (self.right, *self.wrong)


def cloze() -> list[Item]:
    """Texts without their last word, which what stands before it tells."""
    return [Item("cloze", begun, f" {right}", _blank(wrong)) for begun, right, *wrong in _table("cloze.tsv")]


def choice() -> list[Item]:
    """Questions that most people can answer, each with one right answer and three wrong ones."""
    return [
        Item("choice", f"Question: {asked}\nAnswer:", f" {right}", _blank(wrong))
        for asked, right, *wrong in _table("choice.tsv")
    ]


def arithmetic(seed: int = 0, each: int = 20) -> list[Item]:
    """Sums, differences and products after six worked examples: `each` of every operation and size, in turn.

    Numbers have one digit or two; of a product, the second factor always has one. Nothing is asked twice.
    """
    chance = random.Random(seed)
    header, asked, found = "\n".join(_SHOWN) + "\n", set(_SHOWN), []
    for _ in range(each):
        for operation in ("+", "-", "*"):
            for digits in _SIZES:
                sum_ = _sum(chance, operation, digits)
                while sum_ in asked:
                    sum_ = _sum(chance, operation, digits)
                asked.add(sum_)
                begun, _, result = sum_.rpartition(" ")
                found.append(Item(_NAMES[operation], header + begun, f" {result}\n"))
    return found


_NAMES = {"+": "addition", "-": "subtraction", "*": "multiplication"}


def _sum(chance: random.Random, operation: str, digits: int) -> str:
    first, second = chance.randint(*_SIZES[digits]), chance.randint(*_SIZES[digits])
    if operation == "+":
        return f"{first} + {second} = {first + second}"
    if operation == "-":
        return f"{max(first, second)} - {min(first, second)} = {abs(first - second)}"
    second = chance.randint(*_SIZES[1])
    return f"{first} * {second} = {first * second}"


def _table(name: str) -> list[list[str]]:
    """The rows of a file beside this one in an order that is always the same and follows no topic."""
    text = resources.files("genloom.evaluate.battery").joinpath(name).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    random.Random(0).shuffle(rows)
    return rows


def _blank(words: list[str]) -> tuple[str, ...]:
    return tuple(f" {word}" for word in words)
