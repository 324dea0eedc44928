"""Conversations from prompts: templates filled in, and the examples most like the input before the question."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from genloom.assistant.prompts.likeness import rank_texts
from genloom.assistant.prompts.prompt import Example, Prompt
from genloom.assistant.prompts.template import Value, is_empty
from genloom.errors import GenloomError
from genloom.types import Message

CountTokens = Callable[[Sequence[Message]], int]


def build_messages(prompt: Prompt, given: Mapping[str, Value]) -> list[Message]:
    """Return the conversation that asks for an answer: the system message, the examples as turns, the question.

    Raises
    ------
    GenloomError
        What `Prompt.fill_values` raises.
    """
    values = prompt.fill_values(given)
    system = prompt.system_template.render(values).strip()
    turns = [message for example in choose_examples(prompt, given) for message in build_turn(prompt, example)]
    question = Message("user", prompt.prompt_template.render(values))
    return [*([Message("system", system)] if system else []), *turns, question]


def build_turn(prompt: Prompt, example: Example) -> list[Message]:
    """Return an example as a question and its answer."""
    question = prompt.prompt_template.render(prompt.fill_values(example.given))
    return [Message("user", question), Message("assistant", example.answer)]


def choose_examples(prompt: Prompt, given: Mapping[str, Value]) -> list[Example]:
    """Return the examples that a request shows, in their order; never one with the very input that is asked about."""
    few_shot = prompt.few_shot
    query = join_values(given)
    texts = [join_values(example.given) for example in prompt.examples]
    ranked: Sequence[int] = range(len(texts))
    if few_shot.count and few_shot.choice != "first":
        ranked = rank_texts(query, texts, by_meaning=few_shot.choice == "meaning")
    chosen = [prompt.examples[i] for i in ranked if texts[i] != query][: few_shot.count]
    if few_shot.choice == "first":
        return chosen
    return chosen[::-1] if few_shot.order == "nearest_last" else chosen


def join_values(given: Mapping[str, Value]) -> str:
    """Return the text of all variables that are given, by which inputs are compared."""
    texts = [value if isinstance(value, str) else "\n".join(value) for _, value in sorted(given.items())]
    return "\n".join(text.strip() for text in texts if not is_empty(text))


def fit_messages(prompt: Prompt, given: Mapping[str, Value], limit: int, count_tokens: CountTokens) -> list[Message]:
    """Return the conversation, with as many examples as fit into `limit` tokens.

    Raises
    ------
    GenloomError
        assistant.prompt_too_long: it does not fit without examples either.
    """
    most = min(prompt.few_shot.count, len(prompt.examples))
    for count in range(most, -1, -1):
        messages = build_messages(replace(prompt, few_shot=replace(prompt.few_shot, count=count)), given)
        num_tokens = count_tokens(messages)
        if num_tokens <= limit:
            return messages
    raise GenloomError("assistant.prompt_too_long", prompt=prompt.name, num_tokens=num_tokens, limit=limit)


def describe_template(prompt: Prompt, given: Mapping[str, Value]) -> dict[str, Any]:
    """Return the field of an output's record that says which prompt it answers, with the values given."""
    values = {name: value if isinstance(value, str) else list(value) for name, value in given.items()}
    return {"template": {"name": prompt.name, "version": prompt.version, "digest": prompt.digest, "given": values}}
