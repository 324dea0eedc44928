"""Names that tests find in the sandbox: examples of doctest, cases of unittest, and what of pytest needs no files.

A script's module: its statements run before the tests, in a process that has the standard library alone. Every name
but `pytest` begins with `_genloom`, so that none hides one of the tested program.
"""

import contextlib as _genloom_contextlib
import io as _genloom_io
import re as _genloom_re
import types as _genloom_types


def _genloom_run_example(source, want, message, flags):
    """Run an example of an interactive session, and compare what is printed with what is wanted."""
    out = _genloom_io.StringIO()
    try:
        with _genloom_contextlib.redirect_stdout(out):
            exec(compile(source + "\n", "<example>", "single"), globals())  # noqa: S102  # the purpose of the process
    except Exception as error:
        if not message:
            raise
        got = f"{type(error).__name__}: {error}".rstrip(": ")
        is_same = _genloom_is_same(message, got, flags)
        if "IGNORE_EXCEPTION_DETAIL" in flags:
            is_same = message.partition(":")[0].rpartition(".")[2] == type(error).__name__
        if not is_same:
            raise AssertionError(f"raised {got}, expected {message}") from None
        return
    if message:
        raise AssertionError(f"raised nothing, expected {message}")
    if not _genloom_is_same(want, out.getvalue(), flags):
        raise AssertionError(f"gave {out.getvalue().strip()[:100] or 'nothing'}, expected {want.strip()[:100]}")


def _genloom_is_same(want, got, flags):
    """Return whether an output is the wanted one, by the rules of doctest."""
    want, got = want.replace("<BLANKLINE>", "").strip("\n"), got.strip("\n")
    if "NORMALIZE_WHITESPACE" in flags:
        want, got = " ".join(want.split()), " ".join(got.split())
    if want == got:
        return True
    pieces = [_genloom_re.escape(piece) for piece in want.split("...")]
    return "ELLIPSIS" in flags and _genloom_re.fullmatch(".*".join(pieces), got, _genloom_re.DOTALL) is not None


def _genloom_check_equal(got, expected, source):
    """Raise AssertionError that tells what came out, unless it is what is expected."""
    if not got == expected:  # noqa: SIM201  # a type may define only one of both
        try:
            shown = f"gave {repr(got)[:60]}, expected {repr(expected)[:60]}"
        except Exception:
            shown = "gave something else"
        raise AssertionError(f"{source} {shown}")


def _genloom_run_case(case, name):
    """Run one method of a unittest.TestCase with its setUp and tearDown."""
    instance = case(name)
    case.setUpClass()
    try:
        instance.setUp()
        try:
            getattr(instance, name)()
        finally:
            instance.tearDown()
            instance.doCleanups()
    finally:
        case.tearDownClass()


class _genloom_Raises:
    """pytest.raises as a block."""

    def __init__(self, kinds, match=None):
        self.kinds, self.match, self.value, self.type = kinds, match, None, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            raise AssertionError(f"raised nothing, expected {self.kinds}")
        if not isinstance(error, self.kinds):
            return False
        if self.match is not None and not _genloom_re.search(self.match, str(error)):
            raise AssertionError(f"raised {error}, which does not match {self.match!r}")
        self.value, self.type = error, type(error)
        return True


class _genloom_Approx:
    """pytest.approx of numbers, and of lists and dicts of them."""

    def __init__(self, expected, rel=1e-6, abs=1e-12, nan_ok=False):
        self.expected, self.rel, self.abs = expected, rel or 0, abs or 0

    def __eq__(self, got):
        if isinstance(self.expected, dict):
            return set(got) == set(self.expected) and all(self._same(got[key], self.expected[key]) for key in got)
        if isinstance(self.expected, list | tuple):
            return len(got) == len(self.expected) and all(map(self._same, got, self.expected))
        return self._same(got, self.expected)

    __hash__ = None

    def _same(self, got, expected):
        limit = max(self.rel * abs(expected), self.abs)
        return got == expected or -limit <= got - expected <= limit

    def __repr__(self):
        return f"approx({self.expected!r})"


def _genloom_parametrize(names, rows, **_):
    """Return what pytest.mark.parametrize does: a function that runs the test with every row."""
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)

    def decorate(test):
        def run(**given):
            for row in rows:
                test(**given, **dict(zip(keys, row if len(keys) > 1 else [row], strict=True)))

        return run

    return decorate


class _genloom_Marks:
    """The other marks of pytest, which change nothing here."""

    parametrize = staticmethod(_genloom_parametrize)

    def __getattr__(self, name):
        return lambda *given, **_: given[0] if len(given) == 1 and callable(given[0]) else (lambda test: test)


def _genloom_fail(reason=""):
    raise AssertionError(reason)


pytest = _genloom_types.SimpleNamespace(
    raises=lambda kinds, *call, match=None, **given: (
        _genloom_Raises(kinds, match) if not call else _genloom_call_raises(kinds, call, given)
    ),
    approx=_genloom_Approx,
    mark=_genloom_Marks(),
    fail=_genloom_fail,
    param=lambda *row, **_: row if len(row) > 1 else row[0],
)


def _genloom_call_raises(kinds, call, given):
    """Run pytest.raises with a function and its arguments."""
    with _genloom_Raises(kinds) as block:
        call[0](*call[1:], **given)
    return block
