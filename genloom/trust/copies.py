"""Copies of training data in values, beside those that held-out values, which cannot be copies, have by chance.

Each medium's folder in `genloom/trust/` says how its values are compared (`find_shared`): as text, or in features;
`genloom/trust/default.py` does it for all others. Indexes of data sets are built once, in `cache/copies/`.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from genloom import plugins
from genloom.store.dataset import Dataset, Split
from genloom.text_format import format_count
from genloom.trust.span_index import VERSION
from genloom.types import Item

MAX_EXCERPT_CHARS = 300
NUM_MATCHES = 3  # training items that are reported of each value
MAX_HELD_OUT = 100  # values that say what is shared by chance
_MAX_PASSAGE_SOURCES = 400  # held-out documents that passages are taken from
_INDEX_NAME = re.compile(r"([0-9a-f]{32})-")  # of the folder of an index


@dataclass(frozen=True)
class Match:
    """A training item, and what a value has in common with it."""

    source: str
    licence: str
    id: str = ""  # of the document
    caption: str = ""
    length: int | None = None  # of the longest shared passage, in `CopyReport.unit`s
    share: float | None = None  # of the value
    place: str = ""  # of the passage in the value and in the document, in words
    excerpt: str = ""  # of the passage, if people can read it
    similarity: float | None = None  # in features: 1 if equal, about 0 if unrelated
    pixel_difference: float | None = None  # mean absolute difference of the colours, from 0 to 1
    is_identical: bool = False

    @classmethod
    def from_item(cls, item: Item, **more: Any) -> "Match":
        """Return a match of a training item, with the other fields in `more`."""
        id, caption = (str(item.meta.get(name, "")) for name in ("id", "caption"))
        return cls(item.source, item.licence, id, caption, **more)

    def __str__(self) -> str:
        return f"{self.source or 'unknown source'} ({self.licence})"


@dataclass(frozen=True)
class Chance:
    """The matches of held-out values with the training data: lengths, or similarities."""

    count: int
    median: float
    limit: float  # that about 5 % of the held-out values exceed

    def to_json(self) -> dict[str, float | int]:
        return dict(vars(self))


@dataclass(frozen=True)
class CopyReport:
    """The nearest training items of one value, nearest first."""

    matches: tuple[Match, ...]
    chance: Chance | None  # None without held-out values
    unit: str = ""  # of lengths: character, note; "": values are compared as a whole
    missing: tuple[str, ...] = ()  # training data that could not be searched
    label: str = ""  # the output or file
    is_searched: bool = True  # whether any training data could be searched

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the value shares more with a training item than held-out values do; an equal item always counts."""
        if not self.matches:
            return False
        nearest = self.matches[0]
        amount = nearest.length if nearest.length is not None else nearest.similarity
        return nearest.is_identical or (self.chance is not None and amount is not None and amount > self.chance.limit)

    @property
    def lines(self) -> list[str]:
        """Return the report as lines for people."""
        lines = [self.label] if self.label else []
        verdict = "more than chance explains" if self.is_beyond_chance else "no more than chance explains"
        if not self.is_searched:
            lines.append("  not searched: none of the training data is here")
        elif not self.matches:
            lines.append("  nothing shared with the training data was found")
        elif self.chance is None and not self.matches[0].is_identical:
            lines.append("  whether this is more than chance is unknown, for lack of held-out data")
        else:
            lines.append(f"  {verdict}")
        lines += [f"  {self._describe(match)}" for match in self.matches]
        if self.chance is not None:
            lines.append(f"  by chance: {self._describe_chance(self.chance)}")
        return [*lines, *(f"  {note}" for note in self.missing)]

    def _describe(self, match: Match) -> str:
        facts = []
        if match.length is not None:
            facts.append(f"{match.length:,} {self.unit}s ({match.share or 0:.0%} of it)")
        if match.similarity is not None:
            facts.append(f"similarity {match.similarity:.3f}")
        if match.pixel_difference is not None:
            facts.append(f"pixel difference {match.pixel_difference:.3f}")
        facts += ["identical"] if match.is_identical else []
        place = f", {match.place}" if match.place else ""
        excerpt = f': "{" ".join(match.excerpt.split())}"' if match.excerpt else ""
        return f"{', '.join(facts)} · {match}{place}{excerpt}"

    def _describe_chance(self, chance: Chance) -> str:
        if self.unit:
            amounts = f"{chance.median:.0f} {self.unit}s in the median, {chance.limit:.0f} at most"
        else:
            amounts = f"similarity {chance.median:.3f} in the median, above {chance.limit:.3f} in 5 of 100"
        return f"{amounts}, of {format_count(chance.count, 'held-out value')}"

    def to_json(self) -> dict[str, Any]:
        return {
            "of": self.label,
            "searched": self.is_searched,
            "beyond_chance": self.is_beyond_chance,
            "unit": self.unit,
            "matches": [dict(vars(match)) for match in self.matches],
            "chance": self.chance and self.chance.to_json(),
            "not_searched": list(self.missing),
        }

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class TrainingData:
    """The data sets that are searched, and the folder of their indexes."""

    medium: ModuleType
    datasets: tuple[Dataset, ...]
    folder: Path
    missing: tuple[str, ...] = ()
    held_out_split: Split = "val"
    excluded: frozenset[str] = field(default=frozenset())  # ids of held-out documents that the model has learned from
    load_codec: Callable[[], Any] | None = None  # of the model that made the values; None: none is known
    codec_key: str = ""  # the same for the same codec

    def get_index_folder(self, dataset: Dataset, kind: str) -> Path:
        """Return where the index of a data set is; it depends on the content alone."""
        return self.folder / f"{dataset.digest[:32]}-{kind}-{VERSION}"

    def get_chance_path(self, kind: str) -> Path:
        """Return the file with what held-out values share; it depends on all data sets and what is left out."""
        digests = [*(dataset.digest for dataset in self.datasets), "without", *sorted(self.excluded)]
        key = hashlib.sha256(" ".join(digests).encode()).hexdigest()
        return self.folder / f"chance-{key[:32]}-{self.held_out_split}-{kind}-{VERSION}.json"

    def iter_documents(self) -> Iterator[Item]:
        return (item for dataset in self.datasets for item in dataset.iter_documents("train"))

    def iter_held_out(self) -> Iterator[Item]:
        """Yield random held-out documents of the model's own data set, which comes first; the same at every call."""
        dataset = self.datasets[0].exclude(self.excluded)
        return dataset.sample_documents(self.held_out_split, _MAX_PASSAGE_SOURCES)

    def sample_held_out(self) -> list[Item]:
        """Return up to 100 random held-out documents, the same at every call."""
        dataset = self.datasets[0].exclude(self.excluded)
        return list(dataset.sample_documents(self.held_out_split, MAX_HELD_OUT))


