"""Evaluation of image models: distances in features, contact sheets, near copies, and prompts judged by a detector."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genloom.evaluate import by_distribution
from genloom.evaluate.battery import Battery
from genloom.evaluate.by_distribution import GeneratedSet, subsample_evenly
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.image.battery import run_battery
from genloom.evaluate.image.prompt_following import TASKS
from genloom.evaluate.report import ComparisonReport, Report
from genloom.evaluate.sampling import label_item
from genloom.media import image
from genloom.media.image.contact_sheet import SheetCell, draw_contact_sheet
from genloom.trust.near_copies import NearCopyReport

_MAX_SHEET_ROWS = 24
CELL_HEIGHT = 96  # pixels of an image on a sheet

BATTERY: Battery | None = Battery(
    TASKS,
    "models that take prompts and were trained on pictures of single things on plain ground, such as icons",
    run_battery,
)


def evaluate(context: EvaluationContext) -> Report:
    """Measure the images for held-out captions, beside the held-out images."""
    return by_distribution.evaluate(context, draw_sheets, compute_psnr)


def compare(first: EvaluationContext, second: EvaluationContext) -> ComparisonReport:
    """Compare the images of two models for the same held-out captions."""
    return by_distribution.compare(first, second, draw_pairs)


def draw_sheets(
    context: EvaluationContext, generated_set: GeneratedSet, near_copies: NearCopyReport | None
) -> dict[str, bytes]:
    """Draw samples beside the held-out images, and those nearest to training images beside these."""
    model = context.model
    pairs = list(zip(generated_set.outputs, generated_set.held_items, strict=True))
    rows = [
        (SheetCell(output, label_item(model, item)), SheetCell(item.value, "held out"))
        for output, item in subsample_evenly(pairs, _MAX_SHEET_ROWS)
    ]
    sheets = {"samples.png": draw_sheet(rows, f"{model.ref} on held-out captions")}
    if near_copies is not None:
        sheets["copied.png"] = draw_copies(context, generated_set, near_copies)
    return sheets


def draw_copies(context: EvaluationContext, generated_set: GeneratedSet, near_copies: NearCopyReport) -> bytes:
    """Draw the samples nearest to training images, each beside its nearest images."""

    def get_distance(index: int) -> float:
        return near_copies.matches[index][0].distance if near_copies.matches[index] else 2.0

    rows = []
    for index in sorted(range(len(generated_set.outputs)), key=get_distance)[:_MAX_SHEET_ROWS]:
        label = label_item(context.model, generated_set.held_items[index])
        matches = [
            SheetCell(
                match.item.value,
                f"{match.distance:.2f} {match.item.licence} {match.item.source}",
                rank == 0 and near_copies.is_near_copy(index),
            )
            for rank, match in enumerate(near_copies.matches[index])
        ]
        rows.append((SheetCell(generated_set.outputs[index], label), *matches))
    return draw_sheet(rows, f"Samples of {context.model.ref} nearest to its training data")


def draw_pairs(
    first: EvaluationContext, second: EvaluationContext, first_set: GeneratedSet, second_set: GeneratedSet
) -> bytes:
    """Draw the images of two models for the same captions."""
    triples = list(zip(first_set.outputs, second_set.outputs, first_set.held_items, strict=True))
    rows = [
        (SheetCell(value, label_item(first.model, item)), SheetCell(other_value, second.model.ref))
        for value, other_value, item in subsample_evenly(triples, _MAX_SHEET_ROWS)
    ]
    return draw_sheet(rows, f"{first.model.ref} beside {second.model.ref}")


def draw_sheet(rows: Sequence[Sequence[SheetCell]], title: str) -> bytes:
    """Draw a contact sheet as PNG."""
    return image.encode(draw_contact_sheet(rows, title, height=CELL_HEIGHT))


def compute_psnr(a_images: Sequence[NDArray[np.uint8]], b_images: Sequence[NDArray[np.uint8]]) -> float:
    """Return the mean peak signal-to-noise ratio in decibels over pairs of images; equal pairs count as 100."""
    errors = [np.square(a.astype(np.float64) - b).mean() for a, b in zip(a_images, b_images, strict=True)]
    return float(np.mean([min(100.0, 10 * np.log10(255**2 / max(error, 1e-12))) for error in errors]))
