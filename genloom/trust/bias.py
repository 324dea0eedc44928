"""Bias of models of text: the likelihood of minimal pairs, and the regard of generated continuations.

Minimal pairs are sentences that differ in who they speak of, or in what they say of them: 32 templates of English and 8
of German for each category, four pairs of groups each. The gap is in bits a word, so that models with different
vocabularies compare. The values of one template depend on each other, so intervals are bootstrapped over templates.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genloom.metrics.minimal_pairs import BiasQuadruple, NLLFn, build_quadruple, compute_gaps
from genloom.metrics.statistics import IntervalEstimate, bootstrap_interval
from genloom.store.manifest import read_record, write_record
from genloom.text_format import format_table

Language = Literal["en", "de"]

CATEGORIES = ("gender", "origin", "age", "religion", "disability")
OVERALL = "overall"
REPORT_FILE = "bias.json"  # in the folder of a model's reports
_FOLDER = Path(__file__).parent
_NEGATION_REACH = 3  # words before a word of regard
_LIMITS = (
    "This measures prejudices that these sentences name, in this language; others stay unseen.",
    "A gap says what a model finds likely, not what it writes; no gap does not prove that a model is fair.",
    "Regard counts words of a short list of ours; it does not read irony, context or what is left out.",
    "Groups and attributes are examples that we chose; gender is shown as two groups only.",
)


@dataclass(frozen=True)
class BiasItem:
    """A quadruple of sentences and the template that it comes from."""

    template: int  # its number within the category
    quadruple: BiasQuadruple

    @property
    def num_words(self) -> float:
        """The mean number of words of a sentence."""
        return sum(len(sentence.split()) for sentence in self.quadruple.sentences) / 4


@dataclass(frozen=True)
class ContinuationPrompt:
    """The beginnings of two texts that differ in the group; the first is the one that the prejudice speaks of."""

    category: str
    groups: tuple[str, str]
    prompts: tuple[str, str]


@dataclass(frozen=True)
class CategoryBias:
    """The bias of one category, or of all."""

    gap: IntervalEstimate  # bits a word by which stereotypical sentences are more likely; 0 is no bias
    share: IntervalEstimate  # of quadruples whose stereotypical sentences are more likely; 0.5 is no bias
    num_sentences: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {"gap": _to_json(self.gap), "share": _to_json(self.share), "num_sentences": self.num_sentences}


@dataclass(frozen=True)
class RegardGap:
    """How well the generated texts of one category speak of the two groups, from -1 to 1."""

    first: float  # the mean of the groups that the prejudice speaks of
    second: float
    difference: IntervalEstimate  # first minus second; below 0, the model speaks worse of the first
    num_texts: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        difference = _to_json(self.difference)
        return {"first": self.first, "second": self.second, "difference": difference, "num_texts": self.num_texts}


@dataclass(frozen=True)
class BiasReport:
    """The bias of a model, in words and in numbers."""

    model: str
    digest: str
    medium: str
    language: Language
    likelihood: Mapping[str, CategoryBias] = field(default_factory=dict)  # by category, and OVERALL; {}: not measured
    regard: Mapping[str, RegardGap] = field(default_factory=dict)  # {}: not measured
    reasons: Sequence[str] = ()  # why something was not measured
    against: str = ""  # the version of the comparison
    changes: Mapping[str, IntervalEstimate] = field(default_factory=dict)  # gap minus that of `against`, bits a word

    @property
    def is_measured(self) -> bool:
        return bool(self.likelihood)

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits of the report, in sentences."""
        return (*self.reasons, *(_LIMITS if self.is_measured else ()))

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table for people, with its header."""
        header = ["category", "gap, bits a word", "stereotype likelier", "regard of the first group, minus the second"]
        rows = [tuple(header + ([f"gap minus {self.against}'s"] if self.against else []))]
        for category, found in self.likelihood.items():
            regard = self.regard.get(category)
            cells = [category, str(found.gap), _format_share(found.share), str(regard.difference) if regard else "-"]
            rows.append(tuple(cells + ([str(self.changes[category])] if self.against else [])))
        return rows

    @property
    def lines(self) -> list[str]:
        """The report for people."""
        lines = [f"Bias of {self.model} ({'English' if self.language == 'en' else 'German'} sentences)"]
        if self.is_measured:
            lines += format_table(self.rows)
            lines += ["A gap above 0 means that stereotypical sentences are more likely; in brackets 95 % intervals."]
        return [*lines, "", "What this does not show:", *(f"  {limit}" for limit in self.limits)]

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values."""
        return {
            "model": self.model,
            "digest": self.digest,
            "medium": self.medium,
            "language": self.language,
            "measured": self.is_measured,
            "likelihood": {category: found.to_json() for category, found in self.likelihood.items()},
            "regard": {category: found.to_json() for category, found in self.regard.items()},
            "against": self.against or None,
            "changes": {category: _to_json(change) for category, change in self.changes.items()},
            "limits": list(self.limits),
        }

    def save(self, folder: Path) -> Path:
        """Write bias.json to a folder and return its path."""
        path = folder / REPORT_FILE
        write_record(path, self.to_json())
        return path


def find_report(root: Path, ref: str, digest: str = "") -> dict[str, Any] | None:
    """Return the stored report on a version, e.g. "notes/2", for its card; None if there is none that can be read.

    With `digest`, a report on a model that had the name before is not returned.
    """
    try:
        report = read_record(root / "reports" / ref.replace("/", "-") / REPORT_FILE)
    except (OSError, ValueError):
        return None
    if report.get("model") != ref or (digest and report.get("digest") != digest):
        return None
    return report


# Sentences


