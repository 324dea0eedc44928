"""`genloom upscale`: an image, enlarged by a small network."""

from pathlib import Path
from typing import Annotated

from genloom.api.upscaling import DEFAULT_FACTOR, SUFFIX, upscale
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import int_range
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file


@describe_like(upscale)
def run(
    picture: Path,
    /,
    *,
    by: Annotated[int, int_range(2, 4)] = DEFAULT_FACTOR,
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Enlarge an image 2 to 4 times by a small network that was trained on drawings; edges stay sharp.

    Parameters
    ----------
    out
        File for the enlarged image. [default: beside the image, e.g. fox-x4.png]
    """
    workspace, console = common.open()
    name = f"{picture.stem}-x{by}{SUFFIX}"
    target = resolve_output_file(picture.with_name(name) if out is None else out, name)
    with console.show_progress("Enlarging", 1.0) as bar:
        path = workspace.upscale(picture, target, by=by, note=console.print_note_once, progress=bar.update)
    console.print_line(f"Written to {path}.")
    console.print_result({"picture": str(picture), "out": str(path), "by": by})
