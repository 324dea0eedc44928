"""The numbers that options take: what makes no sense is refused before any work, in one sentence with the cure."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Annotated, Any

from cyclopts import CycloptsError, Parameter, Token

MAX_INT = 2**63 - 1  # what seeds and counts are stored in


def build_parameter(parse: Callable[[str], Any], is_valid: Callable[[Any], bool], error_template: str) -> Parameter:
    """An option whose text `read` understands and of whose value `holds` is true; else `wrong` says what to give."""

    def convert(value_type: Any, tokens: Sequence[Token]) -> Any:
        (token,) = tokens
        try:
            value = parse(token.value)
        except ValueError:
            value = None
        if value is None or not is_valid(value):
            # Not a ValueError: the parser would put its own words before ours.
            raise CycloptsError(msg=error_template.format(given=f"{token.keyword} {token.value}"))
        return value

    return Parameter(converter=convert)


def int_range(minimum: int, maximum: int = MAX_INT, is_required: bool = False) -> Parameter:
    """Whole numbers from `least` to `most`; the parser alone would round 1.5 to 2."""
    range_text = f"from {minimum} on" if maximum == MAX_INT else f"from {minimum} to {maximum:,}"
    omit_hint = "" if is_required else ", or leave it away"
    error_template = f"{{given}} makes no sense: give a whole number {range_text}{omit_hint}."
    return build_parameter(int, lambda value: minimum <= value <= maximum, error_template)


def finite_float(is_valid: Callable[[float], bool], requirement: str) -> Parameter:
    """Finite numbers for which `holds` is true, which `wanted` says in words."""
    error_template = f"{{given}} makes no sense: give {requirement}, or leave it away."
    return build_parameter(float, lambda value: isfinite(value) and is_valid(value), error_template)


def float_range(minimum: float, maximum: float) -> Parameter:
    return finite_float(lambda value: minimum <= value <= maximum, f"a number from {minimum:g} to {maximum:g}")


Count = Annotated[int, int_range(1)]
Threads = Annotated[int, int_range(1, 1024)]  # or processes
Seed = Annotated[
    int,
    build_parameter(
        int, lambda n: 0 <= n <= MAX_INT, f"A seed is a whole number from 0 to {MAX_INT:,}, and {{given}} is none."
    ),
]
Share = Annotated[float, float_range(0, 1)]
Positive = Annotated[float, finite_float(lambda value: value > 0, "a number above 0")]
Temperature = Annotated[
    float, finite_float(lambda value: value == 0 or 1e-3 <= value <= 1e3, "0, or one from 0.001 to 1000")
]
GuidanceScale = Annotated[float, float_range(0, 100)]
