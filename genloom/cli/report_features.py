"""The measurements of evaluate and compare on media that are compared in features, such as images."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom import plugins
from genloom.cli.console import Console
from genloom.cli.report_battery import format_interval, format_percent, print_gaps
from genloom.cli.report_copies import build_near_copies_report, format_near_copies
from genloom.cli.training_sources import TrainingSources
from genloom.codecs import fsq_tokens
from genloom.codecs.autoencoder import Autoencoder
from genloom.errors import GenloomError
from genloom.evaluate.charts import draw_accuracy_bars
from genloom.evaluate.distribution import (
    MIN_DISTANCE_SAMPLES,
    DistributionDistance,
    DistributionMetrics,
    Reconstruction,
    compare_distances,
    compute_psnr,
    measure_distance,
    measure_distribution,
)
from genloom.evaluate.image.contact_sheet import SheetImage, SheetRow, draw_contact_sheet
from genloom.evaluate.image.prompt_following import load_default_detector, load_prompts, score_prompts
from genloom.evaluate.text.battery.score import Score, compare_scores
from genloom.generate import engine
from genloom.model import Model
from genloom.model.likelihood import mean_loss
from genloom.store.dataset import Dataset, Split
from genloom.store.files import open_replacement, write_atomic
from genloom.store.workspace import Workspace
from genloom.text_format import format_table
from genloom.train.data.samples import concat_samples, encode_samples
from genloom.trust.near_copies import NearCopyReport, find_near_copies
from genloom.types import Item

DEFAULT_NUM_SAMPLES = 200
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "():\\"})
_MAX_SHEET_ROWS = 24  # samples on the sheets
_NUM_CALIBRATION = 200  # held-out values that set the threshold of a near copy


def find_feature_module(model: Model) -> ModuleType | None:
    """Return the feature extractor of the model's medium; None for a medium without one, such as text."""
    feature_name = getattr(plugins.find_part("medium", model.design.medium), "feature_extractor", "")
    return plugins.find_part("features", feature_name) if feature_name else None


@dataclass(frozen=True)
class GeneratedSet:
    """The outputs of a model on held-out captions, the held-out items, and the features of both."""

    outputs: list[Any]
    features: NDArray[np.float32]
    held_items: list[Item]
    held_features: NDArray[np.float32]


def evaluate_features(
    workspace: Workspace,
    model: Model,
    feature_module: ModuleType,
    dataset: Dataset,
    sources: TrainingSources,
    split: Split,
    num_samples: int,
    seed: int,
    folder: Path,
    console: Console,
) -> None:
    """Measure the model, print the results, and write a report and contact sheets to `folder`."""
    extract = feature_module.build_extractor()
    generated_set = generate_for_captions(
        workspace, model, feature_module, extract, dataset, split, num_samples, seed, console
    )
    console.print_note("Reading training data")
    train_items = roundtrip_items(model, list(dataset.sample_documents("train", len(generated_set.held_items))))
    metrics = measure_distribution(
        model.ref,
        f"{dataset.name}@{dataset.digest[:12]}:{split}",
        compute_held_out_loss(model, generated_set.held_items),
        generated_set.features,
        generated_set.held_features,
        extract([item.value for item in train_items]),
        measure_reconstruction(model, generated_set, extract),
    )
    near_copies = None
    if sources.datasets:
        console.print_note("Looking for copies")
        calibration_values = select_calibration_values(model, generated_set, dataset, sources.datasets[0], split)
        near_copies = find_near_copies(
            generated_set.outputs,
            sources.documents("train"),
            calibration_values,
            feature_module.compute_coarse_embedding,
            extract,
        )
    copy_report = {**sources.build_report(), **build_near_copies_report(near_copies)}
    report = {**metrics.to_report(), "features": feature_module.KEY, "copied": copy_report, "split": split}
    write_atomic(folder / "evaluation.json", json.dumps(report, indent=1, ensure_ascii=False))
    write_atomic(folder / "samples.png", draw_samples_sheet(model, generated_set))
    if near_copies is not None:
        write_atomic(folder / "copied.png", draw_copies_sheet(model, generated_set, near_copies))
    for line in [*format_metrics(metrics), *format_near_copies(sources, near_copies)]:
        console.print_line(line)
    console.print_line(f"Report and sheets in {folder}")
    console.print_result({**report, "folder": str(folder)})


