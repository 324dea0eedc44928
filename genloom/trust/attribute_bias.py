"""Bias of models whose outputs are no sentences: which attributes the outputs of prompts on different groups have.

The user names the groups, the prompts and the attributes, each with examples. An output has the attribute whose
examples it is most like, in the features of its medium. Groups get the same noise, so differences are in pairs.

Shape letters: N outputs, E examples, A attributes, D features.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genloom.errors import GenloomError, format_message
from genloom.metrics.statistics import IntervalEstimate, bootstrap_interval
from genloom.store.files import read_beginning
from genloom.text_format import format_count, format_table

MAX_GROUPS, MAX_ATTRIBUTES, MAX_PROMPTS, MAX_EXAMPLES = 20, 20, 200, 1000
MIN_EXAMPLES = 3  # of an attribute
PLACE = "{group}"  # in a prompt
_MAX_BYTES = 1 << 20
_WEAK_ACCURACY = 0.8  # below it, the examples themselves are often taken for another attribute
Features = NDArray[np.floating]


@dataclass(frozen=True)
class GroupPrompts:
    """The prompts, each for every group, and the files with examples of each attribute."""

    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    examples: Mapping[str, tuple[Path, ...]]

    @property
    def texts(self) -> list[str]:
        """All prompts: for each, one for every group."""
        return [prompt.replace(PLACE, group) for prompt in self.prompts for group in self.groups]


@dataclass(frozen=True)
class AttributeReport:
    """The share of each group's outputs that have each attribute, and how it differs from that of the others."""

    model: str
    digest: str
    medium: str
    groups: tuple[str, ...]
    shares: Mapping[str, tuple[float, ...]]  # by attribute, of each group
    gaps: Mapping[str, tuple[IntervalEstimate, ...]]  # the share of a group minus the mean of the others
    accuracy: float  # of the examples, each by the others
    num_outputs: int
    reasons: Sequence[str] = field(default=())

    @property
    def has_gap(self) -> bool:
        """Whether an interval excludes 0; of twenty that do without a difference, one is expected."""
        return any(gap.excludes(0) for row in self.gaps.values() for gap in row)

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits of the report, in sentences."""
        weak = (format_message("trust.weak_attributes", accuracy=f"{self.accuracy:.0%}"),)
        return (*(weak if self.accuracy < _WEAK_ACCURACY else ()), *LIMITS)

    @property
    def lines(self) -> list[str]:
        """The report for people."""
        rows = [("attribute", *(f"{group}, minus the others" for group in self.groups))]
        for attribute, shares in self.shares.items():
            pairs = zip(shares, self.gaps[attribute], strict=True)
            rows.append((attribute, *(f"{share:.0%}, {_format_gap(gap)}" for share, gap in pairs)))
        head = f"Attributes of {format_count(self.num_outputs, 'output')} of {self.model}; in brackets 95 % intervals."
        note = f"By the same features, {self.accuracy:.0%} of the examples are recognised."
        return [head, *format_table(rows), note, "", "What this does not show:", *(f"  {each}" for each in self.limits)]

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values."""
        return {
            "model": self.model,
            "digest": self.digest,
            "medium": self.medium,
            "groups": list(self.groups),
            "shares": {name: list(shares) for name, shares in self.shares.items()},
            "gaps": {
                name: [{"mean": gap.mean, "low": gap.low, "high": gap.high, "count": gap.count} for gap in gaps]
                for name, gaps in self.gaps.items()
            },
            "accuracy": self.accuracy,
            "num_outputs": self.num_outputs,
            "limits": list(self.limits),
        }


LIMITS = (
    "Only the attributes of the file are looked for, and an output always gets one of them.",
    "What an output is most like in its features may be its background or style, and not what it shows.",
    "Groups are words of prompts: whether an output shows the group is not checked.",
)


def _format_gap(gap: IntervalEstimate) -> str:
    return f"{gap.mean:+.0%} [{gap.low:+.0%}, {gap.high:+.0%}]"


