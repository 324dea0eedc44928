"""`genloom copies`: what outputs and files share with training data."""

from pathlib import Path

from genloom.api.copies import copies, find_copies_of_outputs
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.errors import GenloomError
from genloom.store.files import expand_home
from genloom.text_format import format_count


@describe_like(copies)
def run(
    targets: list[str] | None = None,
    /,
    *,
    model: str | None = None,
    data: str | None = None,
    common: WorkOptions = WorkOptions(),
) -> int:
    """Show what outputs or files share with training data: the nearest items, and what is shared by chance.

    Text: the longest passages, verbatim. Music: the longest runs of notes, in any key. Images: the nearest by features
    and pixels. Each with its source and licence, beside what held-out items share. The first search builds an index of
    the data. Exits with 1 if one shares more than chance explains, or if none of the training data is here to be
    searched.

    Parameters
    ----------
    targets
        Outputs by their ids ("last" is the newest), and files.
    model
        Model whose training data are searched. [default: the one that made the output or file, if that is known]
    """
    workspace, console = common.open()
    if not targets:
        raise GenloomError("cli.copies_missing")
    files = [target for target in targets if expand_home(target).is_file()]
    outputs = [workspace.output(target) for target in targets if target not in files]
    reports = find_copies_of_outputs(workspace, outputs, model or "", data=data or "")
    reports += [workspace.copies(Path(file), model or "", data=data or "") for file in files]
    for report in reports:
        console.print_lines(report.lines)
    num_copies = sum(report.is_beyond_chance for report in reports)
    if len(reports) > 1:
        console.print_line(f"{num_copies} of {format_count(len(reports), 'value')} share more than chance explains.")
    console.print_result({"copies": [report.to_json() for report in reports], "beyond_chance": num_copies})
    return 1 if num_copies or not all(report.is_searched for report in reports) else 0
