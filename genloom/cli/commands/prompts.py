"""`genloom prompts`: the prompt library."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from genloom.api.prompt_tests import TestReport
from genloom.api.prompts import Prompts
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import Seed, finite_float, int_range
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import is_folder_name
from genloom.errors import GenloomError
from genloom.program import name_program, quote_name
from genloom.text_format import format_count, format_table

if TYPE_CHECKING:
    from genloom.assistant.prompts.prompt import Prompt

Action = Literal["list", "show", "new", "test", "improve", "remove", "import", "export"]
_MAX_ANSWER_CHARS = 70
_WITHOUT_NAME = ("list", "export")
_MAX_NAMES = {"list": 0, "new": 1, "improve": 1}


@describe_like(Prompts.improve)
def run(
    action: Action = "list",
    /,
    *names: str,
    from_: Annotated[str, Parameter(name="--from")] = "",
    prompt: str = "",
    system: str | None = None,
    description: str | None = None,
    owner: str = "",
    note: str = "",
    model: str = "",
    examples: Path | None = None,
    judge: str = "exact",
    budget: Annotated[int, int_range(1, 1_000_000)] = 500,
    held_out: Annotated[float, finite_float(lambda value: 0.1 <= value <= 0.9, "a number from 0.1 to 0.9")] = 0.5,
    dry_run: bool = False,
    seed: Seed = 0,
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> int:
    """List, show, make, test and improve prompts; a changed prompt is a new version.

    A prompt is improved only if held-out examples prove it: the receipt says what was tried. Exits with 1 if a test
    fails.

    Parameters
    ----------
    action
        list, show NAME, new NAME, test NAME, improve NAME, remove NAME, import FILE, or export NAME.
    names
        Names, e.g. email, email/2 (a version; 0 is the package's) or ./email.toml. With import, files and folders.
    from_
        Prompt or file to start a new one from.
    prompt
        Template of the message: {to} is a variable, [[ about {about}]] vanishes if it is empty.
    system
        Template of the system message.
    description
        Purpose of a new prompt.
    owner
        Owner of a new prompt. [default: your user name on this machine]
    note
        Note on what changed.
    examples
        File of JSON lines: {"input": "…", "answer": "…"}, or variables by name, and checks such as "contains".
    dry_run
        Receipt only: a better prompt is not saved.
    out
        Folder for exported files, or a file.
    """
    workspace, console = common.open()
    prompts = workspace.prompts
    if not names and action not in _WITHOUT_NAME:
        raise GenloomError("assistant.prompt_name_missing", action=action)
    if len(names) > (limit := _MAX_NAMES.get(action, len(names))):
        raise GenloomError("assistant.too_many_prompt_names", action=action, count=len(names), limit=limit)
    known = {name: prompts.library.list_versions(name) for name in prompts.library.list_names()}
    if action == "list":
        _print_list(prompts, console)
    elif action == "show":
        console.print_result({"prompts": [_print_prompt(prompts, name, console) for name in names]})
    elif action == "new":
        made = _make_prompt(prompts, names[0], from_, prompt, system, description, owner, note)
        _print_saved([made], known, console)
    elif action == "import":
        _print_saved([made for path in names for made in prompts.import_prompts(path)], known, console)
    elif action == "export":
        _export_prompts(prompts, names, out or Path("prompts"), console)
    elif action == "remove":
        for name in names:
            entry = prompts.remove(name)
            console.print_hint(
                f"Removed the prompt {name}. To restore it: genloom remove --restore {quote_name(entry.name)}"
            )
        console.print_result({"removed": list(names)})
    elif action == "test":
        reports = [prompts.test(name, model=model, seed=seed, progress=not common.json) for name in names]
        return _print_tests(reports, console)
    else:
        _improve_prompt(prompts, names[0], examples, console, model, judge, budget, held_out, seed, dry_run)
    return 0


def _make_prompt(
    prompts: Prompts,
    name: str,
    copy_of: str,
    prompt: str,
    system: str | None,
    description: str | None,
    owner: str,
    note: str,
) -> "Prompt":
    return prompts.new(name, prompt, copy_of=copy_of, system=system, description=description, owner=owner, note=note)


def _improve_prompt(
    prompts: Prompts,
    name: str,
    examples: Path | None,
    console: Console,
    model: str,
    judge: str,
    budget: int,
    held_out: float,
    seed: int,
    dry_run: bool,
) -> None:
    if examples is None:
        raise GenloomError("assistant.examples_missing", name=name)
    receipt = prompts.improve(
        name,
        examples,
        model=model,
        judge=judge,
        budget=budget,
        held_out=held_out,
        seed=seed,
        should_save=not dry_run,
        progress=not console.is_json,
    )
    console.print_lines(str(receipt).splitlines())
    console.print_result(receipt.to_record())


def _print_list(prompts: Prompts, console: Console) -> None:
    known = list(prompts)
    rows = [
        (p.name, str(p.version) if p.version else "built in", p.owner or "-", str(len(p.tests)), p.description)
        for p in known
    ]
    console.print_lines(format_table([("prompt", "version", "owner", "tests", "purpose"), *rows]))
    for fault in prompts.library.list_faults():
        console.print_note(fault)
    console.print_result({"prompts": [{**_to_record(p), "purpose": p.description} for p in known]})


def _print_prompt(prompts: Prompts, ref: str, console: Console) -> dict[str, Any]:
    """Print a prompt and its versions, and return it for scripts."""
    from genloom.assistant.prompts.library import is_path
    from genloom.assistant.prompts.prompt_file import format_prompt

    prompt = prompts.get(ref)
    text = format_prompt(prompt)
    console.print_line(f"# {prompt.ref} · {prompt.digest[:12]}")
    console.print_text(text)
    versions = [] if is_path(ref) else prompts.library.list_versions(prompt.name)
    ratings = prompts.count_ratings(prompt.name)
    if versions and versions != [0]:
        loaded = [prompts.get(f"{prompt.name}/{version}") for version in versions]
        rows = [
            (
                str(p.version),
                p.created or "built in",
                p.owner or "-",
                "{} up, {} down".format(*ratings.get(p.version, (0, 0))),
                p.note,
            )
            for p in loaded
        ]
        console.print_line()
        console.print_lines(format_table([("version", "saved", "owner", "ratings", "note"), *rows]))
    return {**_to_record(prompt), "file": text, "versions": versions}


def _print_saved(saved: "Sequence[Prompt]", known: Mapping[str, Sequence[int]], console: Console) -> None:
    """Print the saved prompts, each with what became of the versions that there were before."""
    for prompt in saved:
        versions = known.get(prompt.name, ())
        if prompt.version in versions:
            console.print_line(f"Unchanged: {prompt.ref} is the same already.")
        elif versions:
            former = f"{prompt.name}/{max(versions)}"
            console.print_line(f"Saved as {prompt.ref}, which {prompt.name} means from now on; {former} stays.")
        else:
            console.print_line(f"Saved as {prompt.ref}.")
    console.print_hint(f"To use it: genloom write {quote_name(saved[0].name)}")
    console.print_result({"saved": [_to_record(prompt) for prompt in saved]})


def _export_prompts(prompts: Prompts, names: Sequence[str], out: Path, console: Console) -> None:
    paths = prompts.export(names, f"{out}/" if is_folder_name(out) else out)
    for path in paths:
        console.print_line(str(path))
    if not paths:
        console.print_note(
            name_program("The workspace has no prompts of its own. Name one: genloom prompts export email")
        )
    console.print_result({"files": [str(path) for path in paths]})


def _print_tests(reports: Sequence[TestReport], console: Console) -> int:
    for report in reports:
        for result in report.results:
            given = ", ".join(f"{name}={value}" for name, value in result.given.items())
            mark = "passed" if result.has_passed else "failed"
            console.print_line(f"{mark}  {_shorten_text(given)} → {_shorten_text(str(result.output.continuation))}")
            console.print_lines(
                (f"{failure.check}: {failure.reason}" for failure in result.failures), indent="        "
            )
        passed = f"{report.num_passed} of {format_count(len(report.results), 'test')}"
        console.print_line(f"{report.prompt} with {report.model}: {passed} passed.")
    console.print_result({"reports": [report.to_record() for report in reports]})
    return 0 if all(report.num_passed == len(report.results) for report in reports) else 1


def _shorten_text(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_ANSWER_CHARS else f"{text[: _MAX_ANSWER_CHARS - 1]}…"


def _to_record(prompt: "Prompt") -> dict[str, Any]:
    names = ("name", "version", "digest", "owner", "created", "note", "parent", "description")
    return {name: getattr(prompt, name) for name in names} | {"variables": list(prompt.variables)}
