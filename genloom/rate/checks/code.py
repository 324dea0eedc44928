"""Whether generated Python passes its unit tests, run in a process that can do nothing but compute."""

import re
from dataclasses import dataclass

from genloom.rate.checks import CheckResult
from genloom.rate.checks.sandbox import SandboxLimits, find_confinement_error, run_sandboxed

_CODE_BLOCK = re.compile(r"^[ \t]*```(?:python|py)?[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    tests: str  # Python; each statement of it is one test, and passes if it raises nothing
    timeout_seconds: float = 5.0
    memory_mib: int = 256  # MiB
    allow_unconfined: bool = False  # run it although this machine cannot hold it; for code that you would run yourself

    def __post_init__(self) -> None:
        try:
            statements = compile(self.tests, "tests", "exec")
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"The tests of generated code are no Python: {error}.") from None
        if not self.tests.strip() or not statements.co_code:
            raise ValueError("Generated code is checked by tests, and there are none: write some asserts.")
        if self.timeout_seconds <= 0 or self.memory_mib < 32:
            raise ValueError(
                f"Tests need time and 32 MiB at least, got {self.timeout_seconds} s and {self.memory_mib} MiB."
            )


def check(text: str, config: Config) -> CheckResult:
    """The score is the share of tests that pass. A text with code blocks is its code blocks, one after the other.

    Raises ValueError where the machine cannot confine a process and the settings do not allow to go without.
    """
    if not config.allow_unconfined and (obstacle := find_confinement_error()):
        raise ValueError(
            f"Generated code cannot be tested safely here: {obstacle}. Use Linux 5.13 or newer on x86-64, "
            "or set allow_unconfined = true if you would run the code yourself."
        )
    blocks = _CODE_BLOCK.findall(text)
    outcome = run_sandboxed(
        "\n".join(blocks) if blocks else text, config.tests, SandboxLimits(config.timeout_seconds, config.memory_mib)
    )
    if outcome.failure:
        return CheckResult(0.0, False, outcome.failure)
    num_passed = sum(not test_error for test_error in outcome.test_errors)
    score = num_passed / len(outcome.test_errors)
    first_error = next((test_error for test_error in outcome.test_errors if test_error), "")
    return CheckResult(
        score,
        not first_error,
        f"{num_passed} of {len(outcome.test_errors)} tests pass" + (f"; {first_error}" if first_error else ""),
    )
