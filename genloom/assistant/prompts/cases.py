"""Cases of a task: values of a prompt's variables with the right answer, and the checks that an answer must pass."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genloom.assistant.prompts.checks import AnswerChecks, check_answer
from genloom.assistant.prompts.prompt import Example, Prompt
from genloom.assistant.prompts.prompt_file import build_checks, split_checks
from genloom.assistant.prompts.requests import join_values
from genloom.assistant.prompts.template import Value
from genloom.errors import GenloomError, format_suggestion
from genloom.settings import read_bounded_text

Judge = Literal["exact", "contains", "json"]
JUDGES: tuple[Judge, ...] = ("exact", "contains", "json")
CHECK_PREFIX = "check:"  # of a judge that is a check of genloom.rate
MAX_FILE_BYTES = 20_000_000
MAX_CASES = 10_000
_INPUT, _ANSWER = "input", "answer"


@dataclass(frozen=True)
class Case:
    """Values of the variables, the checks of an answer, and a right answer if one is known."""

    given: Mapping[str, Value]
    checks: AnswerChecks
    answer: str = ""

    def is_right(self, answer: str) -> bool:
        return not check_answer(answer, self.checks)

    def to_example(self) -> Example:
        return Example(self.answer, self.given)


@dataclass(frozen=True)
class CaseSplit:
    """Cases that variants of a prompt learn from and are chosen by, and those that prove the best one."""

    train: tuple[Case, ...]
    held_out: tuple[Case, ...]

    @property
    def held_out_digest(self) -> str:
        """SHA-256 over the held-out inputs: a second proof on the same ones needs more evidence."""
        return hash_text("\n\n".join(sorted(join_values(case.given) for case in self.held_out)))


def read_cases(path: Path, prompt: Prompt, judge: str = "exact") -> list[Case]:
    """Read the cases in a file of JSON lines; one that has the input of another is left out.

    A line is an object: the values of the variables by name (or in "given", or as "input" if one is needed),
    "answer", and checks as a prompt's tests have. A case without checks is judged by its answer, as `judge` says.

    Raises
    ------
    GenloomError
        core.unreadable_file; assistant.bad_case: a line is wrong; assistant.no_cases: there is none;
        assistant.unknown_judge.
    """
    text = read_bounded_text(path, "the examples", MAX_FILE_BYTES)
    rows = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not rows:
        raise GenloomError("assistant.no_cases", path=path)
    if len(rows) > MAX_CASES:
        raise GenloomError("assistant.too_many", what="examples", count=len(rows), limit=MAX_CASES)
    cases = []
    for number, line in rows:
        try:
            cases.append(parse_case(json.loads(line), prompt, judge))
        except RecursionError:
            raise GenloomError("assistant.bad_case", path=path, line=number, reason="it is nested too deep.") from None
        except ValueError as error:
            if isinstance(error, GenloomError) and error.code == "assistant.unknown_judge":
                raise
            raise GenloomError("assistant.bad_case", path=path, line=number, reason=error) from None
    return list({join_values(case.given): case for case in reversed(cases)}.values())[::-1]


def parse_case(row: Any, prompt: Prompt, judge: str = "exact") -> Case:
    """Return the case that a JSON value describes.

    Raises
    ------
    GenloomError
        assistant.case_not_object, assistant.answer_missing; assistant.unknown_judge; and what `Prompt.fill_values` and
        `AnswerChecks` raise.
    """
    if not isinstance(row, dict):
        raise GenloomError("assistant.case_not_object")
    checks_table, others = split_checks(row)
    others, given = dict(others), {}
    answer = others.pop(_ANSWER, "")
    answer = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    if isinstance(others.get("given"), dict):
        given |= others.pop("given")
    if _INPUT in others and _INPUT not in prompt.variables:
        names = prompt.required_variables or list(prompt.variables)
        if len(names) != 1:
            raise GenloomError("assistant.input_of_several", names=", ".join(names) or "—")
        given[names[0]] = others.pop(_INPUT)
    given |= others
    given = {name: str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for name, v in given.items()}
    prompt.fill_values(given)
    checks = build_checks(checks_table, "checks")
    if checks.is_empty:
        checks = build_answer_checks(answer, judge)
    return Case(given, checks, answer)


def build_answer_checks(answer: str, judge: str) -> AnswerChecks:
    """Return the checks of an answer that is compared with the right one, or by a check of genloom.rate."""
    if judge.startswith(CHECK_PREFIX):
        return AnswerChecks(check=(judge.removeprefix(CHECK_PREFIX),))
    if judge not in JUDGES:
        known = f"{', '.join(JUDGES)}, {CHECK_PREFIX}SPEC"
        raise GenloomError("assistant.unknown_judge", judge=judge, hint=format_suggestion(judge, JUDGES), known=known)
    if not answer.strip():
        raise GenloomError("assistant.answer_missing")
    match judge:
        case "contains":
            return AnswerChecks(contains=(answer,))
        case "json":
            return AnswerChecks(json_equals=answer)
    return AnswerChecks(equals=answer)


def split_cases(cases: Sequence[Case], held_out_share: float, seed: int) -> CaseSplit:
    """Split cases into those to learn from and those to prove with: by a hash of their inputs, with exact shares."""
    ordered = sorted(cases, key=lambda case: hash_text(f"{seed}:{join_values(case.given)}"))
    count = round(len(cases) * held_out_share)
    return CaseSplit(tuple(ordered[count:]), tuple(ordered[:count]))


def require_enough(split: CaseSplit, min_train: int, min_held_out: int) -> None:
    """Raise GenloomError (assistant.too_few_cases) if too few cases are left to learn from or to prove with."""
    if len(split.train) < min_train or len(split.held_out) < min_held_out:
        raise GenloomError(
            "assistant.too_few_cases",
            train=len(split.train),
            held_out=len(split.held_out),
            min_train=min_train,
            min_held_out=min_held_out,
        )


def add_examples(prompt: Prompt, cases: Sequence[Case]) -> Prompt:
    """Return the prompt with the cases whose answer is known as its examples."""
    return replace(prompt, examples=tuple(case.to_example() for case in cases if case.answer.strip()))


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
