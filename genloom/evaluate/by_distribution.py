"""Evaluation by distribution: the samples of a model for held-out conditions beside the held-out values, in features.

For any medium with features. A medium adds what only it has: how samples are drawn on a sheet, and how close a
reconstruction is in its own terms.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.capabilities import AutoencoderCodec, get_levels
from genloom.codecs import fsq_tokens
from genloom.codecs.autoencoder import Autoencoder
from genloom.errors import GenloomError
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.distribution import (
    MIN_DISTANCE_SAMPLES,
    DistributionDistance,
    DistributionMetrics,
    Reconstruction,
    compare_distances,
    measure_distance,
    measure_distribution,
)
from genloom.evaluate.held_out import score_samples
from genloom.evaluate.near_copies import (
    FeatureSpace,
    format_near_copies,
    load_features,
    measure_near_copies,
    near_copies_to_json,
)
from genloom.evaluate.report import ComparisonReport, Report, difference_to_json, get_verdict, without_interval
from genloom.evaluate.sampling import generate_for_items
from genloom.model import Model
from genloom.store.dataset import Dataset
from genloom.store.files import open_replacement
from genloom.text_format import format_count
from genloom.trust.near_copies import NearCopyReport
from genloom.types import Item

DEFAULT_NUM_SAMPLES = 200
_NUM_CALIBRATION = 200  # held-out values that set the threshold of a near copy


@dataclass(frozen=True)
class GeneratedSet:
    """The outputs of a model under the conditions of held-out items, the items, and the features of both."""

    outputs: list[Any]
    features: NDArray[np.floating]
    held_items: list[Item]
    held_features: NDArray[np.floating]


DrawSheets = Callable[[EvaluationContext, GeneratedSet, NearCopyReport | None], Mapping[str, bytes]]
DrawPairs = Callable[[EvaluationContext, EvaluationContext, GeneratedSet, GeneratedSet], bytes]
MeasurePairs = Callable[[Sequence[Any], Sequence[Any]], float]


def evaluate(context: EvaluationContext, draw_sheets: DrawSheets, compute_psnr: MeasurePairs | None = None) -> Report:
    """Measure the distribution of the samples, the loss, the reconstruction and the near copies."""
    model, features = context.model, require_features(context)
    generated_set = generate_set(context, features)
    context.progress.print_note("Reading training data")
    num_held_out = len(generated_set.held_items)
    train_items = roundtrip_items(model, list(context.dataset.sample_documents("train", num_held_out)))
    held_out_loss = score_samples(context, generated_set.held_items)
    reconstruction, decoded_train_features = measure_reconstruction(model, generated_set, features, compute_psnr), None
    if reconstruction is not None:
        coder = get_coder(model)
        decoded_train_features = features.extract(coder.decode(coder.encode(item.value)) for item in train_items)
    metrics = measure_distribution(
        model.ref,
        context.dataset_ref,
        held_out_loss.estimate.mean,
        generated_set.features,
        generated_set.held_features,
        features.extract([item.value for item in train_items]),
        reconstruction,
        decoded_train_features,
    )
    near_copies = None
    if context.sources.datasets:
        calibration_values = select_calibration_values(context, generated_set, context.sources.datasets[0])
        near_copies = measure_near_copies(context, features, generated_set.outputs, calibration_values)
    copied = near_copies_to_json(context.sources, near_copies)
    measures = {
        "held-out loss": metrics.loss,
        "Fréchet distance": metrics.distance.frechet,
        "precision": metrics.precision_recall.precision,
        "recall": metrics.precision_recall.recall,
    }
    return Report(
        model.ref,
        context.dataset_ref,
        {name: without_interval(value, num_held_out) for name, value in measures.items()},
        {**metrics.to_json(), "features": features.module.KEY, "copied": copied},
        [*format_metrics(metrics, held_out_loss.metric), *format_near_copies(context.sources, near_copies)],
        draw_sheets(context, generated_set, near_copies),
    )


def compare(first: EvaluationContext, second: EvaluationContext, draw_pairs: DrawPairs) -> ComparisonReport:
    """Compare both models under the same conditions; the verdict rests on an interval over blocks of held-out items."""
    features = require_features(first)
    sets = [generate_set(context, features) for context in (first, second)]
    distances = [measure_distance(each.features, each.held_features) for each in sets]
    difference = compare_distances(sets[0].features, sets[1].features, sets[0].held_features)
    refs = first.model.ref, second.model.ref
    lines = [f"{ref}: {format_distance(distance)}" for ref, distance in zip(refs, distances, strict=True)]
    lines += [
        f"{refs[1]} against {refs[0]}: {get_verdict(difference)} (kernel distance {difference.mean:+.4f}, ",
        f"  95 % interval {difference.low:+.4f} to {difference.high:+.4f}, over {difference.count} parts of the data)",
    ]
    details = {
        "models": [
            {"model": ref, "frechet": distance.frechet, "kernel": distance.kernel}
            for ref, distance in zip(refs, distances, strict=True)
        ],
        "difference": difference_to_json(difference),
    }
    chart = draw_pairs(first, second, *sets)
    return ComparisonReport(*refs, "kernel distance", difference, details, lines, chart)


def require_features(context: EvaluationContext) -> FeatureSpace:
    """Load the features of the medium; raises ValueError if it has none."""
    features = load_features(context.medium)
    if features is None:
        raise GenloomError("evaluate.no_features", medium=context.model.design.medium)
    return features


def generate_set(context: EvaluationContext, features: FeatureSpace) -> GeneratedSet:
    """Generate an output for each held-out item that is sampled, and extract the features of both."""
    model, dataset, split = context.model, context.dataset, context.split
    num_samples = context.options.num_samples or DEFAULT_NUM_SAMPLES
    held_items = roundtrip_items(model, list(dataset.sample_documents(split, num_samples)))
    if num_samples < MIN_DISTANCE_SAMPLES:
        raise GenloomError("evaluate.too_few_samples", value=num_samples, minimum=MIN_DISTANCE_SAMPLES)
    if len(held_items) < MIN_DISTANCE_SAMPLES:
        count = format_count(len(held_items), "item")
        raise GenloomError(
            "evaluate.too_few_items", split=split, data=dataset.name, count=count, minimum=MIN_DISTANCE_SAMPLES
        )
    outputs = generate_for_items(model, context.options, held_items, context.progress)
    digest = hashlib.sha256(b"".join(context.medium.encode(item.value) for item in held_items)).hexdigest()[:16]
    cache_name = f"{dataset.digest[:16]}-{split}-{digest}-{features.module.KEY}.npy"
    held_features = load_or_extract_features(
        context.workspace.root / "features" / cache_name, features.extract, held_items
    )
    return GeneratedSet(outputs, features.extract(outputs), held_items, held_features)


def select_calibration_values(
    context: EvaluationContext, generated_set: GeneratedSet, own_dataset: Dataset
) -> list[Any]:
    """Return held-out values of the model's own data, which set the threshold of a near copy."""
    held_items = (
        generated_set.held_items
        if context.dataset.digest == own_dataset.digest
        else roundtrip_items(context.model, list(own_dataset.sample_documents(context.split, _NUM_CALIBRATION)))
    )
    return [item.value for item in subsample_evenly(held_items, _NUM_CALIBRATION)]


