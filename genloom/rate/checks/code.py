"""Whether generated Python passes its unit tests, run in a process that can do nothing but compute."""

import re
from dataclasses import dataclass

from genloom.rate.checks import Verdict
from genloom.rate.checks.sandbox import Limits, confinement, run

_BLOCK = re.compile(r"^[ \t]*```(?:python|py)?[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    tests: str  # Python; each statement of it is one test, and passes if it raises nothing
    seconds: float = 5.0
    memory: int = 256  # MiB
    unconfined: bool = False  # run it although this machine cannot hold it; for code that you would run yourself

    def __post_init__(self) -> None:
        try:
            statements = compile(self.tests, "tests", "exec")
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"The tests of generated code are no Python: {error}.") from None
        if not self.tests.strip() or not statements.co_code:
            raise ValueError("Generated code is checked by tests, and there are none: write some asserts.")
        if self.seconds <= 0 or self.memory < 32:
            raise ValueError(f"Tests need time and 32 MiB at least, got {self.seconds} s and {self.memory} MiB.")


def check(text: str, config: Config) -> Verdict:
    """The score is the share of tests that pass. A text with code blocks is its code blocks, one after the other.

    Raises ValueError where the machine cannot confine a process and the settings do not allow to go without.
    """
    if not config.unconfined and (lack := confinement()):
        raise ValueError(
            f"Generated code cannot be tested safely here: {lack}. Use Linux 5.13 or newer on x86-64, "
            "or set unconfined = true if you would run the code yourself."
        )
    blocks = _BLOCK.findall(text)
    outcome = run("\n".join(blocks) if blocks else text, config.tests, Limits(config.seconds, config.memory))
    if outcome.failure:
        return Verdict(0.0, False, outcome.failure)
    passed = sum(not wrong for wrong in outcome.tests)
    score = passed / len(outcome.tests)
    first = next((wrong for wrong in outcome.tests if wrong), "")
    return Verdict(score, not first, f"{passed} of {len(outcome.tests)} tests pass" + (f"; {first}" if first else ""))