def measure_copies(values: Sequence[Any], data: TrainingData, labels: Sequence[str] = ()) -> list[CopyReport]:
    """Find the nearest training items of each value, and what held-out values share with the data by chance."""
    labels = labels or [""] * len(values)
    if not data.datasets:
        return [CopyReport((), None, "", data.missing, label, is_searched=False) for label in labels]
    part = plugins.find_medium_part("copies", data.medium.kind)
    reports: Iterable[CopyReport] = part.find_shared(values, data)
    return [
        CopyReport(report.matches, report.chance, report.unit, data.missing, label)
        for report, label in zip(reports, labels, strict=True)
    ]


def remove_old_indexes(folder: Path, digests: Iterable[str]) -> None:
    """Remove the indexes of data sets whose digests are not among these, as those of forgotten documents."""
    known = {digest[:32] for digest in digests}
    for path in folder.glob("*"):
        match = _INDEX_NAME.match(path.name)
        if match and match[1] not in known:
            shutil.rmtree(path, ignore_errors=True)


def read_numbered(dataset: Dataset, numbers: Iterable[int]) -> list[Item]:
    """Return the training documents with these numbers, in the order collected."""
    return list(dataset.read_documents("train", sorted(set(numbers))))


def shorten_text(text: str) -> str:
    return text if len(text) <= MAX_EXCERPT_CHARS else text[:MAX_EXCERPT_CHARS] + "…"
