"""Conditioners: named conditions of a sample, from the data set to the ledger.

Conditions of one kind are concatenated: vectors along D, fields along C; there is one condition of tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from genloom.errors import GenloomError, format_message, format_suggestion
from genloom.networks.embedding import read_field
from genloom.types import Condition, Conditioner, ConditionSpec

PROMPT = "prompt"  # the condition that prompts are the values of
Conditioners = Mapping[str, Conditioner]
Given = Mapping[str, Any]  # the values of a row by condition; a missing one is not given


def merge_specs(conditioners: Conditioners) -> ConditionSpec:
    """Return what all conditions add to the input of a network. Raise ValueError for several of tokens."""
    specs = {name: conditioner.spec for name, conditioner in conditioners.items()}
    token_names = [name for name, spec in specs.items() if spec.tokens]
    if len(token_names) > 1:
        raise GenloomError("conditioners.several_of_tokens", names=", ".join(token_names))
    return ConditionSpec(
        *(sum(getattr(spec, kind) for spec in specs.values()) for kind in ("tokens", "vector", "field"))
    )


def merge_conditions(conditions: Mapping[str, Condition]) -> Condition:
    """Concatenate the conditions of the same rows, in the order of their names."""

    def concat(kind: str) -> Tensor | None:
        tensors = [t for cond in conditions.values() if (t := getattr(cond, kind)) is not None]
        return torch.cat(tensors, 1) if len(tensors) > 1 else next(iter(tensors), None)

    return Condition(concat("tokens"), concat("mask"), concat("vector"), concat("field"))


def shift_field(cond: Condition, offsets_B: Sequence[int]) -> Condition:
    """Return the condition of rows that begin this many tokens into their sequences: fields lose that many columns."""
    if cond.field is None or not any(offsets_B):
        return cond
    count, channels, length = cond.field.flatten(2).shape
    columns_BL = torch.tensor(offsets_B)[:, None] + torch.arange(length)
    return replace(cond, field=read_field(cond, columns_BL, count, channels))


def encode_given(conditioners: Conditioners, given: Sequence[Given]) -> dict[str, Condition]:
    """Encode the values of rows, by condition."""
    return {
        name: conditioner.encode([values.get(name) for values in given]) for name, conditioner in conditioners.items()
    }


def check_names(conditioners: Conditioners, names: Sequence[str]) -> None:
    """Raise ValueError for the name of a condition that the model does not have, with those that it has."""
    for name in names:
        if name not in conditioners:
            hint = format_suggestion(name, conditioners)
            known = ", ".join(conditioners) or format_message("conditioners.none")
            raise GenloomError("conditioners.unknown", name=name, known=known, hint=hint)


def split_assignments(texts: Sequence[str]) -> list[dict[str, str]]:
    """Split texts like "logp=2.5" by condition, into one row of values for each combination of those with one name.

    Return no row for no texts. Raise ValueError for a text without a "=".
    """
    values_by_name: dict[str, dict[str, None]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise GenloomError("conditioners.bad_assignment", value=text)
        values_by_name.setdefault(name.strip(), {})[value.strip()] = None
    rows = product(*values_by_name.values()) if values_by_name else ()
    return [dict(zip(values_by_name, row, strict=True)) for row in rows]


def parse_given(conditioners: Conditioners, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parse the values of a row as a person wrote them. Raise ValueError for an unknown name or an invalid value."""
    check_names(conditioners, list(texts))
    return {name: conditioners[name].parse(text) for name, text in texts.items()}


def format_given(conditioners: Conditioners, given: Given) -> dict[str, str]:
    """Return the canonical text of each value that is given, in the order of the conditions."""
    return {
        name: conditioner.format(given[name])
        for name, conditioner in conditioners.items()
        if given.get(name) is not None
    }
