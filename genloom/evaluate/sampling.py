"""Samples of a model for an evaluation, under the conditions of held-out items or for prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from genloom.conditioners import PROMPT, format_given
from genloom.evaluate.context import EvaluationOptions
from genloom.evaluate.progress import Progress
from genloom.generate import engine, sampling_params
from genloom.generate.engine import Request
from genloom.model import Model
from genloom.train.data.conditions import get_values
from genloom.types import Item


def generate_samples(
    model: Model, options: EvaluationOptions, num_samples: int, progress: Progress, prompt: str = ""
) -> list[Any]:
    """Generate samples of one prompt, without other conditions, by default as `generate` does."""
    params = sampling_params.add_suggested_params(model, get_sampling_params(options))
    return run_batches(model, engine.build_request([prompt], num_samples, options.seed, (), params), progress)


def generate_for_items(
    model: Model, options: EvaluationOptions, items: Sequence[Item], progress: Progress
) -> list[Any]:
    """Generate one sample for each item, under the conditions of the item."""
    given = [get_values(model.conditioners, item) for item in items]
    prompts = [str(values.pop(PROMPT, None) or "") for values in given]
    return generate_for_prompts(model, options, prompts, progress, given)


def generate_for_prompts(
    model: Model,
    options: EvaluationOptions,
    prompts: Sequence[str],
    progress: Progress,
    given: Sequence[Mapping[str, Any]] = (),
) -> list[Any]:
    """Generate one sample for each prompt and the values of the other conditions, from the model's own distribution."""
    is_sequence = engine.is_open_sequence(model.codec.space)
    request = engine.build_request(prompts, 1, options.seed, (), get_sampling_params(options), is_sequence)
    return run_batches(model, replace(request, given=tuple(given) if any(given) else ()), progress)


def get_sampling_params(options: EvaluationOptions) -> dict[str, Any]:
    """Return the parameters that the options set."""
    given = {"max_tokens": options.max_tokens, "temperature": options.temperature}
    return {**options.params, **{name: value for name, value in given.items() if value is not None}}


def run_batches(model: Model, request: Request, progress: Progress) -> list[Any]:
    """Return the values of a request of any size."""
    values: list[Any] = []
    with progress.show_progress(f"{model.ref} generates {len(request.prompts)}", len(request.prompts)) as bar:
        for batch in engine.split_batches(request, engine.fit_batch_size(model)):
            values += engine.run_request(model, batch).values
            bar.update(len(values))
    return values


def label_item(model: Model, item: Item) -> str:
    """Return the caption of an item, else the values of the model's conditions, for people."""
    if caption := str(item.meta.get("caption") or ""):
        return caption
    texts = format_given(model.conditioners, get_values(model.conditioners, item))
    return ", ".join(f"{name} {text}" for name, text in texts.items())
