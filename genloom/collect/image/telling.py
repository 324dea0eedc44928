"""Tells people what a data set of pictures holds."""

import re
from collections import Counter
from typing import Any

from genloom.collect.options import Options, Report
from genloom.collect.tabular import counted, held_back, shares

REMOVED = {
    "exact copy": "the same as another picture",
    "near-duplicate": "nearly the same as another picture",
}


def split_note(report: Report, options: Options) -> str:
    """How the splits were made, and how far what is held back is unlike the rest."""
    if options.near_duplicates:
        twins = "Pictures that look nearly the same as another were removed, so that nothing held back has a twin."
    else:
        twins = "Only exact copies were removed: what is held back may have a near twin to learn from."
    told = held_back(options, "picture", "its pixels")
    return " ".join([*told, *([twins] if options.val or options.test else []), "All are stored without loss, as PNG."])


def kind_of(change: str) -> str:
    """What was said of one picture, without its numbers, so that it can be counted."""
    return re.sub(r" from .*$|: .*$| \(.*$|(?<= )\d+ (?=frames)", "", change)


def facts(report: Report) -> dict[str, Any]:
    """The counts of formats, of who said the captions, and of what was changed."""
    tallies = report.tallies
    return {name: dict((+tallies[name]).most_common()) for name in ("formats", "captions", "changed")}


def kept(report: Report) -> str:
    """How many pictures, and how many of them have no caption."""
    pictures, silent = counted(report.kept, "picture"), report.tallies["captions"]["none"]
    return f"{pictures}, {silent:,} of them without a caption" if silent else pictures


def changes(report: Report) -> list[str]:
    """Where the captions are from, how to add those that lack, and what was converted."""
    said = "captions from " + _listed(Counter({by: n for by, n in report.tallies["captions"].items() if by != "none"}))
    lines = [said] if said != "captions from " else []
    if report.tallies["captions"]["none"]:
        lines.append("to caption a picture, put a .txt file of its name beside it, or a table with file_name and text")
    if converted := +report.tallies["changed"]:
        lines.append("converted: " + _listed(converted))
    return lines


def sections(report: Report) -> list[str]:
    """Who said the captions, and the formats."""
    return [
        "## Captions",
        shares(report.tallies["captions"], "from", noun="picture"),
        "## Formats",
        shares(report.tallies["formats"], "format", noun="picture"),
    ]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} ({n:,})" for kind, n in counts.most_common())
