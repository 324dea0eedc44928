"""The verdict on a program: it is compiled, and run with examples and tests in the sandbox, which it cannot leave."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genloom.assistant.code.examples import Example, find_own_examples, normalize_example
from genloom.assistant.code.python_source import find_syntax_error, list_definitions
from genloom.assistant.code.statements import Kind, Statement, convert_examples, load_prelude, split_tests
from genloom.errors import GenloomError
from genloom.rate.sandbox import SandboxLimits, find_confinement_error, run_sandboxed

MAX_SHOWN_ERRORS = 3


@dataclass(frozen=True)
class Counts:
    """How many checks of a kind passed."""

    passed: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        return self.passed / self.total if self.total else 1.0

    def describe(self, singular: str, plural: str) -> str:
        return f"{self.passed} of {self.total} {singular if self.total == 1 else plural}" if self.total else ""


@dataclass(frozen=True)
class Verdict:
    """A program's verdict: compiled, then the examples that were asked for, its own examples, and the tests."""

    is_compiled: bool
    has_function: bool = True
    examples: Counts = Counts()
    own_examples: Counts = Counts()  # of the docstrings that the model wrote itself
    tests: Counts = Counts()
    errors: tuple[str, ...] = ()
    failure: str = ""  # why nothing could be run

    @property
    def is_met(self) -> bool:
        """Whether the program does all that was asked, as far as it was checked."""
        is_whole = self.is_compiled and self.has_function and not self.failure
        return is_whole and self.examples.share == self.tests.share == 1

    @property
    def score(self) -> float:
        """From 0 to 1; 1 only if everything passed."""
        if not self.is_compiled:
            return 0.0
        num_checks = self.examples.total + self.tests.total
        share = (self.examples.passed + self.tests.passed) / num_checks if num_checks else 1.0
        is_whole = self.has_function and not self.failure
        return round(0.2 + 0.8 * share, 6) if is_whole else 0.1

    @property
    def rank_key(self) -> tuple[float, ...]:
        """Larger is better; the examples of its own docstrings only break ties."""
        return (self.is_met, self.score, self.own_examples.share)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if not self.is_compiled:
            return f"does not compile: {self.errors[0] if self.errors else self.failure}"
        if self.failure:
            return self.failure
        parts = [
            self.tests.describe("test", "tests"),
            self.examples.describe("example", "examples"),
            self.own_examples.describe("example of its own", "examples of its own"),
        ]
        text = ", ".join(part for part in parts if part) or "compiles; nothing was there to test it with"
        if not self.has_function:
            text = f"lacks the function; {text}"
        return f"{text}; {self.errors[0]}" if self.errors else text

    def to_json(self) -> dict[str, Any]:
        return {
            "is_met": self.is_met,
            "score": self.score,
            "compiled": self.is_compiled,
            "has_function": self.has_function,
            **{
                name: [counts.passed, counts.total]
                for name, counts in (
                    ("tests", self.tests), ("examples", self.examples), ("own_examples", self.own_examples),
                )
            },
            "errors": list(self.errors),
            **({"failure": self.failure} if self.failure else {}),
        }  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """Judges programs by examples and tests, within limits of time and memory."""

    examples: tuple[Example, ...] = ()
    tests: str = ""
    name: str = ""  # of the function that a program must define; "": any
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    is_compiling_only: bool = False  # programs are not run
    trusts_docstrings: bool = False  # the examples in docstrings are a person's, not the model's

    def __post_init__(self) -> None:
        if not self.is_compiling_only and self.limits.must_confine and (obstacle := find_confinement_error()):
            raise GenloomError("rate.no_sandbox", reason=obstacle)

    def __call__(self, program: str) -> Verdict:
        """Return the verdict; a program that hangs, ends its process or takes all memory fails."""
        if error := find_syntax_error(program):
            return Verdict(False, errors=(error,))
        defined = list_definitions(program)
        has_function = self.name in defined if self.name else True
        if self.is_compiling_only:
            return Verdict(True, has_function)
        statements = self._list_statements(program)
        if not any(statement.kind != "setup" for statement in statements):
            outcome = run_sandboxed(program, "1", self.limits)
            return Verdict(True, has_function, failure=shorten_failure(outcome.failure))
        outcome = run_sandboxed(program, "\n".join(s.source for s in statements), self.limits)
        totals: dict[Kind, int] = {}
        for statement in statements:
            totals[statement.kind] = totals.get(statement.kind, 0) + 1
        if outcome.failure:
            counts = {kind: Counts(0, total) for kind, total in totals.items()}
            return build_verdict(has_function, counts, (), shorten_failure(outcome.failure))
        return read_outcome(has_function, statements, outcome.test_errors, totals)

    def _list_statements(self, program: str) -> list[Statement]:
        asked = {normalize_example(example) for example in self.examples}
        own = [example for example in find_own_examples(program) if normalize_example(example) not in asked]
        tests = split_tests(self.tests) if self.tests else []
        examples = convert_examples(self.examples, "example")
        own_kind: Kind = "example" if self.trusts_docstrings else "own"
        return [*load_prelude(), *examples, *tests, *convert_examples(own, own_kind)]


def read_outcome(
    has_function: bool, statements: Sequence[Statement], test_errors: Sequence[str], totals: dict[Kind, int]
) -> Verdict:
    """Return the verdict of a report of the sandbox, which has an error, or none, for each statement."""
    if len(test_errors) != len(statements):
        return build_verdict(has_function, {k: Counts(0, n) for k, n in totals.items()}, (), "the report is incomplete")
    failed: dict[Kind, list[str]] = {}
    for statement, error in zip(statements, test_errors, strict=True):
        if error:
            failed.setdefault(statement.kind, []).append(describe_failure(statement, error))
    counts = {kind: Counts(total - len(failed.get(kind, ())), total) for kind, total in totals.items()}
    errors = [*failed.get("setup", ()), *failed.get("test", ()), *failed.get("example", ()), *failed.get("own", ())]
    return build_verdict(has_function, counts, tuple(errors[:MAX_SHOWN_ERRORS]), "")


def build_verdict(has_function: bool, counts: dict[Kind, Counts], errors: tuple[str, ...], failure: str) -> Verdict:
    nothing = Counts()
    found = [counts.get(kind, nothing) for kind in ("example", "own", "test")]
    return Verdict(True, has_function, *found, errors, failure)


def describe_failure(statement: Statement, error: str) -> str:
    """Return what a failing check says: its label, and the error without the source that the sandbox puts before it."""
    message = error[len(statement.source.strip()[:120]) + len(" raised ") :]
    message = message.removeprefix("AssertionError: ")
    label = statement.label or " ".join(statement.source.split())[:80]
    expression = label.partition(" == ")[0]
    message = message.removeprefix(f"{expression} ") if expression != label else message
    return f"{label}: {message}" if message and message != "AssertionError" else f"{label} fails"


def shorten_failure(failure: str) -> str:
    return failure.removeprefix("the program fails: ") if failure.startswith("the program fails: Module") else failure
