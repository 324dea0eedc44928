"""`genloom evaluate`: the quality of a model, and what its samples copy."""

import json
import math
from pathlib import Path
from typing import Literal

from genloom.cli.console import Console
from genloom.cli.options.common import (
    Battery,
    CommonOptions,
    EvalPrecision,
    EvalSplit,
    MaxBytes,
    TaskLimit,
    Tasks,
)
from genloom.cli.options.sampling import DEFAULT_TEMPERATURE, MaxTokens, SamplingTemperature
from genloom.cli.options.types import Count, Seed
from genloom.cli.output_path import resolve_output_folder
from genloom.cli.report_battery import ALL_TASKS, evaluate_battery, parse_tasks
from genloom.cli.report_copies import build_spans_report, format_copied_spans
from genloom.cli.report_features import (
    DEFAULT_NUM_SAMPLES,
    evaluate_features,
    evaluate_prompt_following,
    find_feature_module,
)
from genloom.cli.training_sources import TrainingSources, find_training_sources
from genloom.errors import GenloomError
from genloom.evaluate.charts import draw_likelihood_bars, draw_training_curve
from genloom.evaluate.likelihood import BlockLosses
from genloom.evaluate.report import Evaluation, to_report
from genloom.evaluate.text.diversity import measure_text_diversity
from genloom.evaluate.text.ngram_baseline import fit_ngram_baseline
from genloom.generate import engine
from genloom.model import Model, load_model
from genloom.model.likelihood import TextOrChat, compute_nll, count_bytes
from genloom.store.dataset import Dataset
from genloom.store.files import write_atomic
from genloom.store.workspace import Workspace
from genloom.text_format import format_count
from genloom.train.log import read_log
from genloom.trust.copied_spans import CopyReport, measure_copied_spans

