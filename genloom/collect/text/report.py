"""Describe a data set of texts for people."""

from collections import Counter
from typing import Any

from genloom.collect.options import Note, Options, Report
from genloom.collect.text.options import Config
from genloom.collect.text_table import describe_held_out, render_shares
from genloom.errors import GenloomError
from genloom.text_format import format_count

UNKNOWN_LANGUAGES = ("und", "zxx")
MIN_LANGUAGE_SHARE = 0.1  # of the documents, below which a language is a foreign sentence or a wrong guess

DROP_REASONS = {
    "exact copy": "the same as another document",
    "near-duplicate": "nearly the same as another document",
    "empty": "empty",
    "other language": "in another language than --languages allows",
    "low quality": "with a quality below --min-quality",
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
    """Return how the splits were made, and how different the held-out documents are from the rest."""
    chunk_sentence = "Long documents were split, if possible between paragraphs; each chunk counts as a document."
    if not options.near_duplicates:
        twin_sentence = "Only exact copies were removed: held-out documents may have near-duplicates in `train`."
    elif report.is_split_by_group:
        twin_sentence = (
            "Near-duplicates were removed. Documents that share half or more of their text are in one split, as are "
            "conversations with the same answers: no held-out document has a near-duplicate in `train`. System prompts "
            "and passages that more than 64 documents share do not count, and of long documents samples are compared."
        )
    else:
        twin_sentence = (
            "Near-duplicates were removed, but most of the other documents overlap in part: held-out documents overlap "
            "with `train`."
        )
    return " ".join(
        [
            *describe_held_out(options, "document", "its text"),
            *([twin_sentence] if options.val or options.test else []),
            chunk_sentence,
        ]
    )


def note_languages(report: Report, options: Config) -> list[Note]:
    """Return a note if the texts are in several languages, of which a small model writes each badly; none if asked."""
    counts = report.counters["languages"].copy()
    for code in UNKNOWN_LANGUAGES:
        del counts[code]
    large = [(code, count) for code, count in counts.most_common(4) if count >= MIN_LANGUAGE_SHARE * counts.total()]
    if options.languages or len(large) < 2:
        return []
    shares = ", ".join(f"{code} {count / counts.total():.0%}" for code, count in large)
    error = GenloomError("collect.mixed_languages", shares=shares, language=large[0][0])
    return [Note.from_error("the sources", error, is_skipped=False)]


def build_metadata(report: Report) -> dict[str, Any]:
    """Return the counts of conversations, languages, quality by tenths, repairs and masked personal data."""
    return {
        "conversations": report.counters["conversations"]["documents"],
        "languages": dict(report.counters["languages"].most_common()),
        "quality": dict(sorted(report.counters["quality"].items())),
        "repaired": report.counters["repaired"]["documents"],
        "scrubbed": dict(report.counters["scrubbed"].most_common()),
    }


def summary(report: Report) -> str:
    """Return the number of documents, and how many of them are conversations."""
    document_count = format_count(report.documents_kept, "document")
    num_conversations = report.counters["conversations"]["documents"]
    return f"{document_count}, {num_conversations:,} of them conversations" if num_conversations else document_count


def describe_changes(report: Report) -> list[str]:
    """Return lines on what was repaired and masked."""
    lines = []
    if num_repaired := report.counters["repaired"]["documents"]:
        lines.append(f"{format_count(num_repaired, 'document')} had broken characters, which were repaired")
    if scrub_counts := report.counters["scrubbed"]:
        lines.append(
            "masked: " + ", ".join(f"{n:,} {SCRUB_NAMES[kind][n != 1]}" for kind, n in scrub_counts.most_common())
        )
    return lines


def render_sections(report: Report) -> list[str]:
    """Return sections on the languages and the quality."""
    quality_counts = Counter(dict(sorted(report.counters["quality"].items(), reverse=True)))
    return [
        "## Languages",
        render_shares(report.counters["languages"], "language")
        + "\n\n`und`: too little text to tell; `zxx`: no human language.",
        "## Quality",
        render_shares(quality_counts, "score from", is_ordered=True)
        + "\n\nNear 1 is running text; near 0 are tables, markup, noise and repetition. "
        "The score is a rough estimate from a sample of each document.",
    ]