def build_items(language: Language, category: str) -> list[BiasItem]:
    """Return the quadruples of a category, template by template; each pair of attributes comes equally often."""
    tables = _load_tables(f"bias.{language}.toml")
    groups, attributes = tables[category]["groups"], tables[category]["attributes"]
    return [
        BiasItem(
            n,
            _capitalise_sentences(
                build_quadruple(category, template, tuple(pair), tuple(attributes[(n + k) % len(attributes)]))
            ),
        )
        for n, template in enumerate(tables["templates"])
        for k, pair in enumerate(groups)
    ]


def build_continuation_prompts(language: Language, category: str) -> list[ContinuationPrompt]:
    """Return the beginnings of texts of a category, in pairs."""
    tables = _load_tables(f"bias.{language}.toml")
    return [
        ContinuationPrompt(
            category,
            (first, second),
            (_to_sentence(template.format(group=first)), _to_sentence(template.format(group=second))),
        )
        for template in tables["continuations"]
        for first, second in tables[category]["groups"]
    ]


def _capitalise_sentences(quadruple: BiasQuadruple) -> BiasQuadruple:
    first, second, crossed, crossed_back = map(_to_sentence, quadruple.sentences)
    return BiasQuadruple(quadruple.category, (first, second), (crossed, crossed_back))


def _to_sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def _load_tables(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / name).read_text(encoding="utf-8"))


# Likelihood


def measure_gaps(language: Language, nll_fn: NLLFn) -> dict[str, list[float]]:
    """Return by category the gap of each quadruple, in bits a word; `nll_fn` gives nats of whole sentences."""
    gaps = {}
    for category in CATEGORIES:
        items = build_items(language, category)
        nats = compute_gaps([item.quadruple for item in items], nll_fn)
        gaps[category] = [value / math.log(2) / item.num_words for value, item in zip(nats, items, strict=True)]
    return gaps


def summarise_gaps(language: Language, gaps: Mapping[str, Sequence[float]]) -> dict[str, CategoryBias]:
    """Return the bias of each category and of all, with intervals over templates."""
    num_groups = {category: len(_load_tables(f"bias.{language}.toml")[category]["groups"]) for category in gaps}
    means = {category: _mean_by_template(values, num_groups[category]) for category, values in gaps.items()}
    shares = {
        category: _mean_by_template([(v > 0) + (v == 0) / 2 for v in values], num_groups[category])
        for category, values in gaps.items()
    }
    means[OVERALL], shares[OVERALL] = (np.concatenate(list(each.values())) for each in (means, shares))
    counts = {category: 4 * len(values) for category, values in gaps.items()}
    counts[OVERALL] = sum(counts.values())
    return {
        category: CategoryBias(_estimate_mean(means[category]), _estimate_mean(shares[category]), counts[category])
        for category in means
    }


def compare_gaps(
    language: Language, gaps: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]
) -> dict[str, IntervalEstimate]:
    """Return the gaps of one model minus those of another, paired template by template, in bits a word."""
    differences = {
        category: [a - b for a, b in zip(values, others[category], strict=True)] for category, values in gaps.items()
    }
    return {category: found.gap for category, found in summarise_gaps(language, differences).items()}


def _mean_by_template(values: Sequence[float], num_groups: int) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1, num_groups).mean(axis=1)


def _estimate_mean(values: np.ndarray) -> IntervalEstimate:
    low, high = bootstrap_interval(values)
    return IntervalEstimate(float(values.mean()), low, high, len(values))


# Regard


def measure_regard(
    language: Language, prompts: Sequence[ContinuationPrompt], texts: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> dict[str, RegardGap]:
    """Return the regard of generated texts by category, and of all.

    `texts` has for each prompt the continuations of both beginnings. The interval is over prompts.
    """
    scores = np.array(
        [[np.mean([score_regard(text, language) for text in side]) for side in pair] for pair in texts]
    ).reshape(-1, 2)
    counts = np.array([sum(len(side) for side in pair) for pair in texts])
    rows = {
        category: np.array([prompt.category == category for prompt in prompts])
        for category in dict.fromkeys(prompt.category for prompt in prompts)
    }
    rows[OVERALL] = np.ones(len(prompts), bool)
    return {
        category: RegardGap(
            float(scores[chosen, 0].mean()),
            float(scores[chosen, 1].mean()),
            _estimate_mean(scores[chosen, 0] - scores[chosen, 1]),
            int(counts[chosen].sum()),
        )
        for category, chosen in rows.items()
    }


def score_regard(text: str, language: Language) -> float:
    """Return how well a text speaks: good words minus bad ones over both, from -1 to 1; 0 without any.

    A negation up to three words before turns a word round.
    """
    words = re.findall(r"n't|(?:(?!n't)[\w-])+", text.casefold().replace("’", "'"))
    positive, negative, negations = (_compile_words(language, kind) for kind in ("positive", "negative", "negations"))
    total = count = 0
    for n, word in enumerate(words):
        value = bool(positive.fullmatch(word)) - bool(negative.fullmatch(word))
        if value and any(map(negations.fullmatch, words[max(n - _NEGATION_REACH, 0) : n])):
            value = -value
        total, count = total + value, count + bool(value)
    return total / count if count else 0.0


@cache
def _compile_words(language: Language, kind: str) -> re.Pattern[str]:
    words = _load_tables("regard.toml")[language][kind]
    return re.compile(
        "|".join(re.escape(word.rstrip("*")) + (r"[\w-]*" if word.endswith("*") else "") for word in words)
    )


def _to_json(estimate: IntervalEstimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "count": estimate.count}


def _format_share(share: IntervalEstimate) -> str:
    return f"{share.mean:.0%} [{max(share.low, 0):.0%}, {min(share.high, 1):.0%}]"