DEFAULT_NUM_TEXTS = 8


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
    tasks: Tasks = ALL_TASKS,
    limit: TaskLimit | None = None,
    precision: EvalPrecision | None = None,
    out: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Measure a model on held-out data, and how much its samples copy from training data.

    Text: bits per byte with a confidence interval, beside an n-gram baseline; the diversity of samples; and the longest
    span each copied from the training text, beside what unseen text shares by chance. Images: the distance to held-out
    images with the same captions, the diversity, and the training images nearest to each. Writes charts and a JSON
    report.

    Parameters
    ----------
    model
        Model name, e.g. notes or notes/2.
    data
        Data set to measure on. [default: the one the model was trained on]
    samples
        Number of samples to generate. [default: 8 texts or 200 images]
    out
        Folder for report and charts. [default: reports/<model>, or reports/<model>-on-<data>, in the workspace]
    """
    workspace, console = common.open()
    out_folder = None if out is None else resolve_output_folder(out)
    loaded_model = load_model(workspace, model, (), precision or ("auto" if battery else "float32"))
    folder = out_folder or get_report_folder(workspace, loaded_model)
    feature_module = find_feature_module(loaded_model)
    if battery and feature_module is not None:
        evaluate_prompt_following(loaded_model, limit or 0, seed, folder, console)
        return
    if battery:
        evaluate_battery(loaded_model, parse_tasks(tasks), limit or 0, folder / "battery.json", console)
        return
    dataset, sources = resolve_dataset(workspace, loaded_model, data), find_training_sources(workspace, loaded_model)
    folder = out_folder or get_report_folder(workspace, loaded_model, dataset)
    if feature_module is not None:
        evaluate_features(
            workspace,
            loaded_model,
            feature_module,
            dataset,
            sources,
            split,
            samples or DEFAULT_NUM_SAMPLES,
            seed,
            folder,
            console,
        )
        return
    resolved_temperature = DEFAULT_TEMPERATURE if temperature is None else temperature
    sampling_options = (samples or DEFAULT_NUM_TEXTS, max_tokens, resolved_temperature, seed)
    evaluation, copied_spans = _evaluate_text(
        loaded_model, dataset, sources, split, sampling_options, max_bytes, console
    )
    report = {
        **to_report(evaluation),
        "copied": {**sources.build_report(), **build_spans_report(copied_spans)},
        "split": split,
    }
    write_atomic(folder / "evaluation.json", json.dumps(report, indent=1, ensure_ascii=False))
    write_atomic(folder / "likelihood.png", draw_likelihood_bars([evaluation]))
    curve = _draw_training_curve(workspace, loaded_model, evaluation)
    if curve is not None:
        write_atomic(folder / "training.png", curve)
    for line in [*_format_evaluation(evaluation, split), *format_copied_spans(sources, copied_spans)]:
        console.print_line(line)
    console.print_line(f"Report and charts in {folder}")
    console.print_result({**report, "folder": str(folder)})


def _evaluate_text(
    model: Model,
    dataset: Dataset,
    sources: TrainingSources,
    split: Literal["val", "test"],
    sampling_options: tuple[int, int | None, float, int],
    max_bytes: int,
    console: Console,
) -> tuple[Evaluation, CopyReport | None]:
    num_samples, max_tokens, temperature, seed = sampling_options
    chunk_scores = score_held_out_texts(model, dataset, split, max_bytes, console)
    console.print_note("Counting n-grams")
    held_out_texts = load_held_out_texts(model, dataset, split, max_bytes)
    plain_texts = [text for text in held_out_texts if isinstance(text, str)]  # n-grams cannot mask the questions
    ngram_baseline = (
        fit_ngram_baseline((i.value for i in dataset.iter_documents("train")), plain_texts)
        if len(plain_texts) == len(held_out_texts)
        else None
    )
    console.print_note(f"Generating {format_count(num_samples, 'sample')}")
    request = engine.build_request([""], num_samples, seed, (), {"max_tokens": max_tokens, "temperature": temperature})
    texts = [item for batch in engine.split_batches(request) for item in engine.run_request(model, batch).values]
    copied_spans = None
    if sources.datasets:
        console.print_note("Looking for copies")
        copied_spans = measure_copied_spans(
            texts, sources.documents("train"), sources.datasets[0].iter_documents(split)
        )
    evaluation = Evaluation(
        model.ref,
        f"{dataset.name}@{dataset.digest[:12]}:{split}",
        chunk_scores,
        ngram_baseline,
        measure_text_diversity(texts),
    )
    return evaluation, copied_spans


def resolve_dataset(workspace: Workspace, model: Model, data: str | None) -> Dataset:
    """Return the data set named, else the version the model was trained on; raise for one of another medium."""
    if data is not None:
        dataset = workspace.get_dataset(data)
        if dataset.medium != model.design.medium:
            raise GenloomError(
                "cli.evaluate_other_medium",
                model=model.ref, medium=model.design.medium, data=dataset.name, data_medium=dataset.medium,
            )  # fmt: skip
        return dataset
    assert model.folder is not None, "it was loaded from the workspace"
    data_card = model.folder.card.get("data")
    if data_card is None:
        raise GenloomError("cli.evaluate_without_data", model=model.ref)
    return workspace.get_dataset(data_card["name"], data_card["digest"])


def get_report_folder(workspace: Workspace, model: Model, dataset: Dataset | None = None) -> Path:
    """Return the folder of a model's report; one on other data than its training data has a folder of its own."""
    assert model.folder is not None, "it was loaded from the workspace"
    own_digest = (model.folder.card.get("data") or {}).get("digest")
    name = model.ref if dataset is None or dataset.digest == own_digest else f"{model.ref}-on-{dataset.name}"
    return workspace.root / "reports" / name.replace("/", "-")


