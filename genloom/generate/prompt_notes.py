"""Notes on prompts: what a model does not read of them, or has not learned, for the records of outputs."""

from collections.abc import Sequence
from typing import Any

from genloom import conditioners
from genloom.caption_words import find_unknown_words
from genloom.generate import engine, token_prompts
from genloom.model import Model


def describe_prompts(model: Model, request: engine.Request) -> list[dict[str, Any]]:
    """Return the fields of each row's record about its prompt: what was not read, not learned, and what understood."""
    return [
        describe_unread(num_tokens, num_words, words) | ({"understood": text} if text else {})
        for num_tokens, num_words, words, text in zip(
            count_unread_tokens(model, request),
            count_unread_words(model, request),
            list_unknown_words(model, request),
            engine.describe_constraints(model, request),
            strict=True,
        )
    ]


def describe_unread(num_tokens: int, num_words: int = 0, unknown_words: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of the record that say what of a prompt was not read, or not learned."""
    fields = {"unread_tokens": num_tokens, "unread_words": num_words, "unknown_words": list(unknown_words)}
    return {name: value for name, value in fields.items() if value}


def count_unread_tokens(model: Model, request: engine.Request) -> list[int]:
    """Return how many tokens at the beginning of each prompt are not read: those beyond the context length."""
    if request.prompt_ids or not engine.can_continue(model):
        return [0] * len(request.prompts)
    _, max_prompt_tokens = token_prompts.compute_length_budget(
        model, int(request.params.get("max_tokens") or 0), engine.is_left_to_right(model)
    )
    lengths = {prompt: len(engine.encode_prefix(model, prompt)) + 1 for prompt in set(request.prompts)}  # and BOS
    return [max(lengths[prompt] - max_prompt_tokens, 0) for prompt in request.prompts]


def count_unread_words(model: Model, request: engine.Request) -> list[int]:
    """Return how many words at the end of each prompt its text encoder does not read."""
    find_unread = getattr(model.conditioners.get(conditioners.PROMPT), "find_unread", None)
    if find_unread is None:
        return [0] * len(request.prompts)
    counts = {prompt: len(find_unread(prompt).split()) for prompt in set(request.prompts)}
    return [counts[prompt] for prompt in request.prompts]


def list_unknown_words(model: Model, request: engine.Request) -> list[list[str]]:
    """Return the words of each prompt that no caption has of which the model learned; none where these are unknown."""
    known = model.folder.card.get("caption_words") or [] if model.folder is not None else []
    unknown = {prompt: find_unknown_words(prompt, known) for prompt in set(request.prompts)}
    return [unknown[prompt] for prompt in request.prompts]
