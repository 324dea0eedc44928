"""Tells people what a data set of pictures holds."""

import re
from collections import Counter
from typing import Any

from genloom.collect.options import Options, Report
from genloom.collect.text_table import describe_held_out, format_count, render_shares

DROP_REASONS = {
    "exact copy": "the same as another picture",
    "near-duplicate": "nearly the same as another picture",
}


def describe_splits(report: Report, options: Options) -> str:
    """How the splits were made, and how far what is held back is unlike the rest."""
    if options.near_duplicates:
        twin_sentence = (
            "Pictures that look nearly the same as another were removed, so that nothing held back has a twin."
        )
    else:
        twin_sentence = "Only exact copies were removed: what is held back may have a near twin to learn from."
    sentences = describe_held_out(options, "picture", "its pixels")
    return " ".join(
        [*sentences, *([twin_sentence] if options.val or options.test else []), "All are stored without loss, as PNG."]
    )


def normalize_change(change: str) -> str:
    """What was said of one picture, without its numbers, so that it can be counted."""
    return re.sub(r" from .*$|: .*$| \(.*$|(?<= )\d+ (?=frames)", "", change)


def build_metadata(report: Report) -> dict[str, Any]:
    """The counts of formats, of who said the captions, and of what was changed."""
    counters = report.counters
    return {name: dict((+counters[name]).most_common()) for name in ("formats", "captions", "changed")}


def summary(report: Report) -> str:
    """How many pictures, and how many of them have no caption."""
    image_count, num_uncaptioned = format_count(report.documents_kept, "picture"), report.counters["captions"]["none"]
    return f"{image_count}, {num_uncaptioned:,} of them without a caption" if num_uncaptioned else image_count


def describe_changes(report: Report) -> list[str]:
    """Where the captions are from, how to add those that lack, and what was converted."""
    caption_line = "captions from " + _format_counts(
        Counter({source: n for source, n in report.counters["captions"].items() if source != "none"})
    )
    lines = [caption_line] if caption_line != "captions from " else []
    if report.counters["captions"]["none"]:
        lines.append("to caption a picture, put a .txt file of its name beside it, or a table with file_name and text")
    if conversions := +report.counters["changed"]:
        lines.append("converted: " + _format_counts(conversions))
    return lines


def render_sections(report: Report) -> list[str]:
    """Who said the captions, and the formats."""
    return [
        "## Captions",
        render_shares(report.counters["captions"], "from", noun="picture"),
        "## Formats",
        render_shares(report.counters["formats"], "format", noun="picture"),
    ]


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} ({n:,})" for kind, n in counts.most_common())