def score_held_out_texts(
    model: Model, dataset: Dataset, split: Literal["val", "test"], max_bytes: int, console: Console
) -> BlockLosses:
    """Return the loss of the model on held-out text, chunk by chunk."""
    held_out_texts = load_held_out_texts(model, dataset, split, max_bytes)
    if not held_out_texts:
        raise GenloomError("cli.no_held_out_text", data=dataset.name, split=split)
    nats_and_bytes: list[tuple[float, int]] = []
    total = sum(count_bytes(text) for text in held_out_texts)
    with console.show_progress("Reading held-out text", total) as bar:
        num_bytes_done = 0
        for pair in compute_nll(model, held_out_texts):
            nats_and_bytes.append(pair)
            num_bytes_done += pair[1]
            bar.update(num_bytes_done)
    return BlockLosses.from_pairs(nats_and_bytes)


def load_held_out_texts(
    model: Model, dataset: Dataset, split: Literal["val", "test"], max_bytes: int
) -> list[TextOrChat]:
    """Return a sample of the held-out text of up to `max_bytes`, in chunks of 4,000 characters for the interval.

    For a model with a chat template, conversations stay whole: the loss is that of the answers, given the questions.
    """
    held_out_texts: list[TextOrChat] = []
    remaining_bytes = max_bytes
    has_roles = getattr(model.codec, "chat_template", None) is not None
    for item in dataset.iter_passages(split, max_bytes):
        turns = item.meta.get("turns") if has_roles else None
        for text in [turns] if turns else [item.value[n : n + 4000] for n in range(0, len(item.value), 4000)]:
            held_out_texts.append(text)
            remaining_bytes -= count_bytes(text)
            if remaining_bytes < 0:
                return held_out_texts
    return held_out_texts


def _draw_training_curve(workspace: Workspace, model: Model, evaluation: Evaluation) -> bytes | None:
    """Draw the training curve; return None if the log of the run is gone."""
    assert model.folder is not None
    try:
        log_rows = read_log(workspace.get_run(model.folder.card.get("run", "")).folder / "progress.jsonl")
    except ValueError:  # it was imported, or the run was removed
        return None
    step_rows = [row for row in log_rows if "losses" in row]
    if not step_rows:
        return None
    eval_points = [(row["step"], row["bits_per_byte"]) for row in log_rows if "bits_per_byte" in row]
    bits = [next(iter(row["losses"].values())) / math.log(2) for row in step_rows]
    unit = "bits per token" if model.design.codec != "bytes" else "bits per byte"
    plotted_points = eval_points if unit == "bits per byte" else ()
    baseline = (
        evaluation.ngram_baseline.bits_per_byte.mean if evaluation.ngram_baseline and unit == "bits per byte" else None
    )
    return draw_training_curve(
        [row["step"] for row in step_rows], bits, plotted_points, baseline, f"Training {model.ref}", unit
    )


def _format_evaluation(evaluation: Evaluation, split: str) -> list[str]:
    bits, diversity = evaluation.bits_per_byte, evaluation.diversity
    num_bytes = int(evaluation.losses.num_bytes.sum())
    lines = [
        f"{evaluation.model} on {num_bytes:,} bytes of held-out text ({split}):",
        f"  {bits.mean:.3f} bits per byte (95 % interval {bits.low:.3f} to {bits.high:.3f}); less is better",
    ]
    if evaluation.ngram_baseline is not None:
        baseline = evaluation.ngram_baseline.bits_per_byte
        lines.append(f"  {baseline.mean:.3f} for an {evaluation.ngram_baseline.order}-gram baseline (Kneser-Ney)")
    if diversity is not None:
        distinct_1, distinct_2, distinct_3, distinct_4 = (f"{share:.0%}" for share in diversity.distinct_ratios)
        distinct_text = f"words {distinct_1}, runs of two {distinct_2}, of three {distinct_3}, of four {distinct_4}"
        lines.append(f"{format_count(diversity.count, 'sample')} generated:")
        lines.append(f"  distinct: {distinct_text} (distinct-1 to -4)")
        repeated_within, repeated_across = f"{diversity.repetition:.1%}", f"{diversity.cross_overlap:.1%}"
        lines.append(
            f"  repeated: {repeated_within} of the runs of four in a sample; {repeated_across} are in others too"
        )
        if diversity.longest_loop:
            lines.append(f"  longest loop: {diversity.longest_loop} words")
    return lines
