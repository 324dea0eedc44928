"""The numbers that options take: what makes no sense is refused before any work, in one sentence with the cure."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Annotated, Any

from cyclopts import CycloptsError, Parameter, Token

MOST = 2**63 - 1  # what seeds and counts are stored in


def read_by(read: Callable[[str], Any], holds: Callable[[Any], bool], wrong: str) -> Parameter:
    """An option whose text `read` understands and of whose value `holds` is true; else `wrong` says what to give."""

    def convert(kind: Any, tokens: Sequence[Token]) -> Any:
        (token,) = tokens
        try:
            value = read(token.value)
        except ValueError:
            value = None
        if value is None or not holds(value):
            # Not a ValueError: the parser would put its own words before ours.
            raise CycloptsError(msg=wrong.format(given=f"{token.keyword} {token.value}"))
        return value

    return Parameter(converter=convert)


def whole(least: int, most: int = MOST, needed: bool = False) -> Parameter:
    """Whole numbers from `least` to `most`; the parser alone would round 1.5 to 2."""
    wanted = f"from {least} on" if most == MOST else f"from {least} to {most:,}"
    away = "" if needed else ", or leave it away"
    wrong = f"{{given}} makes no sense: give a whole number {wanted}{away}."
    return read_by(int, lambda value: least <= value <= most, wrong)


def real(holds: Callable[[float], bool], wanted: str) -> Parameter:
    """Finite numbers for which `holds` is true, which `wanted` says in words."""
    wrong = f"{{given}} makes no sense: give {wanted}, or leave it away."
    return read_by(float, lambda value: isfinite(value) and holds(value), wrong)


def between(least: float, most: float) -> Parameter:
    return real(lambda value: least <= value <= most, f"a number from {least:g} to {most:g}")


Count = Annotated[int, whole(1)]
Threads = Annotated[int, whole(1, 1024)]  # or processes
Seed = Annotated[
    int, read_by(int, lambda n: 0 <= n <= MOST, f"A seed is a whole number from 0 to {MOST:,}, and {{given}} is none.")
]
Share = Annotated[float, between(0, 1)]
Positive = Annotated[float, real(lambda value: value > 0, "a number above 0")]
Temperature = Annotated[float, real(lambda value: value == 0 or 1e-3 <= value <= 1e3, "0, or one from 0.001 to 1000")]
Guidance = Annotated[float, between(0, 100)]
