"""`genloom compare`: two models on the same held-out data."""

from pathlib import Path

from genloom.cli.commands.evaluate import resolve_dataset, score_held_out_texts
from genloom.cli.options.common import (
    Battery,
    CommonOptions,
    EvalPrecision,
    EvalSplit,
    MaxBytes,
    TaskLimit,
    Tasks,
)
from genloom.cli.options.sampling import DEFAULT_TEMPERATURE, MaxTokens
from genloom.cli.options.types import Count, Seed
from genloom.cli.output_path import resolve_output_file
from genloom.cli.report_battery import ALL_TASKS, compare_battery, parse_tasks
from genloom.cli.report_features import (
    DEFAULT_NUM_SAMPLES,
    compare_features,
    compare_prompt_following,
    find_feature_module,
)
from genloom.errors import GenloomError
from genloom.evaluate.charts import draw_comparison
from genloom.evaluate.compare import compare_evaluations
from genloom.evaluate.report import Evaluation
from genloom.generate import engine
from genloom.model import load_model
from genloom.store.files import write_atomic


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
    tasks: Tasks = ALL_TASKS,
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
        Number of images from each model. [default: 200]
    out
        PNG file of the chart, or a folder for compare.png. [default: reports/ in the workspace]
    """
    workspace, console = common.open()
    chart_path = None if out is None else resolve_output_file(out, "compare.png")
    resolved_precision = precision or ("auto" if battery else "float32")
    models = [load_model(workspace, ref, (), resolved_precision) for ref in (first, second)]
    media = [opened_model.design.medium for opened_model in models]
    if media[0] != media[1]:
        first_medium, second_medium = media
        raise GenloomError(
            "cli.compare_different_media",
            first=models[0].ref, first_medium=first_medium, second=models[1].ref, second_medium=second_medium,
        )  # fmt: skip
    feature_module = find_feature_module(models[0])
    if battery and feature_module is not None:
        compare_prompt_following(models, limit or 0, seed, console)
        return
    if battery:
        compare_battery(models[0], models[1], parse_tasks(tasks), limit or 0, console)
        return
    dataset = resolve_dataset(workspace, models[0], data)
    path = chart_path or workspace.root / "reports" / f"{models[0].ref}-{models[1].ref}.png".replace("/", "-")
    if feature_module is not None:
        compare_features(
            workspace, models, feature_module, dataset, split, samples or DEFAULT_NUM_SAMPLES, seed, path, console
        )
        return
    dataset_ref = f"{dataset.name}@{dataset.digest[:12]}:{split}"
    evaluations = [
        Evaluation(m.ref, dataset_ref, score_held_out_texts(m, dataset, split, max_bytes, console)) for m in models
    ]
    comparison = compare_evaluations(evaluations[0], evaluations[1])
    request = engine.build_request(
        [prompt], 1, seed, (), {"max_tokens": max_tokens, "temperature": DEFAULT_TEMPERATURE}
    )
    for model, evaluation in zip(models, evaluations, strict=True):
        console.print_line(f"── {model.ref}: {evaluation.bits_per_byte} bits per byte")
        console.print_text(f"{engine.run_request(model, request).values[0]}\n\n")
    write_atomic(path, draw_comparison(comparison))
    console.print_line(str(comparison))
    console.print_line(f"Chart: {path}")
    console.print_result({**comparison.to_report(), "chart": str(path)})
