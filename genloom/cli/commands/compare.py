"""`genloom compare`: two models on the same held-out data."""

from pathlib import Path
from typing import Any

from genloom.cli.options.evaluation import EvaluationOptions
from genloom.cli.options.numbers import OutputCount
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file


def run(
    first: str,
    second: str,
    /,
    *,
    data: str | None = None,
    prompt: str = "",
    samples: OutputCount | None = None,
    evaluation: EvaluationOptions = EvaluationOptions(),
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Compare two models on the same held-out data.

    One is called better only if the confidence interval of the paired difference excludes zero.

    Parameters
    ----------
    first
        Model name, e.g. notes/1.
    second
        Other model, e.g. notes/2.
    data
        Data set to measure on. [default: that of the first model]
    prompt
        Prompt that both continue, to be read side by side.
    samples
        Number of samples from each model, for media compared by them. [default: 200 images]
    out
        PNG file of the chart, or a folder for compare.png. [default: reports/ in the workspace]
    """
    workspace, console = common.open()
    chart_path = None if out is None else resolve_output_file(out, "compare.png")
    first_model = workspace.model(first)
    options: dict[str, Any] = evaluation.to_arguments(first_model)
    options |= {"num_samples": samples or 0, "prompt": prompt}
    comparison = first_model.compare(second, data or "", progress=console, **options)
    for sample in comparison.samples:
        console.print_line(f"── {sample.heading}")
        console.print_text(f"{sample.text}\n\n")
    console.print_lines(comparison.lines)
    if evaluation.battery:
        console.print_result(comparison.to_json())
        return
    path = comparison.save(chart_path)
    console.print_line(f"Chart: {path}")
    console.print_result({**comparison.to_json(), "chart": str(path)})
