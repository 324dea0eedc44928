"""Candidates in order: the same programs are merged, those that pass most come first."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from genloom.assistant.code.judge import Verdict
from genloom.assistant.code.python_source import compute_key

Source = TypeVar("Source", bound=Hashable)


@dataclass(frozen=True)
class JudgedProgram(Generic[Source]):
    """A program with its verdict and the answers that it stands for, the first of which is shown."""

    code: str  # as it is shown: a program, or the middle of a gap
    verdict: Verdict
    sources: tuple[Source, ...]
    likelihood: float = 0.0  # of the text after a gap; more is better

    @property
    def count(self) -> int:
        """How many answers are this program."""
        return len(self.sources)


def merge_programs(programs: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the groups of programs that are the same but for blanks, comments and docstrings, by their positions."""
    groups: dict[str, list[int]] = {}
    for number, program in enumerate(programs):
        groups.setdefault(compute_key(program), []).append(number)
    return [tuple(group) for group in groups.values()]


def rank_candidates(candidates: Iterable[JudgedProgram[Source]]) -> list[JudgedProgram[Source]]:
    """Return the candidates, best first: by verdict, then by how many answers agree, by likelihood and by brevity."""

    def order(candidate: JudgedProgram[Source]) -> tuple[object, ...]:
        return (*candidate.verdict.rank_key, candidate.count, candidate.likelihood, -len(candidate.code))

    return sorted(candidates, key=order, reverse=True)
