"""`genloom export`: a model in the format of other programs."""

from dataclasses import asdict
from pathlib import Path

from genloom.api.models import Model
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import is_folder_name, resolve_new_path


@describe_like(Model.export)
def run(
    model: str, out: Path, /, *, to: str = "hf", precision: str | None = None, common: WorkOptions = WorkOptions()
) -> None:
    """Export a model to a Hugging Face folder, a .gguf file or a PEFT adapter.

    Parameters
    ----------
    model
        Model name, e.g. notes (its active version) or notes/2.
    """
    workspace, console = common.open()
    resolve_new_path(out)
    with console.show_progress("Exporting", 1.0) as bar:
        export_result = workspace.model(model).export(
            f"{out}/" if is_folder_name(out) else out,
            to=to,
            precision=precision or "",
            progress=bar.update,
            note=console.print_note_once,
        )
    console.print_line(f"Model {model!r} written to {export_result.path} in {export_result.precision}")
    console.print_line(f"Parity with the model: {export_result.parity}")
    if export_result.rounding_error:
        change = f"{100 * export_result.rounding_error:.2g} %"
        console.print_line(f"Rounding its weights to {export_result.precision} changes the logits by {change}.")
    console.print_lines(f"Licences: {note}" for note in export_result.notes)
    summary = {"path": str(export_result.path), "to": to, "precision": export_result.precision}
    console.print_result(
        {
            **summary,
            "parity": asdict(export_result.parity),
            "rounding_error": export_result.rounding_error,
            "notes": list(export_result.notes),
        }
    )
