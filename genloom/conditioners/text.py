"""A text as a condition: a prompt, whose states a network attends to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from genloom import plugins
from genloom.settings import parse_settings
from genloom.text_encoders.prompt_weighting import encode_weighted_prompts, escape_prompt, parse_weighted_prompt
from genloom.types import Condition, ConditionSpec, Item, TextEncoder


@dataclass(frozen=True)
class Config:
    encoder: str = "minilm"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the encoder
    column: str = "caption"  # of the data set


def build(config: Config) -> "TextConditioner":
    module = plugins.find_part("text_encoder", config.encoder)
    encoder_config = parse_settings(module.Config, config.settings, "text_encoder")
    return TextConditioner(_load_encoder(config.encoder, encoder_config), config.column)


@lru_cache(maxsize=2)
def _load_encoder(name: str, config: Any) -> TextEncoder:
    """Load a text encoder. It is never trained, so models share it."""
    return plugins.find_part("text_encoder", name).build(config)


@dataclass(frozen=True)
class TextConditioner:
    """Values are prompts, in which `(fox:1.3)` weighs words."""

    encoder: TextEncoder
    column: str = "caption"

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(tokens=self.encoder.width)

    def get_value(self, item: Item) -> str | None:
        """Return the caption as a prompt, without weights."""
        return escape_prompt(str(item.meta.get(self.column) or "")) or None

    def encode(self, values: Sequence[str | None]) -> Condition:
        """Pad the states of all rows; a row without states gets one masked state."""
        states = encode_weighted_prompts(self.encoder, [value or "" for value in values])
        sizes_B = np.array([len(states_SD) for states_SD in states])
        tokens_BSD = np.zeros((len(states), max(1, sizes_B.max(initial=0)), self.encoder.width), np.float32)
        for row, states_SD in zip(tokens_BSD, states, strict=True):
            row[: len(states_SD)] = states_SD
        mask_BS = np.arange(tokens_BSD.shape[1]) < sizes_B[:, None]
        return Condition(torch.from_numpy(tokens_BSD), torch.from_numpy(mask_BS))

    def find_unread(self, value: str) -> str:
        """Return the end of a prompt that the encoder does not read; "" if it reads all words."""
        text = parse_weighted_prompt(value).text
        offsets = self.encoder.compute_offsets(text)
        rest = text[offsets[-1][1] :] if offsets else ""
        return rest if any(map(str.isalnum, rest)) else ""

    reads_files = False  # a text is the value itself

    def parse(self, text: str) -> str:
        return text

    def format(self, value: str) -> str:
        return value

    def pack(self, value: str, save_blob: Callable[[bytes, str], str]) -> str:
        return value

    def unpack(self, stored: str, load_blob: Callable[[str], bytes]) -> str:
        return stored
