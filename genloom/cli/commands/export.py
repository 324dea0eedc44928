"""`genloom export`: a model leaves for other programs."""

from dataclasses import asdict
from pathlib import Path

from genloom.cli.options.common import CommonOptions
from genloom.cli.output_path import resolve_new_path
from genloom.exchange.exporter import export_model


def run(
    model: str, out: Path, /, *, to: str = "hf", precision: str | None = None, common: CommonOptions = CommonOptions()
) -> None:
    """Write a model for other programs: a Hugging Face folder, a .gguf file or a PEFT adapter.

    Parameters
    ----------
    model
        A model, like notes (its newest version) or notes/2.
    out
        A folder that is made; for gguf also a file's name that ends in .gguf.
    to
        hf (for transformers and most servers), gguf (for llama.cpp) or peft (the adapter of a tuned model alone).
    precision
        Of the weights: float32, float16 or bfloat16 for hf; float16, q8_0 or float32 for gguf. Default: for hf as the
        model is stored, for gguf float16.
    """
    workspace, console = common.open()
    resolve_new_path(out)
    with console.show_progress("Exporting", 1.0) as bar:
        export_result = export_model(workspace, model, to, out, precision, bar.update)
    console.print_line(f"Model {model!r} written to {export_result.path} in {export_result.precision}")
    console.print_line(f"Parity with the model: {export_result.parity}")
    if export_result.rounding_error:
        console.print_line(
            f"Rounding its weights to {export_result.precision} moves the logits by {100 * export_result.rounding_error:.2g} %."
        )
    summary = {"path": str(export_result.path), "to": to, "precision": export_result.precision}
    console.print_result({**summary, "parity": asdict(export_result.parity), "rounding": export_result.rounding_error})
