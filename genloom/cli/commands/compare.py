"""`genloom compare`: two models side by side on the same held-out data."""

from pathlib import Path
from typing import Literal

from genloom.cli.commands.evaluate import resolve_dataset, score_held_out_texts
from genloom.cli.options.common import CommonOptions
from genloom.cli.options.types import Count, Seed
from genloom.cli.output_path import resolve_output_file
from genloom.cli.report_battery import TASKS, compare_battery, parse_tasks
from genloom.cli.report_features import (
    DEFAULT_NUM_SAMPLES,
    compare_features,
    compare_prompt_following,
    find_feature_module,
)
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
    split: Literal["val", "test"] = "val",
    prompt: str = "",
    max_tokens: Count | None = None,
    samples: Count | None = None,
    seed: Seed = 0,
    max_bytes: Count = 300_000,
    battery: bool = False,
    tasks: str = ",".join(TASKS),
    limit: Count | None = None,
    precision: str | None = None,
    out: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Set two models side by side on the same held-out data.

    Says that one is better only where the interval of their paired difference leaves no doubt.

    Parameters
    ----------
    first
        A model, like notes/1.
    second
        Another one, like notes/2.
    data
        The data set to measure on. Default: the one the first learned from.
    split
        Which held-out part.
    prompt
        What both write from, to be read side by side.
    max_tokens
        How many symbols they write at most. Default: 400.
    samples
        How many pictures each makes. Default: 200.
    seed
        Another number writes something else.
    max_bytes
        How many bytes of held-out text to read at most: passages drawn by chance, the same ones for every model.
    battery
        Ask both a few hundred questions instead: what they complete, know, reckon and follow.
    tasks
        Which questions of the battery: cloze, choice, arithmetic, instructions, with commas between.
    limit
        How many questions of each task at most. Default: all.
    precision
        How exactly it computes: float32, bfloat16, int8, int4 or auto, as generate takes it. Default: float32, and auto
        for the battery.
    out
        Where to put the chart: a PNG file, or a folder to put compare.png into. Default: reports/ in the workspace.
    """
    workspace, console = common.open()
    chart_path = None if out is None else resolve_output_file(out, "compare.png")
    resolved_precision = precision or ("auto" if battery else "float32")
    models = [load_model(workspace, ref, (), resolved_precision) for ref in (first, second)]
    media = [opened_model.design.medium for opened_model in models]
    if media[0] != media[1]:
        raise ValueError(
            f"{models[0].ref} makes {media[0]} and {models[1].ref} {media[1]}: only models of one kind can be compared."
        )
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
    request = engine.build_request([prompt], 1, seed, (), {"max_tokens": max_tokens, "temperature": 0.8})
    for model, evaluation in zip(models, evaluations, strict=True):
        console.print_line(f"── {model.ref}: {evaluation.bits_per_byte} bits per byte")
        console.print_text(f"{engine.run_request(model, request).values[0]}\n\n")
    write_atomic(path, draw_comparison(comparison))
    console.print_line(str(comparison))
    console.print_line(f"Chart: {path}")
    console.print_result({**comparison.to_report(), "chart": str(path)})
