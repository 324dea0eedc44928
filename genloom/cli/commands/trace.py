"""`genloom trace`: where something comes from, and what was made from it."""

from pathlib import Path
from typing import Literal

from genloom.api.tracing import trace
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import CommonOptions
from genloom.cli.output_path import resolve_output_file


@describe_like(trace)
def run(
    thing: str,
    /,
    *,
    forward: bool = False,
    kind: Literal["output", "model", "data", "document", "file"] | None = None,
    quick: bool = False,
    out: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Show where an output, model, data set, document or file comes from, or what was made from it.

    Exits with 1 if something in the trace is changed since it was written.

    Parameters
    ----------
    thing
        Id of an output, "last", model, data set (NAME or NAME@DIGEST), id of a document, or file.
    out
        File for the trace as a page that loads nothing from elsewhere, e.g. trace.html.
    """
    workspace, console = common.open()
    path = resolve_output_file(out, "trace.html") if out is not None else None
    found = trace(workspace, thing, forward=forward, kind=kind or "", quick=quick)
    console.print_lines(str(found).splitlines())
    if path is not None:
        found.save(path)
        console.print_line(f"The trace is in {path}")
    console.print_result({**found.to_json(), "file": None if path is None else str(path)})
    return 0 if found.is_intact else 1
