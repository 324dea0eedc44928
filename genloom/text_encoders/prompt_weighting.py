"""Weights in prompts: `a (red:0.5) fox` makes less of the red, `a red (fox:1.3)` more of the fox."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genloom.types import TextEncoder

MAX_WEIGHT = 4.0
_NUMBER = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*")
_ESCAPABLE = "():\\"  # stand for themselves after a backslash


def encode_weighted_prompts(encoder: TextEncoder, prompts: Sequence[str]) -> list[np.ndarray]:
    """The encoder's states of the prompts, (S, width) each, those of weighted words scaled.

    Raises ValueError for a weight that cannot be read.
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
    """What a prompt says, and how much to make of each of its characters."""

    text: str
    weights: tuple[float, ...]  # one a character


@dataclass
class OpenGroup:
    """A parenthesis that is still open: where it began in the prompt and in what is read of it, and its last colon."""

    prompt_start: int
    text_start: int
    colon_position: int = -1  # in the prompt; -1: none yet
    words_end: int = 0  # where the words before the colon end, in what is read


@dataclass
class _ParserState:
    text: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    open_groups: list[OpenGroup] = field(default_factory=list)

    def append_character(self, character: str) -> None:
        self.text.append(character)
        self.weights.append(1.0)

    def close_group(self, group: OpenGroup, weight: float) -> None:
        """Leave of a group its words, with the weight; weights of groups within it multiply."""
        inner_span = slice(group.text_start + 1, group.words_end)
        self.text[group.text_start :] = self.text[inner_span]
        self.weights[group.text_start :] = [weight * inner_weight for inner_weight in self.weights[inner_span]]


def parse_weighted_prompt(prompt: str) -> WeightedPrompt:
    r"""The words of a prompt with their weights: `(fox:1.3)`, nested as one likes, from 0 to 4.

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
        raise ValueError(
            f"The prompt {prompt!r} lacks a ) after {prompt[unclosed_group.prompt_start :]!r}. {_SYNTAX_HINT}"
        )
    return WeightedPrompt("".join(state.text), tuple(state.weights))


_SYNTAX_HINT = (
    r"Weigh words like this: (fox:1.3). For parentheses or colons that are part of the text, write \( \) and \:"
)


def parse_weight(prompt: str, group: OpenGroup, end: int) -> float:
    group_text, weight_text = prompt[group.prompt_start : end + 1], prompt[group.colon_position + 1 : end]
    match = _NUMBER.fullmatch(weight_text)
    if match is None:
        raise ValueError(f"In {group_text!r} of the prompt, {weight_text.strip()!r} is no weight. {_SYNTAX_HINT}")
    weight = float(match[1])
    if weight > MAX_WEIGHT:
        raise ValueError(
            f"In {group_text!r} of the prompt, {weight:g} is too much: weights go from 0 to {MAX_WEIGHT:g}."
        )
    return weight
