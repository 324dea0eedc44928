"""`genloom evaluate`: the quality of a model, and what its samples copy."""

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
from genloom.cli.options.sampling import MaxTokens, SamplingTemperature
from genloom.cli.options.types import Count, Seed
from genloom.cli.output_path import resolve_output_folder


def run(
    model: str,
    /,
    *,
    data: str | None = None,
    split: EvalSplit = "val",
    samples: Count | None = None,
    max_tokens: MaxTokens | None = None,
    temperature: SamplingTemperature | None = None,
    seed: Seed = 0,
    max_bytes: MaxBytes = 300_000,
    battery: Battery = False,
    tasks: Tasks | None = None,
    limit: TaskLimit | None = None,
    precision: EvalPrecision | None = None,
    out: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Measure a model on held-out data, and how much its samples copy from training data.

    Text: bits per byte with a confidence interval, beside an n-gram baseline; the diversity of samples; and the longest
    span each copied from the training text, beside what unseen text shares by chance. Images: the distance to held-out
    images with the same captions, the diversity, and the training images nearest to each. Other media: the held-out
    loss, and how many samples are without problems. Writes charts and a JSON report.

    Parameters
    ----------
    model
        Model name, e.g. notes or notes/2.
    data
        Data set to measure on. [default: the one the model was trained on]
    samples
        Number of samples to generate. [default: 8 texts, 200 images or 32 of another medium]
    out
        Folder for report and charts. [default: reports/<model>, or reports/<model>-on-<data>, in the workspace]
    """
    workspace, console = common.open()
    out_folder = None if out is None else resolve_output_folder(out)
    options: dict[str, Any] = {"seed": seed}
    if not battery:
        options |= {"num_samples": samples or 0, "max_tokens": max_tokens, "temperature": temperature}
        options["max_bytes"] = max_bytes
    evaluation = workspace.model(model).evaluate(
        data or "",
        split=split,
        battery=battery,
        tasks=parse_tasks(tasks),
        limit=limit or 0,
        precision=precision or "",
        progress=console,
        **options,
    )
    folder = evaluation.save(out_folder)
    for line in evaluation.lines:
        console.print_line(line)
    console.print_line(f"Report and charts in {folder}")
    console.print_result({**evaluation.to_json(), "folder": str(folder)})
