"""A calculator: arithmetic on exact fractions, parsed by Python's own grammar and never evaluated by Python."""

import ast
import math
import operator
from collections.abc import Callable
from fractions import Fraction

from genloom.errors import GenloomError

MAX_CHARS, MAX_DEPTH = 500, 60
MAX_BITS = 20_000  # of a number on the way
MAX_DIGITS = 60  # of a result

Number = Fraction | float
_OPERATORS: dict[type, Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
_FUNCTIONS: dict[str, tuple[int, Callable[..., float | int | Number]]] = {
    **{
        name: (1, getattr(math, name))
        for name in ("sin", "cos", "tan", "asin", "acos", "atan", "exp", "log2", "log10", "degrees", "radians", "cbrt")
    },
    "sqrt": (1, lambda x: _take_root(x)),
    "ln": (1, math.log),
    "log": (2, math.log),
    "abs": (1, abs),
    "floor": (1, math.floor),
    "ceil": (1, math.ceil),
    "round": (2, lambda x, digits=0: round(x, int(digits))),
    "min": (20, min),
    "max": (20, max),
    "factorial": (1, lambda x: _compute_factorial(x)),
    "gcd": (2, lambda a, b: math.gcd(_require_whole(a), _require_whole(b))),
}


def calculate_expression(expression: str) -> str:
    """Calculate an arithmetic expression, such as (3 + 4) * 2 ** 5, sqrt(2) or 15 % of 80.

    Args:
        expression: numbers with + - * / // % ** ^ and brackets; sqrt, log, sin, round and others; pi and e
    """
    text = expression.strip().replace("^", "**").replace("×", "*").replace("÷", "/").replace("−", "-")
    text = text.replace("%of", "% of").replace("% of ", "/100*")
    if len(text) > MAX_CHARS:
        raise GenloomError(
            "tools.bad_expression", expression=expression[:80], reason=f"more than {MAX_CHARS} characters"
        )
    try:
        tree = ast.parse(text.lstrip(), mode="eval")
        return format_number(_compute_node(tree.body, 0))
    except GenloomError:
        raise
    except ZeroDivisionError:
        raise GenloomError("tools.bad_expression", expression=expression[:80], reason="division by zero") from None
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        reason = str(getattr(error, "msg", error))[:100]
        raise GenloomError("tools.bad_expression", expression=expression[:80], reason=reason) from None


def _compute_node(node: ast.AST, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ValueError("too many brackets")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _check_size(
                Fraction(str(value)) if isinstance(value, float) and math.isfinite(value) else Fraction(value)
            )
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compute_node(operand, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _compute_node(operand, depth + 1)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _raise_power(_compute_node(left, depth + 1), _compute_node(right, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _check_size(_OPERATORS[type(op)](_compute_node(left, depth + 1), _compute_node(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            most, function = _FUNCTIONS[name]
            if not 1 <= len(arguments) <= most:
                raise ValueError(f"{name} takes up to {most} numbers")
            found = function(*[_compute_node(each, depth + 1) for each in arguments])
            return _check_size(Fraction(found) if isinstance(found, int | Fraction) else found)
    raise ValueError(f"{ast.unparse(node)[:60]} is not arithmetic")


def _check_size(value: Number) -> Number:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OverflowError("the number is too large")
        return value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise OverflowError("the number is too large")
    return value


def _raise_power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent.numerator)
        if bits > MAX_BITS:
            raise OverflowError("the number is too large")
        return base ** int(exponent)
    found = float(base) ** float(exponent)
    if isinstance(found, complex):
        raise ValueError("the result is no real number")
    return _check_size(found)


def _take_root(x: Number) -> Number:
    if isinstance(x, Fraction) and x >= 0:
        top, bottom = math.isqrt(x.numerator), math.isqrt(x.denominator)
        if top * top == x.numerator and bottom * bottom == x.denominator:
            return Fraction(top, bottom)
    return math.sqrt(x)


def _require_whole(x: Number) -> int:
    if x != int(x):
        raise ValueError("a whole number is needed")
    return int(x)


def _compute_factorial(x: Number) -> int:
    if not 0 <= x <= 1000:
        raise OverflowError("factorial takes 0 to 1000")
    return math.factorial(_require_whole(x))


def format_number(value: Number) -> str:
    """Return a number in decimal digits: exact if it ends within 15 places, else to 12 significant digits."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            text = str(value.numerator) if abs(value.numerator).bit_length() < 4 * MAX_DIGITS else ""
            return text if text and len(text) <= MAX_DIGITS else _format_large(value)
        scaled = value * 10**15
        if scaled.denominator == 1 and abs(value) < 10**15:
            whole, rest = divmod(abs(scaled.numerator), 10**15)
            return f"{'-' if value < 0 else ''}{whole}.{rest:015d}".rstrip("0")
        return _format_large(value)
    return f"{value:.12g}"


def _format_large(value: Fraction) -> str:
    """Return a number of any size to 12 significant digits."""
    from decimal import Context, Decimal

    context = Context(prec=12)
    with_exponent = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return f"{with_exponent.normalize(context):g}"
