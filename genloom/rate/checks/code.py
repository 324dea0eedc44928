"""Check generated Python by unit tests, in a process that can do nothing but compute."""

import re
from dataclasses import dataclass

from genloom.errors import GenloomError
from genloom.rate.checks import CheckResult
from genloom.rate.sandbox import SandboxLimits, find_confinement_error, run_sandboxed

_CODE_BLOCK = re.compile(r"^[ \t]*```(?:python|py)?[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE | re.IGNORECASE)
media = ("text",)
MAX_SECONDS, MAX_MEMORY_MIB = 3600.0, 1 << 16


@dataclass(frozen=True)
class Config:
    # Python; each statement is one test, which passes if it raises nothing. Names that neither the tests nor Python
    # define are the program's; `program.sum` is the program's `sum`.
    tests: str
    timeout_seconds: float = 5.0
    memory_mib: int = 256
    allow_unconfined: bool = False  # run it even if this machine cannot confine it; for code you would run yourself

    def __post_init__(self) -> None:
        try:
            statements = compile(self.tests, "tests", "exec")
        except (SyntaxError, ValueError) as error:
            raise GenloomError("rate.bad_code_tests", reason=error) from None
        if not self.tests.strip() or not statements.co_code:
            raise GenloomError("rate.no_code_tests")
        if not (0 < self.timeout_seconds <= MAX_SECONDS and 32 <= self.memory_mib <= MAX_MEMORY_MIB):  # rejects NaN too
            raise GenloomError("rate.bad_sandbox_limits", seconds=self.timeout_seconds, memory_mib=self.memory_mib)


def check(text: str, config: Config) -> CheckResult:
    """Score the share of tests that pass. Of a text with code blocks, only the blocks are run, concatenated.

    Raises GenloomError if this machine cannot confine a process and the settings do not allow running without.
    """
    if not config.allow_unconfined and (obstacle := find_confinement_error()):
        raise GenloomError("rate.no_sandbox", reason=obstacle)
    blocks = _CODE_BLOCK.findall(text)
    limits = SandboxLimits(config.timeout_seconds, config.memory_mib, must_confine=not config.allow_unconfined)
    outcome = run_sandboxed("\n".join(blocks) if blocks else text, config.tests, limits)
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
