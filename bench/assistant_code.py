"""Code that passes: pass@k on 60 own problems, and gaps in their solutions that are filled.

    python bench/assistant_code.py pass --model smollm2 --count 10
    python bench/assistant_code.py fill --model snippets --count 1 --by auto

pass: each model writes --count candidates a problem (bench/code_problems: 15 trivial, easy, medium and hard ones each,
with hidden tests that the reference solutions pass), through `Model.write_code`; the tests are hidden from the model.
pass@k is the unbiased estimator of Chen et al. 2021, its interval a bootstrap over the problems. "Best first" is the
share of problems whose candidate passes that is first when only compiling and the example in the prompt rank them.

fill: single lines, and blocks of two or three, of the solutions with at least three lines are filled through
`Model.fill_code`, with the hidden tests after it. Exact: the first candidate is the text that was there. Passing: the
first candidate, ranked without the tests, passes them.
"""

import argparse
import json
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import genloom as gl
from genloom.api.code_candidates import CodeCandidates
from genloom.assistant.code.judge import Judge
from genloom.metrics.pass_at_k import measure_pass_at_k
from genloom.metrics.statistics import compute_wilson_interval

FOLDER = Path(__file__).with_name("code_problems")
LEVELS = ("1_trivial", "2_easy", "3_medium", "4_hard")
KS = (1, 5, 10)


@dataclass(frozen=True)
class Problem:
    """A function to write, with tests that a model does not see and a solution that passes them."""

    level: str
    name: str
    signature: str
    doc: str
    tests: str
    solution: str

    @property
    def prompt(self) -> str:
        return f"{self.signature}: {self.doc}"

    @property
    def program(self) -> str:
        """The reference solution as a program."""
        return f"{self.signature}:\n{self.solution.strip(chr(10))}\n"


def load_problems(levels: Sequence[str] = LEVELS) -> list[Problem]:
    """Return the problems of these levels, from trivial upwards."""
    problems: list[Problem] = []
    for level in levels:
        table = tomllib.loads((FOLDER / f"{level}.toml").read_text(encoding="utf-8"))
        problems += [Problem(level, **entry) for entry in table["problem"]]
    return problems


@dataclass(frozen=True)
class Outcome:
    """The candidates of a problem: how many there are, how many pass, and whether the first one does."""

    problem: Problem
    num_programs: int
    num_correct: int
    is_first_correct: bool
    failures: dict[str, int]


def solve_problem(model: Any, problem: Problem, count: int, seed: int, is_chat: bool | None) -> Outcome:
    """Let a model write candidates without the tests, and judge each by them."""
    candidates = model.write_code(problem.prompt, n=count, seed=seed, is_chat=is_chat)
    judge = Judge(tests=problem.tests, name=problem.name)
    passed = [bool(each.code) and judge(each.code).is_met for each in candidates]
    sizes = [len(each.outputs) for each in candidates]
    failures: dict[str, int] = {}
    for each, has_passed, size in zip(candidates, passed, sizes, strict=True):
        if not has_passed:
            kind = classify_failure(each)
            failures[kind] = failures.get(kind, 0) + size
    num_correct = sum(size for size, has_passed in zip(sizes, passed, strict=True) if has_passed)
    return Outcome(problem, sum(sizes), num_correct, passed[0], failures)


def classify_failure(candidate: Any) -> str:
    """Return why a candidate fails, as far as it can be told without reading it."""
    verdict = candidate.verdict
    if not candidate.code:
        return "no code in the answer"
    if not verdict.is_compiled:
        return "does not compile"
    if not verdict.has_function:
        return "lacks the function"
    return "fails the example in the prompt" if verdict.examples.share < 1 or verdict.failure else "fails hidden tests"


def report_passes(name: str, outcomes: Sequence[Outcome], count: int, seconds: float) -> dict[str, Any]:
    """Print and return pass@k, by level too."""
    record: dict[str, Any] = {"model": name, "problems": len(outcomes), "candidates": count, "seconds": round(seconds)}
    groups = {"all": list(outcomes)} | {
        level: [each for each in outcomes if each.problem.level == level] for level in LEVELS
    }
    print(f"\n{name}: {len(outcomes)} problems, {count} candidates each, {seconds:.0f} s")
    for level, group in groups.items():
        if not group:
            continue
        counts = [(each.num_programs, each.num_correct) for each in group]
        row = {f"pass@{k}": measure_pass_at_k(counts, k) for k in KS if k <= count}
        first = compute_wilson_interval(sum(each.is_first_correct for each in group), len(group))
        record[level] = {key: [round(value, 4), *(round(end, 4) for end in ends)] for key, (value, ends) in row.items()}
        record[level]["best first"] = round(sum(each.is_first_correct for each in group) / len(group), 4)
        cells = [f"{key} {value:.1%} [{low:.1%}, {high:.1%}]" for key, (value, (low, high)) in row.items()]
        print(f"  {level:10} {' · '.join(cells)} · best first {first}")
    failures: dict[str, int] = {}
    for each in outcomes:
        for kind, number in each.failures.items():
            failures[kind] = failures.get(kind, 0) + number
    record["failures"] = failures
    record["solved"] = [each.problem.name for each in outcomes if each.num_correct]
    print(f"  failures: {failures}\n  solved at least once: {', '.join(record['solved']) or 'none'}")
    return record


