"""Tells people what a data set of texts holds."""

from collections import Counter
from typing import Any

from genloom.collect.options import Options, Report
from genloom.collect.tabular import counted, held_back, shares

REMOVED = {
    "exact copy": "the same as another document",
    "near-duplicate": "nearly the same as another document",
    "empty": "empty",
    "other language": "in a language that was not asked for",
    "low quality": "below the quality that was asked for",
}
SCRUBBED = {
    "email": ("e-mail address", "e-mail addresses"),
    "phone": ("telephone number", "telephone numbers"),
    "card": ("card number", "card numbers"),
    "iban": ("bank account number (IBAN)", "bank account numbers (IBAN)"),
    "ip": ("internet address (IP)", "internet addresses (IP)"),
    "name": ("name (best effort: some will have been missed)", "names (best effort: some will have been missed)"),
}


def split_note(report: Report, options: Options) -> str:
    """How the splits were made, and how far what is held back is unlike the rest."""
    cut = "Long documents were cut, between paragraphs where they have any; each piece counts as a document."
    if not options.near_duplicates:
        twins = "Only exact copies were removed: what is held back may have a near twin to learn from."
    elif report.united:
        twins = (
            "Texts that are nearly the same as another were removed, and those that hold half or more of others stand "
            "in one part with them, so that nothing held back has a twin to learn from."
        )
    else:
        twins = (
            "Texts that are nearly the same as another were removed, but most of the others are alike in part: what is "
            "held back has its like in `train`."
        )
    return " ".join(
        [*held_back(options, "document", "its text"), *([twins] if options.val or options.test else []), cut]
    )


def facts(report: Report) -> dict[str, Any]:
    """The counts of conversations, languages, quality by tenths, repairs and blanked places."""
    return {
        "conversations": report.tallies["conversations"]["documents"],
        "languages": dict(report.tallies["languages"].most_common()),
        "quality": dict(sorted(report.tallies["quality"].items())),
        "repaired": report.tallies["repaired"]["documents"],
        "scrubbed": dict(report.tallies["scrubbed"].most_common()),
    }


def kept(report: Report) -> str:
    """How many documents, and how many of them are conversations."""
    documents, talks = counted(report.kept, "document"), report.tallies["conversations"]["documents"]
    return f"{documents}, {talks:,} of them conversations" if talks else documents


def changes(report: Report) -> list[str]:
    """What was repaired and blanked out."""
    lines = []
    if repaired := report.tallies["repaired"]["documents"]:
        lines.append(f"{counted(repaired, 'document')} had broken characters, which were repaired")
    if scrubbed := report.tallies["scrubbed"]:
        lines.append(
            "blanked out: " + ", ".join(f"{n:,} {SCRUBBED[kind][n != 1]}" for kind, n in scrubbed.most_common())
        )
    return lines


def sections(report: Report) -> list[str]:
    """The languages and the quality."""
    quality = Counter(dict(sorted(report.tallies["quality"].items(), reverse=True)))
    return [
        "## Languages",
        shares(report.tallies["languages"], "language")
        + "\n\n`und`: too little text to tell; `zxx`: no human language.",
        "## Quality",
        shares(quality, "score from", ordered=True)
        + "\n\nNear 1 reads like running text, towards 0 are tables, markup, noise and repetition. "
        "It is a rough sign, made from a sample of each document.",
    ]
