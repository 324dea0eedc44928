"""Reasoning that models write between `<think>` and `</think>` before an answer, told apart while it streams."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

OPENING, CLOSING = "<think>", "</think>"
_REASONING = re.compile(rf"\s*{OPENING}(.*?)(?:{CLOSING}\s*(.*)|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A part of an answer, or of the reasoning before it."""

    text: str
    is_reasoning: bool


def begins_reasoning(prompt: str) -> bool:
    """Return whether a chat template has begun the reasoning already, so that the answer lacks the opening tag."""
    return prompt.rstrip().endswith(OPENING)


def count_reasoning_tokens(text: str, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int:
    """Return how many tokens of an answer are its reasoning, up to the closing tag; 0 without any.

    `text` may begin with an opening tag that the template wrote, which no token stands for.
    """
    if not text.lstrip().startswith(OPENING):
        return 0
    if CLOSING not in text:
        return len(ids)
    low, high = 0, len(ids)
    while low < high:  # the fewest tokens whose text has the tag
        middle = (low + high) // 2
        if CLOSING in decode(ids[:middle]):
            high = middle
        else:
            low = middle + 1
    return low


def split_reasoning(text: str) -> tuple[str, str]:
    """Return the reasoning at the beginning of a whole text, and the answer after it; reasoning may lack its end."""
    found = _REASONING.match(text)
    return (found[1].strip(), found[2] or "") if found else ("", text)


class ReasoningParser:
    """Splits a text that arrives in pieces as `split_reasoning` splits it whole; tags may be spread over pieces."""

    def __init__(self) -> None:
        self._pending = ""  # characters that may belong to a tag, or to the blanks beside one
        self._state = "start"  # then "reasoning", "gap" after it, and "answer"
        self._has_reasoning = False

    def feed(self, text: str) -> list[Piece]:
        """Return the pieces that are certain after some more text."""
        self._pending += text
        pieces: list[Piece] = []
        if self._state == "start":
            self._read_start()
        if self._state == "reasoning":
            pieces += self._read_reasoning()
        if self._state == "gap":
            self._pending = self._pending.lstrip()
            self._state = "answer" if self._pending else "gap"
        if self._state == "answer" and self._pending:
            pieces.append(Piece(self._pending, is_reasoning=False))
            self._pending = ""
        return pieces

    def finish(self) -> list[Piece]:
        """Return the rest after the last piece."""
        is_reasoning = self._state == "reasoning"
        rest = self._pending.rstrip() if is_reasoning else self._pending
        if is_reasoning and not self._has_reasoning:
            rest = rest.lstrip()
        self._pending = ""
        return [Piece(rest, is_reasoning)] if rest else []

    def _read_start(self) -> None:
        begin = self._pending.lstrip()
        if begin.startswith(OPENING):
            self._pending, self._state = begin.removeprefix(OPENING), "reasoning"
        elif not OPENING.startswith(begin):
            self._state = "answer"

    def _read_reasoning(self) -> list[Piece]:
        thought, tag, rest = self._pending.partition(CLOSING)
        if tag:
            self._pending, self._state = rest, "gap"
            thought = thought.rstrip()
        else:
            size = max(n for n in range(len(CLOSING)) if thought.endswith(CLOSING[:n]))
            certain = thought[: len(thought) - size].rstrip()
            thought, self._pending = certain, thought[len(certain) :]
        thought = thought if self._has_reasoning else thought.lstrip()
        self._has_reasoning |= bool(thought)
        return [Piece(thought, is_reasoning=True)] if thought else []
