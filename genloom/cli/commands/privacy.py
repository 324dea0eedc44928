"""`genloom privacy`: what a model reveals of its training data."""

from typing import Annotated

from genloom.api.privacy import measure_privacy
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import int_range
from genloom.cli.options.workspace import WorkOptions
from genloom.store.files import require_writable


@describe_like(measure_privacy)
def run(
    model: str,
    /,
    *,
    documents: Annotated[int, int_range(2, 2000)] = 100,
    precision: str = "float32",
    common: WorkOptions = WorkOptions(),
) -> int:
    """Measure what a model reveals of its training data: membership, extraction, canaries, personal data.

    Each measure has a 95 % interval and stands beside what held-out documents give by chance. The report is stored
    beside the evaluations of the model, as JSON and as a page. Exits with 1 if a measure shows that training data are
    revealed.

    Parameters
    ----------
    model
        Model name, e.g. notes or notes/2.
    """
    workspace, console = common.open()
    require_writable(workspace.folder)
    report = workspace.model(model).privacy(documents=documents, precision=precision, progress=console)
    folder = workspace.folder / "reports" / f"{report.model}-privacy".replace("/", "-")
    console.print_lines(report.lines)
    console.print_line(f"Report in {folder}")
    console.print_result({**report.to_json(), "folder": str(folder)})
    return 1 if report.is_leaking else 0