def run_pass(ws: gl.Workspace, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    problems = load_problems()[:: arguments.every]
    records = []
    for name in arguments.model:
        model, start, outcomes = ws.model(name), time.perf_counter(), []
        for number, problem in enumerate(problems, start=1):
            outcome = solve_problem(model, problem, arguments.count, arguments.seed, arguments.chat)
            outcomes.append(outcome)
            print(f"{number:3} {problem.name:22} {outcome.num_correct:3} of {outcome.num_programs}", flush=True)
        records.append(report_passes(name, outcomes, arguments.count, time.perf_counter() - start))
    return records


@dataclass(frozen=True)
class GapCase:
    """Lines of a solution to write again, counted from 1 in the program."""

    problem: Problem
    kind: str
    first: int
    last: int


def iter_gap_cases(problems: Sequence[Problem]) -> Iterator[GapCase]:
    """Yield two single lines and a block of each solution with at least three lines."""
    for problem in problems:
        num_lines = len(problem.program.splitlines())
        if num_lines < 4:  # the signature and three lines
            continue
        yield GapCase(problem, "line", 2, 2)
        yield GapCase(problem, "line", num_lines, num_lines)
        middle = 2 + (num_lines - 2) // 2
        yield GapCase(problem, "block", middle, min(middle + 1 + (num_lines > 7), num_lines))


def fill_gap(
    model: Any, hole: GapCase, folder: Path, arguments: argparse.Namespace
) -> tuple[bool, bool, CodeCandidates]:
    """Return whether the first candidate is what was there, whether it passes the tests, and all candidates."""
    path = folder / f"{hole.problem.name}.py"
    documented = f"# {hole.problem.doc.partition(', e.g.')[0]}\n{hole.problem.program}"
    path.write_text(documented, encoding="utf-8")
    target = f"{path}:{hole.first + 1}-{hole.last + 1}"
    candidates = model.fill_code(target, n=arguments.count, seed=arguments.seed, fill_by=arguments.by)
    assert candidates.gap is not None
    is_exact = candidates.best.code.strip() == candidates.gap.original.strip()
    has_passed = Judge(tests=hole.problem.tests, name=hole.problem.name)(candidates.text).is_met
    return is_exact, has_passed, candidates


def run_fill(ws: gl.Workspace, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    records = []
    holes = list(iter_gap_cases(load_problems()[:: arguments.every]))
    for name in arguments.model:
        model, results, start, method = ws.model(name), {"line": [], "block": []}, time.perf_counter(), ""
        with TemporaryDirectory() as folder:
            for hole in holes:
                is_exact, has_passed, candidates = fill_gap(model, hole, Path(folder), arguments)
                results[hole.kind].append((is_exact, has_passed))
                method = candidates.method
        seconds = time.perf_counter() - start
        print(f"\n{name}, by {method}, {arguments.count} candidates a gap, {seconds:.0f} s")
        record: dict[str, Any] = {"model": name, "method": method, "candidates": arguments.count}
        for kind, pairs in results.items():
            if not pairs:
                continue
            exact, passing = (
                compute_wilson_interval(sum(pair[index] for pair in pairs), len(pairs)) for index in (0, 1)
            )
            print(f"  {kind:6} exact {exact} · passing {passing} · n = {len(pairs)}")
            record[kind] = {"exact": sum(p[0] for p in pairs), "passing": sum(p[1] for p in pairs), "n": len(pairs)}
        records.append(record)
    return records


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", choices=("pass", "fill", "all"), nargs="?", default="all")
    parser.add_argument("--model", action="append", help="repeatable; without it smollm2")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="one of so many problems")
    parser.add_argument("--chat", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--by", default="auto", help="tokens, prefix or auto")
    parser.add_argument("--workspace", default=None)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(argv)
    arguments.model = arguments.model or ["smollm2"]
    ws = gl.Workspace(arguments.workspace)
    records = [
        record
        for part, run in (("pass", run_pass), ("fill", run_fill))
        if arguments.part in (part, "all")
        for record in run(ws, arguments)
    ]
    if arguments.out:
        arguments.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