def generate_for_captions(
    workspace: Workspace,
    model: Model,
    feature_module: ModuleType,
    extract: Any,
    dataset: Dataset,
    split: Split,
    num_samples: int,
    seed: int,
    console: Console,
) -> GeneratedSet:
    """Generate one output for each of `num_samples` held-out captions, and extract the features of both."""
    held_items = roundtrip_items(model, list(dataset.sample_documents(split, num_samples)))
    if len(held_items) < MIN_DISTANCE_SAMPLES:
        raise GenloomError(
            "cli.too_few_samples", split=split, data=dataset.name, count=len(held_items), minimum=MIN_DISTANCE_SAMPLES
        )
    captions = [
        escape_caption(str(item.meta.get("caption", ""))) if model.text_encoder is not None else ""
        for item in held_items
    ]
    outputs = generate_outputs(model, captions, seed, console)
    items_digest = hashlib.sha256(
        b"".join(np.ascontiguousarray(item.value).tobytes() for item in held_items)
    ).hexdigest()[:16]
    cache_path = workspace.root / "features" / f"{dataset.digest[:16]}-{split}-{items_digest}-{feature_module.KEY}.npy"
    return GeneratedSet(
        outputs, extract(outputs), held_items, load_or_extract_features(cache_path, extract, held_items)
    )


def select_calibration_values(
    model: Model, generated_set: GeneratedSet, dataset: Dataset, own_dataset: Dataset, split: Split
) -> list[Any]:
    """Return held-out values of the model's own data, which set the threshold of a near copy."""
    held_items = (
        generated_set.held_items
        if dataset.digest == own_dataset.digest
        else roundtrip_items(model, list(own_dataset.sample_documents(split, _NUM_CALIBRATION)))
    )
    return [item.value for item in subsample_evenly(held_items, _NUM_CALIBRATION)]


