"""What evaluate and compare measure and show of models whose outputs are compared in features, as pictures are."""

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
from genloom.cli.console import Console, format_table
from genloom.cli.report_battery import format_interval, format_percent, print_gaps
from genloom.cli.report_copies import build_near_copies_report, format_near_copies
from genloom.cli.training_sources import TrainingSources
from genloom.codecs import fsq_tokens
from genloom.codecs.autoencoder import Autoencoder
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
from genloom.train.data.samples import concat_samples, encode_samples
from genloom.trust.near_copies import NearCopyReport, find_near_copies
from genloom.types import Item

DEFAULT_NUM_SAMPLES = 200  # where nobody says how many
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "():\\"})
_MAX_SHEET_ROWS = 24  # samples on the sheets
_NUM_CALIBRATION = 200  # held-out values that the threshold of a near copy rests on


def find_feature_module(model: Model) -> ModuleType | None:
    """The features that the model's medium is compared in; None where it is compared in another way, as texts are."""
    feature_name = getattr(plugins.find_part("medium", model.design.medium), "feature_extractor", "")
    return plugins.find_part("features", feature_name) if feature_name else None


@dataclass(frozen=True)
class GeneratedSet:
    """A model's outputs on held-out captions, with the held-out items and the features of both."""

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
    """Measure, tell, and leave a report and sheets in `folder`."""
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
            generated_set.outputs, sources.documents("train"), calibration_values, feature_module.sketch, extract
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
    """One output for each of `count` held-out captions, and the features of both."""
    held_items = roundtrip_items(model, list(dataset.sample_documents(split, num_samples)))
    if len(held_items) < MIN_DISTANCE_SAMPLES:
        raise ValueError(
            f"{len(held_items)} things of the part {split} of {dataset.name!r} are too few to tell distances. "
            f"Measure {MIN_DISTANCE_SAMPLES} or more: raise --samples, collect more, or name other data with --data."
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
    """Held-out values of the model's own data, on which the threshold of a near copy rests."""
    held_items = (
        generated_set.held_items
        if dataset.digest == own_dataset.digest
        else roundtrip_items(model, list(own_dataset.sample_documents(split, _NUM_CALIBRATION)))
    )
    return [item.value for item in subsample_evenly(held_items, _NUM_CALIBRATION)]


def subsample_evenly(values: Sequence[Any], count: int) -> list[Any]:
    """Up to `count` of them, evenly from first to last: they come in the order collected."""
    count = min(count, len(values))
    return [values[index * len(values) // count] for index in range(count)]


def escape_caption(caption: str) -> str:
    """The prompt that says a caption word for word: what stands for weights in prompts stands for itself in it."""
    return caption.translate(_ESCAPES)


def generate_outputs(model: Model, captions: Sequence[str], seed: int, console: Console) -> list[Any]:
    """What the model makes of each caption."""
    request = engine.build_request(captions, 1, seed, (), {}, engine.get_nonce_pool_size(model.codec.space))
    outputs: list[Any] = []
    with console.show_progress(f"{model.ref} makes {len(captions)}", len(captions)) as bar:
        for batch in engine.split_batches(request):
            outputs += engine.run_request(model, batch).values
            bar.update(len(outputs))
    return outputs


def roundtrip_items(model: Model, items: Sequence[Item]) -> list[Item]:
    """The items as large as the model makes its own: through the codec that its latent, if it has one, stands on."""
    autoencoder = getattr(model.codec, "autoencoder", None)
    codec = model.codec if autoencoder is None else autoencoder.inner_codec
    return [Item(codec.decode(codec.encode(item.value)), item.source, item.licence, item.meta) for item in items]


def load_or_extract_features(cache_path: Path, extract: Any, items: Sequence[Item]) -> NDArray[np.float32]:
    """The features of values that never change, from the file of an earlier look where there is one."""
    if cache_path.is_file():
        try:
            features = np.load(cache_path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # it was cut short: look again
            features = None
        if features is not None and len(features) == len(items):
            return features
    features = extract(item.value for item in items)
    with open_replacement(cache_path) as draft, open(draft, "wb") as file:
        np.save(file, features, allow_pickle=False)
    return features


def compute_held_out_loss(model: Model, held_items: Sequence[Item]) -> float:
    samples = concat_samples(list(encode_samples(held_items, model.codec, model.text_encoder)))
    return mean_loss(model, samples.build_batch(np.arange(len(samples))))


def get_coder(model: Model) -> Any:
    """What encodes and decodes in the model: itself, rounding as it was trained to, or the codec below it."""
    if not {"encoder", "decoder"} <= set(model.objective.network_specs):
        return model.codec
    autoencoder, levels = Autoencoder.from_model(model), tuple(getattr(model.objective, "levels", ()))
    return fsq_tokens.Codec(autoencoder, levels) if levels else autoencoder


def measure_reconstruction(model: Model, generated_set: GeneratedSet, extract: Any) -> Reconstruction | None:
    """What the codec, or a model that is an autoencoder, loses of the held-out values; None where nothing is lost."""
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
    """Both models on the same held-out captions, with a verdict only where blocks of them bear one out."""
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
    write_atomic(path, draw_contact_sheet(rows, f"{models[0].ref}, and beside it {models[1].ref}"))
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
    """Whether the model makes what prompts ask for, by the detector that comes with Genloom, and a sheet of it."""
    if model.text_encoder is None:
        raise ValueError(f"{model.ref} takes no prompts, so it can't be asked for anything. Train one with prompts.")
    battery_prompts, object_detector = load_prompts(max_per_task=limit), load_default_detector()
    outputs = generate_outputs(model, [battery_prompt.prompt for battery_prompt in battery_prompts], seed, console)
    detections = list(object_detector.detect(outputs))
    rows = [
        SheetRow(SheetImage(output, battery_prompt.prompt))
        for output, battery_prompt in zip(outputs, battery_prompts, strict=True)
    ]
    return score_prompts(battery_prompts, detections, object_detector.labels.bound), draw_contact_sheet(
        rows[:: max(1, len(rows) // 100)], f"{model.ref}, as asked"
    )


def evaluate_prompt_following(model: Model, limit: int, seed: int, folder: Path, console: Console) -> None:
    """Ask, look, show the table, leave report, chart and sheet in `folder`."""
    task_scores, sheet_png = run_prompt_battery(model, limit, seed, console)
    report = {"model": model.ref, "battery": [score.to_report() for score in task_scores]}
    write_atomic(folder / "battery.json", json.dumps(report, indent=1))
    write_atomic(
        folder / "battery.png", draw_accuracy_bars(task_scores, f"{model.ref}: does it draw what it is asked?")
    )
    write_atomic(folder / "prompted.png", sheet_png)
    header = ("task", "right", "95 % interval", "prompts", "real scenes, same detector")
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
    """What the second model draws rightly more than the first, prompt by prompt."""
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
    """The samples that lie nearest to a training item, with the nearest of those."""
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
    return draw_contact_sheet(rows, f"What did {model.ref} copy? The samples nearest to training data")


def format_metrics(metrics: DistributionMetrics) -> list[str]:
    """What evaluate says on the screen of how good the model is."""
    held_out_distance, precision_recall, diversity = (
        metrics.distance,
        metrics.precision_recall,
        metrics.generated_diversity,
    )
    text_lines = [
        f"{metrics.model} on {held_out_distance.count} held-out captions ({metrics.dataset.rpartition(':')[2]}):",
        f"  {metrics.loss:.4f} held-out loss; less is better, within one objective and codec",
        f"  {format_distance(held_out_distance)}; less is better",
    ]
    if metrics.train_distance is not None:
        text_lines.append(f"  {format_distance(metrics.train_distance)} for training data in its place")
    text_lines.append(f"  precision {precision_recall.precision:.0%}, recall {precision_recall.recall:.0%} (3 nearest)")
    text_lines.append(f"  density {precision_recall.density:.2f}, coverage {precision_recall.coverage:.0%} (5 nearest)")
    text_lines.append(
        f"  as varied as {diversity.vendi_score:.0f} wholly different ones (Vendi); the held-out ones: {metrics.held_out_diversity.vendi_score:.0f}"
    )
    if metrics.reconstruction is not None:
        reconstruction_metrics = metrics.reconstruction
        text_lines.append(
            f"Encoded and decoded, held-out data come back at {reconstruction_metrics.psnr:.1f} dB (PSNR),"
        )
        text_lines.append(f"  Fréchet distance {reconstruction_metrics.frechet:.2f} (rFID)")
    return text_lines


def format_distance(measured_distance: DistributionDistance) -> str:
    return f"Fréchet distance {measured_distance.frechet:.2f}, kernel distance {measured_distance.kernel:.4f} ({measured_distance.count} on either side)"
