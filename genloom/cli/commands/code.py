"""`genloom code`: programs that are judged in the sandbox, and gaps in files."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.api.code import write_code
from genloom.api.code_candidates import CodeCandidates
from genloom.api.signing import sign_page, write_outgoing
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.model_input import Precision
from genloom.cli.options.numbers import Share, Temperature, finite_float, int_range
from genloom.cli.options.sampling import SamplingSeed, Unmarked
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.errors import GenloomError
from genloom.text_format import format_count


@describe_like(write_code)
def run(
    prompt: str | None = None,
    /,
    *,
    fill: str | None = None,
    tests: Path | None = None,
    count: Annotated[int, int_range(1, 200)] = 8,
    model: str | None = None,
    language: str = "python",
    hide_tests: bool = False,
    fill_by: str = "auto",
    all_: bool = False,
    rate: bool = False,
    max_tokens: Annotated[int, int_range(1, 100_000)] | None = None,
    temperature: Temperature | None = None,
    top_p: Share | None = None,
    chat: Annotated[bool, Parameter(negative="--no-chat")] | None = None,
    timeout: Annotated[float, finite_float(lambda seconds: 0 < seconds <= 3600, "above 0 and at most 3600")] = 5.0,
    memory: Annotated[int, int_range(32, 65536)] = 256,
    seed: SamplingSeed | None = None,
    unmarked: Unmarked = False,
    precision: Precision = "auto",
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> int:
    """Write Python that passes tests in a sandbox, best candidate first; or fill a gap in a file.

    Candidates are compiled, and run with the examples in the prompt and with the tests, in a process that can only
    compute. The same programs are merged. Every candidate is a stored output whose record has its verdict. Exits with 1
    if none passes everything.

    Parameters
    ----------
    prompt
        Description of the function, with its signature and examples if you like.
    fill
        File and lines to write again, e.g. utils.py:10-14; the file is not changed.
    tests
        File of tests: asserts, functions test_… without fixtures, or cases of unittest.
    count
        Number of candidates.
    model
        Model. [default: the newest that can chat; with --fill one that was trained on gaps goes first]
    hide_tests
        The model does not read the tests. [default: it reads the first three asserts]
    fill_by
        tokens (both sides of the gap are read), prefix (the lines before it are continued) or auto.
    all_
        The code of every candidate, not only of the best.
    rate
        Each verdict becomes a rating of the machine rater check-code, from which the model can learn.
    max_tokens
        Maximum number of tokens of a candidate. [default: 320; of a gap by its lines]
    temperature
        Sampling temperature. [default: 0.6; 0.2 for one candidate]
    top_p
        Nucleus sampling: probability of the set of tokens to sample from. [default: 0.95]
    chat
        The prompt as a question, in the chat template. [default: for every model that has learned one]
    out
        File, or folder, for the best candidate; with --fill the whole file with it.
    """
    workspace, console = common.open()
    if fill is not None and prompt is not None:
        raise GenloomError("code.prompt_and_fill", prompt=prompt)
    if fill is None and prompt is None:
        raise GenloomError("code.nothing_asked")
    if out is not None:
        out = resolve_output_file(out, "code.py" if fill is None else Path(fill.rpartition(":")[0] or fill).name)
    options: dict[str, Any] = {
        "model": model or "",
        "tests": tests or "",
        "n": count,
        "is_rated": rate,
        "timeout": timeout,
        "memory": memory,
        "seed": seed,
        "precision": precision,
        "is_marked": not unmarked,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
    }
    with console.show_progress("Filling" if fill else "Writing code", 1.0) as bar:
        if fill is not None:
            candidates = workspace.fill_code(fill, fill_by=fill_by, progress=bar.update, **options)
        else:
            candidates = workspace.write_code(
                prompt or "",
                language=language,
                show_tests=not hide_tests,
                is_chat=chat,
                progress=bar.update,
                **options,
            )
    print_candidates(candidates, all_, console)
    if out is not None:
        signed = sign_page(candidates.best.outputs, candidates.text.encode(), out.suffix)
        write_outgoing(signed, out, console.print_note_once)
        console.print_line(f"Written to {out}")
    console.print_result(
        {
            "model": candidates.best.output.model,
            "method": candidates.method,
            "notes": list(candidates.notes),
            "passed": candidates.is_met,
            "candidates": candidates.to_records(),
        }
    )
    return 0 if candidates.is_met else 1


def print_candidates(candidates: CodeCandidates, should_show_all: bool, console: Console) -> None:
    """Print the verdict of each candidate, and the code of the best or of all."""
    total = sum(len(candidate.outputs) for candidate in candidates)
    for note in candidates.notes:
        console.print_note(f"Note: {note}.")
    console.print_line(f"{format_count(total, 'answer')}, {format_count(len(candidates), 'different program')}:")
    for number, candidate in enumerate(candidates, start=1):
        repeated = f" · {len(candidate.outputs)} times" if len(candidate.outputs) > 1 else ""
        mark = "passes" if candidate.verdict.is_met else "fails"
        console.print_line(f"{number}. {mark}: {candidate.verdict.summary}{repeated} · {candidate.output.id}")
        if number == 1 or should_show_all:
            console.print_text(f"\n{candidate.code.rstrip()}\n\n" if candidate.code.strip() else "")