def subsample_evenly(values: Sequence[Any], count: int) -> list[Any]:
    """Return up to `count` values at even distances: they come in the order in which they were collected."""
    count = min(count, len(values))
    return [values[index * len(values) // count] for index in range(count)]


def roundtrip_items(model: Model, items: Sequence[Item]) -> list[Item]:
    """Return the items at the size of the model's outputs: encoded and decoded by its lossless codec."""
    autoencoder = model.codec.autoencoder if isinstance(model.codec, AutoencoderCodec) else None
    codec = model.codec if autoencoder is None else autoencoder.inner_codec
    return [Item(codec.decode(codec.encode(item.value)), item.source, item.licence, item.meta) for item in items]


def load_or_extract_features(cache_path: Path, extract: Any, items: Sequence[Item]) -> NDArray[np.floating]:
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


def get_coder(model: Model) -> Any:
    """Return the model itself if it is an autoencoder (quantized as it was trained), else its codec."""
    if not {"encoder", "decoder"} <= set(model.objective.network_specs):
        return model.codec
    autoencoder, levels = Autoencoder.from_model(model), get_levels(model.objective)
    return fsq_tokens.Codec(autoencoder, levels) if levels else autoencoder


def measure_reconstruction(
    model: Model, generated_set: GeneratedSet, features: FeatureSpace, compute_psnr: MeasurePairs | None
) -> Reconstruction | None:
    """Measure the reconstruction of held-out values by the codec or autoencoder; None if it is exact."""
    coder = get_coder(model)
    values = [item.value for item in generated_set.held_items]
    decoded_values = [coder.decode(coder.encode(value)) for value in values]
    if all(np.array_equal(value, decoded) for value, decoded in zip(values, decoded_values, strict=True)):
        return None
    distance = measure_distance(features.extract(decoded_values), generated_set.held_features)
    return Reconstruction(compute_psnr(values, decoded_values) if compute_psnr else None, distance.frechet)


def format_metrics(metrics: DistributionMetrics, loss_name: str) -> list[str]:
    """Return the metrics as lines for people."""
    held_out_distance, precision_recall = metrics.distance, metrics.precision_recall
    lines = [
        f"{metrics.model} on {held_out_distance.count} held-out samples ({metrics.dataset.rpartition(':')[2]}):",
        f"  {metrics.loss:.4f} {loss_name}; lower is better, comparable within this objective and codec only",
        f"  {format_distance(held_out_distance)}; lower is better",
    ]
    if metrics.train_distance is not None:
        lines.append(f"  {format_distance(metrics.train_distance)} for training data instead")
    if metrics.decoded_train_distance is not None:
        lines.append(f"  {format_distance(metrics.decoded_train_distance)} for training data through the codec")
    lines.append(f"  precision {precision_recall.precision:.0%}, recall {precision_recall.recall:.0%} (3 nearest)")
    lines.append(f"  density {precision_recall.density:.2f}, coverage {precision_recall.coverage:.0%} (5 nearest)")
    vendi_score, held_out_score = metrics.generated_diversity.vendi_score, metrics.held_out_diversity.vendi_score
    lines.append(f"  Vendi score {vendi_score:.0f}; of the held-out ones {held_out_score:.0f}")
    if metrics.reconstruction is not None:
        lines.append("Reconstruction of held-out data:")
        if metrics.reconstruction.psnr is not None:
            lines.append(f"  PSNR {metrics.reconstruction.psnr:.1f} dB")
        lines.append(f"  Fréchet distance {metrics.reconstruction.frechet:.2f} (rFID)")
    return lines


def format_distance(measured_distance: DistributionDistance) -> str:
    distances = f"Fréchet distance {measured_distance.frechet:.2f}, kernel distance {measured_distance.kernel:.4f}"
    return f"{distances} ({measured_distance.count} on either side)"