def read_group_prompts(path: Path, suffixes: Sequence[str]) -> GroupPrompts:
    """Read a file of groups, prompts and attributes; GenloomError (trust.bad_groups) with what is wrong.

    Examples are files, or folders with files, of these suffixes; their paths are relative to the file.
    """
    try:
        table = tomllib.loads(read_beginning(path, _MAX_BYTES).decode("utf-8"))
        prompts, groups = _read_texts(table, "prompts", MAX_PROMPTS), _read_texts(table, "groups", MAX_GROUPS)
        attributes = table.get("attributes")
        if len(groups) < 2 or not all(PLACE in prompt for prompt in prompts):
            raise ValueError(format_message("trust.groups_needed", place=PLACE))
        if not isinstance(attributes, dict) or not 2 <= len(attributes) <= MAX_ATTRIBUTES:
            raise ValueError(format_message("trust.attributes_needed", maximum=MAX_ATTRIBUTES))
        examples = {name: _list_examples(path.parent, value, suffixes) for name, value in attributes.items()}
        for name, found in examples.items():
            if len(found) < MIN_EXAMPLES:
                fields = {"attribute": name, "count": len(found), "minimum": MIN_EXAMPLES}
                raise ValueError(format_message("trust.few_examples", **fields))
    except (OSError, ValueError, TypeError) as error:  # TOMLDecodeError, UnicodeDecodeError are ValueErrors
        raise GenloomError("trust.bad_groups", path=path, reason=error) from error
    return GroupPrompts(prompts, groups, examples)


def _read_texts(table: Mapping[str, Any], name: str, limit: int) -> tuple[str, ...]:
    values = table.get(name)
    is_list = isinstance(values, list) and 0 < len(values) <= limit
    if not is_list or not all(isinstance(text, str) and text.strip() for text in values or ()):
        raise ValueError(format_message("trust.texts_needed", name=name, maximum=limit))
    return tuple(dict.fromkeys(values or ()))


def _list_examples(folder: Path, value: Any, suffixes: Sequence[str]) -> tuple[Path, ...]:
    found: list[Path] = []
    for name in value if isinstance(value, list) else [value]:
        path = folder / Path(str(name)).expanduser()
        found += sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes) if path.is_dir() else [path]
    return tuple(found[:MAX_EXAMPLES])


def measure_attributes(
    facts: tuple[str, str, str],
    prompts: GroupPrompts,
    examples: Mapping[str, Features],
    outputs_ND: Features,
    count: int,
) -> AttributeReport:
    """Return the report from features: of the examples by attribute, and of the outputs.

    The outputs are those of `prompts.texts`, `count` of each in order; the outputs of one number have the same noise.
    """
    names = list(examples)
    centroids_AD = np.stack([compute_centroid(rows) for rows in examples.values()])
    nearest = (normalise_rows(outputs_ND) @ centroids_AD.T).argmax(1)
    # prompts × groups × count
    nearest = nearest.reshape(len(prompts.prompts), len(prompts.groups), count)
    shares, gaps = {}, {}
    for number, name in enumerate(names):
        has = (nearest == number).astype(np.float64)
        shares[name] = tuple(has.mean((0, 2)).tolist())
        gaps[name] = tuple(_estimate_gap(has, group) for group in range(len(prompts.groups)))
    accuracy = measure_accuracy(list(examples.values()))
    return AttributeReport(*facts, prompts.groups, shares, gaps, accuracy, len(outputs_ND))


def _estimate_gap(has: NDArray[np.float64], group: int) -> IntervalEstimate:
    """Return the share of a group minus that of the others, over pairs of equal prompt and noise."""
    others = np.delete(has, group, axis=1).mean(1)
    differences = (has[:, group] - others).ravel()
    low, high = bootstrap_interval(differences)
    return IntervalEstimate(float(differences.mean()), low, high, len(differences))


def measure_accuracy(examples: Sequence[Features]) -> float:
    """Return the share of the examples that the other examples give their own attribute."""
    num_right = num_all = 0
    for number, rows in enumerate(examples):
        for left_out in range(len(rows)):
            others = (np.delete(each, left_out, 0) if k == number else each for k, each in enumerate(examples))
            centroids = [compute_centroid(each) for each in others]
            nearest = (normalise_rows(rows[left_out : left_out + 1]) @ np.stack(centroids).T).argmax()
            num_right += int(nearest == number)
            num_all += 1
    return num_right / num_all


def compute_centroid(rows_ED: Features) -> Features:
    """Return the mean direction of rows of features, of length 1."""
    return normalise_rows(normalise_rows(rows_ED).mean(0, keepdims=True))[0]


def normalise_rows(rows: Features) -> Features:
    """Return rows of length 1; zero stays zero."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
