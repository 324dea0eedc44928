"""Near copies of training items among samples, in the features of their medium, and their part of a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from genloom import plugins
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.training_sources import TrainingSources
from genloom.media.abilities import get_ability
from genloom.trust.near_copies import FeatureExtractor, NearCopyReport, build_reconstruction, find_near_copies


@dataclass(frozen=True)
class FeatureSpace:
    """The features that values of a medium are compared in; the extractor is loaded once."""

    module: ModuleType
    extract: FeatureExtractor


def load_features(medium: ModuleType) -> FeatureSpace | None:
    """Load the feature extractor of a medium; None for a medium without one."""
    name = get_ability(medium, "feature_extractor")
    if not name:
        return None
    module = plugins.find_part("features", name)
    return FeatureSpace(module, module.build_extractor())


def measure_near_copies(
    context: EvaluationContext, features: FeatureSpace, outputs: Sequence[Any], held_out_values: Sequence[Any]
) -> NearCopyReport | None:
    """Search the training data of the model; None if they are not here.

    The held-out values, of the same data, set the threshold of a near copy.
    """
    if not context.sources.datasets:
        return None
    context.progress.print_note("Looking for copies")
    return find_near_copies(
        outputs,
        context.sources.documents("train"),
        held_out_values,
        features.module.compute_coarse_embedding,
        features.extract,
        reconstruct=build_reconstruction(context.model.codec),
    )


def format_near_copies(sources: TrainingSources, near_copies: NearCopyReport | None) -> list[str]:
    """Return lines on how many samples are near copies of training items; None: nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if near_copies is None:
        return ["Near copies of training data: unknown", *missing_lines]
    if near_copies.threshold is None:
        return ["Near copies of training data: unknown, for lack of held-out data", *missing_lines]
    return [
        f"Near copies of training data, {sources.joined_names}:",
        f"  {near_copies.num_near_copies} of {len(near_copies.matches)} are nearer to a training item than",
        f"  95 % of the {near_copies.num_held_out} held-out ones are (distance below {near_copies.threshold:.3f})",
        *missing_lines,
    ]


def near_copies_to_json(sources: TrainingSources, near_copies: NearCopyReport | None) -> dict[str, Any]:
    """Return near copies as JSON values; null if nothing could be searched."""
    if near_copies is None:
        return {**sources.to_json(), "near_copies": None, "threshold": None, "held": 0, "nearest": None}
    nearest = [
        [{"distance": m.distance, "source": m.item.source, "licence": m.item.licence} for m in matches]
        for matches in near_copies.matches
    ]
    return {
        **sources.to_json(),
        "near_copies": near_copies.num_near_copies / len(near_copies.matches),
        "threshold": near_copies.threshold,
        "held": near_copies.num_held_out,
        "nearest": nearest,
    }
