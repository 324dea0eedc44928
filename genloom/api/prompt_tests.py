"""The results of the tests of a prompt with a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genloom.api.outputs import Output

if TYPE_CHECKING:
    from genloom.assistant.prompts.checks import CheckFailure
    from genloom.assistant.prompts.template import Value


@dataclass(frozen=True)
class TestResult:
    """A test of a prompt: the values, the answer, and the checks that it does not pass."""

    given: "Mapping[str, Value]"
    output: Output
    failures: "Sequence[CheckFailure]"

    __test__ = False  # pytest collects classes by their name

    @property
    def has_passed(self) -> bool:
        return not self.failures

    def to_record(self) -> dict[str, Any]:
        return {
            "given": dict(self.given),
            "output": self.output.id,
            "answer": self.output.continuation,
            "failures": [vars(failure) for failure in self.failures],
        }


@dataclass(frozen=True)
class TestReport:
    """The tests of a prompt with a model."""

    prompt: str
    model: str
    results: tuple[TestResult, ...] = field(default=())

    __test__ = False

    @property
    def num_passed(self) -> int:
        return sum(result.has_passed for result in self.results)

    def to_record(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        results = [result.to_record() for result in self.results]
        return {"prompt": self.prompt, "model": self.model, "passed": self.num_passed, "tests": results}
