"""Tells people what a data set of texts holds."""

from collections import Counter
from typing import Any

from genloom.collect.options import Options, Report
from genloom.collect.text_table import describe_held_out, format_count, render_shares

DROP_REASONS = {
    "exact copy": "the same as another document",
    "near-duplicate": "nearly the same as another document",
    "empty": "empty",
    "other language": "in a language that was not asked for",
    "low quality": "below the quality that was asked for",
}
SCRUB_NAMES = {
    "email": ("e-mail address", "e-mail addresses"),
    "phone": ("telephone number", "telephone numbers"),
    "card": ("card number", "card numbers"),
    "iban": ("bank account number (IBAN)", "bank account numbers (IBAN)"),
    "ip": ("internet address (IP)", "internet addresses (IP)"),
    "name": ("name (best effort: some will have been missed)", "names (best effort: some will have been missed)"),
}


def describe_splits(report: Report, options: Options) -> str:
    """How the splits were made, and how far what is held back is unlike the rest."""
    chunk_sentence = "Long documents were cut, between paragraphs where they have any; each piece counts as a document."
    if not options.near_duplicates:
        twin_sentence = "Only exact copies were removed: what is held back may have a near twin to learn from."
    elif report.is_split_by_group:
        twin_sentence = (
            "Texts that are nearly the same as another were removed, and those that hold half or more of others stand "
            "in one part with them, so that nothing held back has a twin to learn from."
        )
    else:
        twin_sentence = (
            "Texts that are nearly the same as another were removed, but most of the others are alike in part: what is "
            "held back has its like in `train`."
        )
    return " ".join(
        [
            *describe_held_out(options, "document", "its text"),
            *([twin_sentence] if options.val or options.test else []),
            chunk_sentence,
        ]
    )


def build_metadata(report: Report) -> dict[str, Any]:
    """The counts of conversations, languages, quality by tenths, repairs and blanked places."""
    return {
        "conversations": report.counters["conversations"]["documents"],
        "languages": dict(report.counters["languages"].most_common()),
        "quality": dict(sorted(report.counters["quality"].items())),
        "repaired": report.counters["repaired"]["documents"],
        "scrubbed": dict(report.counters["scrubbed"].most_common()),
    }


def summary(report: Report) -> str:
    """How many documents, and how many of them are conversations."""
    document_count, num_conversations = (
        format_count(report.documents_kept, "document"),
        report.counters["conversations"]["documents"],
    )
    return f"{document_count}, {num_conversations:,} of them conversations" if num_conversations else document_count


def describe_changes(report: Report) -> list[str]:
    """What was repaired and blanked out."""
    lines = []
    if num_repaired := report.counters["repaired"]["documents"]:
        lines.append(f"{format_count(num_repaired, 'document')} had broken characters, which were repaired")
    if scrub_counts := report.counters["scrubbed"]:
        lines.append(
            "blanked out: " + ", ".join(f"{n:,} {SCRUB_NAMES[kind][n != 1]}" for kind, n in scrub_counts.most_common())
        )
    return lines


def render_sections(report: Report) -> list[str]:
    """The languages and the quality."""
    quality_counts = Counter(dict(sorted(report.counters["quality"].items(), reverse=True)))
    return [
        "## Languages",
        render_shares(report.counters["languages"], "language")
        + "\n\n`und`: too little text to tell; `zxx`: no human language.",
        "## Quality",
        render_shares(quality_counts, "score from", is_ordered=True)
        + "\n\nNear 1 reads like running text, towards 0 are tables, markup, noise and repetition. "
        "It is a rough sign, made from a sample of each document.",
    ]
