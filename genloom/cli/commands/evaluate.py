"""`genloom evaluate`: the quality of a model, and what its samples copy."""

from pathlib import Path
from typing import Any

from genloom.api.models import Model
from genloom.cli.descriptions import describe_like
from genloom.cli.options.cluster import ClusterAddress
from genloom.cli.options.evaluation import EvaluationOptions
from genloom.cli.options.numbers import OutputCount
from genloom.cli.options.sampling import SamplingTemperature
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_report_folder
from genloom.store.files import require_writable


@describe_like(Model.evaluate)
def run(
    model: str,
    /,
    *,
    data: str | None = None,
    samples: OutputCount | None = None,
    temperature: SamplingTemperature | None = None,
    evaluation: EvaluationOptions = EvaluationOptions(),
    on: ClusterAddress = "",
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
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
    samples
        Number of samples to generate. [default: 8 texts, 200 images or 32 of another medium]
    out
        Folder for report and charts. [default: reports/<model>, or reports/<model>-on-<data>, in the workspace]
    """
    workspace, console = common.open()
    out_folder = None if out is None else resolve_report_folder(out)
    if out is None:  # else it would be found after the work
        require_writable(workspace.folder)
    evaluated = workspace.model(model)
    options: dict[str, Any] = evaluation.to_arguments(evaluated)
    options |= {"num_samples": samples or 0, "temperature": temperature}
    report = evaluated.evaluate(data or "", on=on, progress=console, **options)
    folder = report.save(out_folder)
    console.print_lines(report.lines)
    console.print_line(f"Report and charts in {folder}")
    console.print_result({**report.to_json(), "folder": str(folder)})
