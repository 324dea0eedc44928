"""Prompt following as a battery: images for prompts about objects, judged by the built-in detector."""

from collections.abc import Iterable

from genloom.conditioners import PROMPT
from genloom.errors import GenloomError, format_message
from genloom.evaluate.battery import BatteryContext, BatteryResult
from genloom.evaluate.charts import draw_accuracy_bars
from genloom.evaluate.context import EvaluationOptions
from genloom.evaluate.image.prompt_following import load_default_detector, load_prompts, score_prompts
from genloom.evaluate.sampling import generate_for_prompts
from genloom.media import image
from genloom.media.image.contact_sheet import SheetCell, draw_contact_sheet

_MAX_SHEET_IMAGES = 100
_CELL_HEIGHT = 96  # pixels
_MAX_CAPTIONS = 50_000  # that are searched for the nouns of the prompts


def run_battery(context: BatteryContext) -> BatteryResult:
    """Score whether the images of a model show what the prompts name; raises ValueError if it takes no prompts."""
    model = context.model
    if PROMPT not in model.conditioners:
        raise GenloomError("evaluate.battery_without_prompts", model=model.ref)
    prompts = [prompt for prompt in load_prompts(max_per_task=context.max_items) if prompt.task in context.tasks]
    detector = load_default_detector()
    options = EvaluationOptions(seed=context.seed)
    outputs = generate_for_prompts(model, options, [prompt.prompt for prompt in prompts], context.progress)
    scores = score_prompts(prompts, list(detector.detect(outputs)), detector.labels.bound)
    pairs = list(zip(outputs, prompts, strict=True))[:: max(1, len(prompts) // _MAX_SHEET_IMAGES)]
    sheet = draw_contact_sheet(
        [[SheetCell(output, prompt.prompt)] for output, prompt in pairs], f"{model.ref}, by prompt", height=_CELL_HEIGHT
    )
    files = {
        "battery.png": draw_accuracy_bars(scores, f"{model.ref}: prompt following"),
        "prompted.png": image.encode(sheet),
    }
    notes, details = [], {}
    if context.sources.datasets:
        nouns = {request.noun for prompt in prompts for request in prompt.objects}
        captions = (str(item.meta.get("caption") or "") for item in context.sources.documents("train"))
        unknown_nouns = find_missing_nouns(nouns, captions)
        details["unknown_nouns"] = sorted(unknown_nouns)
        if unknown_nouns:
            num_unknown, examples = len(unknown_nouns), ", ".join(sorted(unknown_nouns)[:3])
            notes.append(
                format_message("evaluate.unknown_nouns", count=num_unknown, total=len(nouns), examples=examples)
            )
    return BatteryResult(scores, notes, details, files)


def find_missing_nouns(nouns: Iterable[str], captions: Iterable[str]) -> set[str]:
    """Return the nouns that no caption contains."""
    missing = set(nouns)
    for _, caption in zip(range(_MAX_CAPTIONS), captions, strict=False):
        if not missing:
            break
        text = caption.lower()
        missing -= {noun for noun in missing if noun in text}
    return missing
