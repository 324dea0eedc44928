"""`genloom compare`: two models on the same held-out data."""

from pathlib import Path
from typing import Any

from genloom.cli.options.common import (
    Battery,
    CommonOptions,
    EvalPrecision,
    EvalSplit,
    MaxBytes,
    TaskLimit,
    Tasks,
    parse_tasks,
)
from genloom.cli.options.sampling import MaxTokens
from genloom.cli.options.types import Count, Seed
from genloom.cli.output_path import resolve_output_file


def run(
    first: str,
    second: str,
    /,
    *,
    data: str | None = None,
    split: EvalSplit = "val",
    prompt: str = "",
    max_tokens: MaxTokens | None = None,
    samples: Count | None = None,
    seed: Seed = 0,
    max_bytes: MaxBytes = 300_000,
    battery: Battery = False,
    tasks: Tasks | None = None,
    limit: TaskLimit | None = None,
    precision: EvalPrecision | None = None,
    out: Path | None = None,
    common: CommonOptions = CommonOptions(),
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
    options: dict[str, Any] = {"seed": seed}
    if not battery:
        options |= {"num_samples": samples or 0, "max_tokens": max_tokens, "max_bytes": max_bytes, "prompt": prompt}
    comparison = workspace.model(first).compare(
        second,
        data or "",
        split=split,
        battery=battery,
        tasks=parse_tasks(tasks),
        limit=limit or 0,
        precision=precision or "",
        progress=console,
        **options,
    )
    for sample in comparison.samples:
        console.print_line(f"── {sample.heading}")
        console.print_text(f"{sample.text}\n\n")
    for line in comparison.lines:
        console.print_line(line)
    if battery:
        console.print_result(comparison.to_json())
        return
    path = comparison.save(chart_path)
    console.print_line(f"Chart: {path}")
    console.print_result({**comparison.to_json(), "chart": str(path)})
