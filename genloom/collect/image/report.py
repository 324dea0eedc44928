"""Describe a data set of pictures for people."""

import re
from collections import Counter
from typing import Any

from genloom.collect.options import Options, Report
from genloom.collect.text_table import describe_held_out, render_shares
from genloom.text_format import format_count

DROP_REASONS = {
    "exact copy": "the same as another picture",
    "near-duplicate": "nearly the same as another picture",
}


def describe_splits(report: Report, options: Options) -> str:
    """Return how the splits were made, and how different the held-out pictures are from the rest."""
    if options.near_duplicates:
        twin_sentence = "Near-duplicates were removed, so that no held-out picture has a near-duplicate in `train`."
    else:
        twin_sentence = "Only exact copies were removed: held-out pictures may have near-duplicates in `train`."
    sentences = describe_held_out(options, "picture", "its pixels")
    return " ".join(
        [
            *sentences,
            *([twin_sentence] if options.val or options.test else []),
            "Pictures are stored losslessly, as PNG.",
        ]
    )


def normalize_change(change: str) -> str:
    """Return a change or warning of one picture without its numbers, so that it can be counted."""
    return re.sub(r" from .*$|: .*$| \(.*$|(?<= )\d+ (?=frames)", "", change)


def build_metadata(report: Report) -> dict[str, Any]:
    """Return the counts of formats, of the origins of captions, and of changes."""
    counters = report.counters
    return {name: dict((+counters[name]).most_common()) for name in ("formats", "captions", "changed")}


def summary(report: Report) -> str:
    """Return the number of pictures, and how many of them have no caption."""
    image_count, num_uncaptioned = format_count(report.documents_kept, "picture"), report.counters["captions"]["none"]
    return f"{image_count}, {num_uncaptioned:,} of them without a caption" if num_uncaptioned else image_count


def describe_changes(report: Report) -> list[str]:
    """Return lines on the origins of the captions, on how to add missing ones, and on conversions."""
    caption_line = "captions from " + _format_counts(
        Counter({source: n for source, n in report.counters["captions"].items() if source != "none"})
    )
    lines = [caption_line] if caption_line != "captions from " else []
    if report.counters["captions"]["none"]:
        lines.append(
            "to add a caption, put a .txt file of the same name, or a table with file_name and text, beside it"
        )
    if conversions := +report.counters["changed"]:
        lines.append("converted: " + _format_counts(conversions))
    return lines


def render_sections(report: Report) -> list[str]:
    """Return sections on the origins of the captions and on the formats."""
    return [
        "## Captions",
        render_shares(report.counters["captions"], "from", plural="pictures"),
        "## Formats",
        render_shares(report.counters["formats"], "format", plural="pictures"),
    ]


def _format_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} ({n:,})" for kind, n in counts.most_common())
