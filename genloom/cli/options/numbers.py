"""Numbers as options: plain digits within bounds; an invalid number is rejected before any work, in one sentence."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any

from cyclopts import CycloptsError, Parameter, Token

from genloom.errors import GenloomError
from genloom.settings import PLAIN_NUMBER

MAX_INT = 2**63 - 1  # seeds are stored as 64-bit integers
# Python's own functions also read 1_000, digits of other scripts, and blanks around a number.
INTEGER = re.compile(r"[+-]?[0-9]+")
AMOUNT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([kMBT]?)")
AMOUNT_UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def build_parameter(
    syntax: re.Pattern[str],
    parse: Callable[[str], Any],
    is_valid: Callable[[Any], bool],
    build_error: Callable[[Token], GenloomError],
) -> Parameter:
    """Return an option whose text is read by `parse`; raise `build_error` if the syntax or `is_valid` forbid it."""

    def convert(value_type: Any, tokens: Sequence[Token]) -> Any:
        (token,) = tokens
        try:
            value = parse(token.value) if syntax.fullmatch(token.value) else None
        except ValueError:  # thousands of digits
            value = None
        if value is None or not is_valid(value):
            error = build_error(token)
            raise CycloptsError(msg=str(error)) from error  # the parser would prefix a ValueError with its own words
        return value

    return Parameter(converter=convert)


def int_range(minimum: int, maximum: int) -> Parameter:
    """Integers from `minimum` to `maximum`; the parser alone would round 1.5 to 2."""
    return checked_int(lambda value: minimum <= value <= maximum, f"from {minimum} to {maximum:,}")


def checked_int(is_valid: Callable[[int], bool], bounds: str) -> Parameter:
    """Integers for which `is_valid` is true; `bounds` says so in words."""

    def build_error(token: Token) -> GenloomError:
        return GenloomError("cli.invalid_integer", option=token.keyword, bounds=bounds, value=token.value)

    return build_parameter(INTEGER, int, is_valid, build_error)


def amount_range(minimum: int, maximum: int) -> Parameter:
    """Integers from `minimum` to `maximum`, also as thousands, millions, billions or trillions: 7B, 1.5k."""

    def parse(text: str) -> int:
        match = AMOUNT.fullmatch(text)
        assert match is not None, text
        return round(Decimal(match[1]) * AMOUNT_UNITS[match[2]])

    def build_error(token: Token) -> GenloomError:
        bounds = f"from {minimum} to {maximum:,}"
        return GenloomError("cli.invalid_amount", option=token.keyword, bounds=bounds, value=token.value)

    return build_parameter(AMOUNT, parse, lambda value: minimum <= value <= maximum, build_error)


def finite_float(is_valid: Callable[[float], bool], requirement: str) -> Parameter:
    """Finite numbers for which `is_valid` is true; `requirement` says so in words."""

    def build_error(token: Token) -> GenloomError:
        return GenloomError("cli.invalid_number", option=token.keyword, requirement=requirement, value=token.value)

    return build_parameter(PLAIN_NUMBER, float, lambda value: isfinite(value) and is_valid(value), build_error)


def float_range(minimum: float, maximum: float) -> Parameter:
    return finite_float(lambda value: minimum <= value <= maximum, f"a number from {minimum:g} to {maximum:g}")


Count = Annotated[int, int_range(1, 10**9)]
OutputCount = Annotated[int, int_range(1, 100_000)]  # of outputs that one command generates
Threads = Annotated[int, int_range(1, 1024)]  # or processes
Seed = Annotated[int, int_range(0, MAX_INT), Parameter(help="Random seed.")]
Share = Annotated[float, float_range(0, 1)]
Minutes = Annotated[float, finite_float(lambda value: 0 < value <= 1e6, "a number above 0, at most 1,000,000")]
Penalty = Annotated[float, float_range(0.01, 100)]
Temperature = Annotated[
    float, finite_float(lambda value: value == 0 or 1e-3 <= value <= 1e3, "0, or a number from 0.001 to 1000")
]
GuidanceScale = Annotated[float, float_range(0, 100)]
