"""Weights in prompts: `a (red:0.5) fox` makes less of the red, `a red (fox:1.3)` more of the fox."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genloom.types import TextEncoder

LARGEST = 4.0
_NUMBER = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*")
_SPECIAL = "():\\"  # stand for themselves after a backslash


def states(encoder: TextEncoder, prompts: Sequence[str]) -> list[np.ndarray]:
    """The encoder's states of the prompts, (S, width) each, those of weighted words scaled.

    Raises ValueError for a weight that cannot be read.
    """
    parsed = [weighted(prompt) for prompt in prompts]
    found = encoder.states([said.text for said in parsed])
    return [scaled(encoder, said, states_SD) for said, states_SD in zip(parsed, found, strict=True)]


def scaled(encoder: TextEncoder, said: "Weighted", states_SD: np.ndarray) -> np.ndarray:
    if all(weight == 1 for weight in said.weights):
        return states_SD
    weights = [said.weights[begin] for begin, _ in encoder.spans(said.text)]
    return states_SD * np.array(weights, np.float32)[:, None]


@dataclass(frozen=True)
class Weighted:
    """What a prompt says, and how much to make of each of its characters."""

    text: str
    weights: tuple[float, ...]  # one a character


@dataclass
class Group:
    """A parenthesis that is still open: where it began in the prompt and in what is read of it, and its last colon."""

    prompt: int
    read: int
    colon: int = -1  # in the prompt; -1: none yet
    words: int = 0  # where the words before the colon end, in what is read


@dataclass
class _Read:
    text: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    open: list[Group] = field(default_factory=list)

    def add(self, character: str) -> None:
        self.text.append(character)
        self.weights.append(1.0)

    def close(self, group: Group, weight: float) -> None:
        """Leave of a group its words, with the weight; weights of groups within it multiply."""
        words = slice(group.read + 1, group.words)
        self.text[group.read :] = self.text[words]
        self.weights[group.read :] = [weight * inner for inner in self.weights[words]]


def weighted(prompt: str) -> Weighted:
    r"""The words of a prompt with their weights: `(fox:1.3)`, nested as one likes, from 0 to 4.

    Parentheses without a colon, and those after a backslash, `\(`, are part of the text.
    """
    read, at = _Read(), 0
    while at < len(prompt):
        character = prompt[at]
        if character == "\\" and prompt[at + 1 : at + 2] and prompt[at + 1] in _SPECIAL:
            at += 1
            read.add(prompt[at])
        elif character == ")" and read.open and (group := read.open.pop()).colon >= 0:
            read.close(group, weight_of(prompt, group, at))
        else:
            if character == "(":
                read.open.append(Group(at, len(read.text)))
            elif character == ":" and read.open:
                read.open[-1].colon, read.open[-1].words = at, len(read.text)
            read.add(character)
        at += 1
    unclosed = next((group for group in read.open if group.colon >= 0), None)
    if unclosed is not None:
        raise ValueError(f"The prompt {prompt!r} lacks a ) after {prompt[unclosed.prompt :]!r}. {_CURE}")
    return Weighted("".join(read.text), tuple(read.weights))


_CURE = r"Weigh words like this: (fox:1.3). For parentheses or colons that are part of the text, write \( \) and \:"


def weight_of(prompt: str, group: Group, end: int) -> float:
    where, found = prompt[group.prompt : end + 1], prompt[group.colon + 1 : end]
    number = _NUMBER.fullmatch(found)
    if number is None:
        raise ValueError(f"In {where!r} of the prompt, {found.strip()!r} is no weight. {_CURE}")
    weight = float(number[1])
    if weight > LARGEST:
        raise ValueError(f"In {where!r} of the prompt, {weight:g} is too much: weights go from 0 to {LARGEST:g}.")
    return weight