def subsample_evenly(values: Sequence[Any], count: int) -> list[Any]:
    """Return up to `count` values at even distances: they come in the order in which they were collected."""
    count = min(count, len(values))
    return [values[index * len(values) // count] for index in range(count)]


def escape_caption(caption: str) -> str:
    """Return the prompt for a literal caption: the characters that weigh words in prompts are escaped."""
    return caption.translate(_ESCAPES)


def generate_outputs(model: Model, captions: Sequence[str], seed: int, console: Console) -> list[Any]:
    """Generate an output for each caption."""
    request = engine.build_request(captions, 1, seed, (), {}, engine.get_nonce_pool_size(model.codec.space))
    outputs: list[Any] = []
    with console.show_progress(f"{model.ref} generates {len(captions)}", len(captions)) as bar:
        for batch in engine.split_batches(request):
            outputs += engine.run_request(model, batch).values
            bar.update(len(outputs))
    return outputs


def roundtrip_items(model: Model, items: Sequence[Item]) -> list[Item]:
    """Return the items at the size of the model's outputs: encoded and decoded by its pixel codec."""
    autoencoder = getattr(model.codec, "autoencoder", None)
    codec = model.codec if autoencoder is None else autoencoder.inner_codec
    return [Item(codec.decode(codec.encode(item.value)), item.source, item.licence, item.meta) for item in items]


def load_or_extract_features(cache_path: Path, extract: Any, items: Sequence[Item]) -> NDArray[np.float32]:
    """Return the features of items that never change, from the cache if it is there and whole."""
    if cache_path.is_file():
        try:
            features = np.load(cache_path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # the file was cut short: extract again
            features = None
        if features is not None and len(features) == len(items):
            return features
    features = extract(item.value for item in items)
    with open_replacement(cache_path) as draft, open(draft, "wb") as file:
        np.save(file, features, allow_pickle=False)
    return features


def compute_held_out_loss(model: Model, held_items: Sequence[Item]) -> float:
    samples = concat_samples(list(encode_samples(held_items, model.codec, model.conditioners)))
    return mean_loss(model, samples.build_batch(np.arange(len(samples))))


def get_coder(model: Model) -> Any:
    """Return the model itself if it is an autoencoder (quantized as it was trained), else its codec."""
    if not {"encoder", "decoder"} <= set(model.objective.network_specs):
        return model.codec
    autoencoder, levels = Autoencoder.from_model(model), tuple(getattr(model.objective, "levels", ()))
    return fsq_tokens.Codec(autoencoder, levels) if levels else autoencoder


def measure_reconstruction(model: Model, generated_set: GeneratedSet, extract: Any) -> Reconstruction | None:
    """Measure the reconstruction of held-out values by the codec or autoencoder; None if it is exact."""
    coder = get_coder(model)
    values = [item.value for item in generated_set.held_items]
    decoded_values = [coder.decode(coder.encode(value)) for value in values]
    if all(
        np.array_equal(original_value, decoded_value)
        for original_value, decoded_value in zip(values, decoded_values, strict=True)
    ):
        return None
    return Reconstruction(
        compute_psnr(values, decoded_values),
        measure_distance(extract(decoded_values), generated_set.held_features).frechet,
    )


def compare_features(
    workspace: Workspace,
    models: Sequence[Model],
    feature_module: ModuleType,
    dataset: Dataset,
    split: Split,
    num_samples: int,
    seed: int,
    path: Path,
    console: Console,
) -> None:
    """Compare both models on the same held-out captions; the verdict rests on an interval over blocks of captions."""
    extract = feature_module.build_extractor()
    generated_sets = [
        generate_for_captions(workspace, model, feature_module, extract, dataset, split, num_samples, seed, console)
        for model in models
    ]
    distances = [
        measure_distance(generated_set.features, generated_set.held_features) for generated_set in generated_sets
    ]
    gap = compare_distances(generated_sets[0].features, generated_sets[1].features, generated_sets[0].held_features)
    verdict = "no difference shown" if not gap.excludes(0.0) else "better" if gap.mean < 0 else "worse"
    rows = [
        SheetRow(SheetImage(value, str(item.meta.get("caption", ""))), [SheetImage(other_value, models[1].ref)])
        for value, other_value, item in subsample_evenly(
            list(zip(generated_sets[0].outputs, generated_sets[1].outputs, generated_sets[0].held_items, strict=True)),
            _MAX_SHEET_ROWS,
        )
    ]
    write_atomic(path, draw_contact_sheet(rows, f"{models[0].ref} beside {models[1].ref}"))
    for model, value in zip(models, distances, strict=True):
        console.print_line(f"{model.ref}: {format_distance(value)}")
    console.print_line(f"{models[1].ref} against {models[0].ref}: {verdict} (kernel distance {gap.mean:+.4f}, ")
    console.print_line(f"  95 % interval {gap.low:+.4f} to {gap.high:+.4f}, over {gap.count} blocks of captions)")
    console.print_line(f"Sheet: {path}")
    difference = {"mean": gap.mean, "low": gap.low, "high": gap.high}
    model_reports = [
        {"model": m.ref, "frechet": d.frechet, "kernel": d.kernel} for m, d in zip(models, distances, strict=True)
    ]
    console.print_result({"models": model_reports, "difference": difference, "verdict": verdict, "sheet": str(path)})


def run_prompt_battery(model: Model, limit: int, seed: int, console: Console) -> tuple[list[Score], bytes]:
    """Score with the built-in detector whether the model follows prompts, and draw a contact sheet."""
    if model.text_encoder is None:
        raise GenloomError("cli.battery_without_prompts", model=model.ref)
    battery_prompts, object_detector = load_prompts(max_per_task=limit), load_default_detector()
    outputs = generate_outputs(model, [battery_prompt.prompt for battery_prompt in battery_prompts], seed, console)
    detections = list(object_detector.detect(outputs))
    rows = [
        SheetRow(SheetImage(output, battery_prompt.prompt))
        for output, battery_prompt in zip(outputs, battery_prompts, strict=True)
    ]
    return score_prompts(battery_prompts, detections, object_detector.labels.bound), draw_contact_sheet(
        rows[:: max(1, len(rows) // 100)], f"{model.ref}, by prompt"
    )


def evaluate_prompt_following(model: Model, limit: int, seed: int, folder: Path, console: Console) -> None:
    """Score the prompts, print the table, and write report, chart and contact sheet to `folder`."""
    task_scores, sheet_png = run_prompt_battery(model, limit, seed, console)
    report = {"model": model.ref, "battery": [score.to_report() for score in task_scores]}
    write_atomic(folder / "battery.json", json.dumps(report, indent=1))
    write_atomic(folder / "battery.png", draw_accuracy_bars(task_scores, f"{model.ref}: prompt following"))
    write_atomic(folder / "prompted.png", sheet_png)
    header = ("task", "accuracy", "95 % interval", "prompts", "real scenes, same detector")
    rows = [
        (
            s.metric,
            format_percent(s.accuracy.mean),
            format_interval(s.accuracy),
            str(s.accuracy.count),
            format_percent(s.bound),
        )
        for s in task_scores
    ]
    for line in format_table([header, *rows]):
        console.print_line(line)
    console.print_line(f"Report, chart and sheet in {folder}")
    console.print_result({**report, "folder": str(folder)})


def compare_prompt_following(models: Sequence[Model], limit: int, seed: int, console: Console) -> None:
    """Print how much better the second model follows prompts than the first, prompt by prompt."""
    print_gaps(
        compare_scores(*(run_prompt_battery(model, limit, seed, console)[0] for model in models)), *models, console
    )


def draw_samples_sheet(model: Model, generated_set: GeneratedSet) -> bytes:
    rows = [
        SheetRow(SheetImage(output, str(item.meta.get("caption", ""))), [SheetImage(item.value, "held out")])
        for output, item in subsample_evenly(
            list(zip(generated_set.outputs, generated_set.held_items, strict=True)), _MAX_SHEET_ROWS
        )
    ]
    return draw_contact_sheet(rows, f"{model.ref} on held-out captions")


def draw_copies_sheet(model: Model, generated_set: GeneratedSet, near_copies: NearCopyReport) -> bytes:
    """Draw the samples nearest to training items, each beside its nearest items."""
    indices = sorted(
        range(len(generated_set.outputs)),
        key=lambda n: near_copies.matches[n][0].distance if near_copies.matches[n] else 2.0,
    )
    rows = []
    for index in indices[:_MAX_SHEET_ROWS]:
        neighbours = [
            SheetImage(
                match.item.value,
                f"{match.distance:.2f} {match.item.licence} {match.item.source}",
                rank == 0 and is_near_copy,
            )
            for rank, match in enumerate(near_copies.matches[index])
            for is_near_copy in (near_copies.is_near_copy(index),)
        ]
        rows.append(
            SheetRow(
                SheetImage(generated_set.outputs[index], str(generated_set.held_items[index].meta.get("caption", ""))),
                neighbours,
            )
        )
    return draw_contact_sheet(rows, f"Samples of {model.ref} nearest to its training data")


def format_metrics(metrics: DistributionMetrics) -> list[str]:
    """Return the metrics as lines for people."""
    held_out_distance, precision_recall, diversity = (
        metrics.distance,
        metrics.precision_recall,
        metrics.generated_diversity,
    )
    text_lines = [
        f"{metrics.model} on {held_out_distance.count} held-out captions ({metrics.dataset.rpartition(':')[2]}):",
        f"  {metrics.loss:.4f} held-out loss; lower is better, within one objective and codec",
        f"  {format_distance(held_out_distance)}; lower is better",
    ]
    if metrics.train_distance is not None:
        text_lines.append(f"  {format_distance(metrics.train_distance)} for training data instead")
    text_lines.append(f"  precision {precision_recall.precision:.0%}, recall {precision_recall.recall:.0%} (3 nearest)")
    text_lines.append(f"  density {precision_recall.density:.2f}, coverage {precision_recall.coverage:.0%} (5 nearest)")
    held_out_vendi = metrics.held_out_diversity.vendi_score
    text_lines.append(f"  Vendi score {diversity.vendi_score:.0f}; of the held-out ones {held_out_vendi:.0f}")
    if metrics.reconstruction is not None:
        reconstruction_metrics = metrics.reconstruction
        text_lines.append("Reconstruction of held-out data:")
        text_lines.append(f"  PSNR {reconstruction_metrics.psnr:.1f} dB")
        text_lines.append(f"  Fréchet distance {reconstruction_metrics.frechet:.2f} (rFID)")
    return text_lines


def format_distance(measured_distance: DistributionDistance) -> str:
    distances = f"Fréchet distance {measured_distance.frechet:.2f}, kernel distance {measured_distance.kernel:.4f}"
    return f"{distances} ({measured_distance.count} on either side)"
