"""Prompt weighting: `a (red:0.5) fox` reduces the weight of red, `a red (fox:1.3)` increases that of fox."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genloom.errors import GenloomError, format_message
from genloom.types import TextEncoder

MAX_WEIGHT = 4.0
_NUMBER = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*")
_ESCAPABLE = "():\\"  # literal after a backslash
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in _ESCAPABLE})


def escape_prompt(text: str) -> str:
    """Return the prompt for a literal text: the characters that weigh words are escaped."""
    return text.translate(_ESCAPES)


def encode_weighted_prompts(encoder: TextEncoder, prompts: Sequence[str]) -> list[np.ndarray]:
    """Encode the prompts to states (S, width) each, and scale those of weighted words.

    Raise ValueError for an invalid weight.
    """
    weighted_prompts = [parse_weighted_prompt(prompt) for prompt in prompts]
    states = encoder.encode([weighted_prompt.text for weighted_prompt in weighted_prompts])
    return [
        scale_states(encoder, weighted_prompt, states_SD)
        for weighted_prompt, states_SD in zip(weighted_prompts, states, strict=True)
    ]


def scale_states(encoder: TextEncoder, weighted_prompt: "WeightedPrompt", states_SD: np.ndarray) -> np.ndarray:
    if all(weight == 1 for weight in weighted_prompt.weights):
        return states_SD
    weights = [weighted_prompt.weights[begin] for begin, _ in encoder.compute_offsets(weighted_prompt.text)]
    return states_SD * np.array(weights, np.float32)[:, None]


@dataclass(frozen=True)
class WeightedPrompt:
    """The text of a prompt, and the weight of each character."""

    text: str
    weights: tuple[float, ...]  # one per character


@dataclass
class OpenGroup:
    """An open parenthesis: its position in the prompt and in the parsed text, and its last colon."""

    prompt_start: int
    text_start: int
    colon_position: int = -1  # in the prompt; -1: none yet
    words_end: int = 0  # position of the colon in the parsed text


@dataclass
class _ParserState:
    text: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    open_groups: list[OpenGroup] = field(default_factory=list)

    def append_character(self, character: str) -> None:
        self.text.append(character)
        self.weights.append(1.0)

    def close_group(self, group: OpenGroup, weight: float) -> None:
        """Reduce a group to its words with the weight; the weights of nested groups multiply."""
        inner_span = slice(group.text_start + 1, group.words_end)
        self.text[group.text_start :] = self.text[inner_span]
        self.weights[group.text_start :] = [weight * inner_weight for inner_weight in self.weights[inner_span]]


def parse_weighted_prompt(prompt: str) -> WeightedPrompt:
    r"""Parse the weights of a prompt: `(fox:1.3)`, from 0 to 4, nested at will.

    Parentheses without a colon, and those after a backslash, `\(`, are part of the text.
    """
    state, position = _ParserState(), 0
    while position < len(prompt):
        character = prompt[position]
        if character == "\\" and prompt[position + 1 : position + 2] and prompt[position + 1] in _ESCAPABLE:
            position += 1
            state.append_character(prompt[position])
        elif character == ")" and state.open_groups and (group := state.open_groups.pop()).colon_position >= 0:
            state.close_group(group, parse_weight(prompt, group, position))
        else:
            if character == "(":
                state.open_groups.append(OpenGroup(position, len(state.text)))
            elif character == ":" and state.open_groups:
                state.open_groups[-1].colon_position, state.open_groups[-1].words_end = position, len(state.text)
            state.append_character(character)
        position += 1
    unclosed_group = next((group for group in state.open_groups if group.colon_position >= 0), None)
    if unclosed_group is not None:
        group, hint = prompt[unclosed_group.prompt_start :], format_message("text_encoders.weight_syntax")
        raise GenloomError("text_encoders.unclosed_group", prompt=prompt, group=group, hint=hint)
    return WeightedPrompt("".join(state.text), tuple(state.weights))


def parse_weight(prompt: str, group: OpenGroup, end: int) -> float:
    group_text, weight_text = prompt[group.prompt_start : end + 1], prompt[group.colon_position + 1 : end]
    match = _NUMBER.fullmatch(weight_text)
    if match is None:
        hint = format_message("text_encoders.weight_syntax")
        raise GenloomError("text_encoders.bad_weight", group=group_text, weight=weight_text.strip(), hint=hint)
    weight = float(match[1])
    if weight > MAX_WEIGHT:
        raise GenloomError("text_encoders.weight_too_large", group=group_text, weight=weight, limit=MAX_WEIGHT)
    return weight
