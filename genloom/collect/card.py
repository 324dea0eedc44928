"""Tells people what a data set holds: the CARD.md in its folder, and the summary at the end of a collection."""

from collections import Counter

from genloom.collect.options import Note, Options, Report

REMOVED = {
    "exact copy": "exact copies of another document",
    "near-duplicate": "nearly the same as another document",
    "empty": "empty",
    "other language": "in a language that was not asked for",
    "low quality": "below the quality that was asked for",
}
SCRUBBED = {
    "email": "e-mail addresses",
    "phone": "telephone numbers",
    "card": "card numbers",
    "iban": "bank account numbers (IBAN)",
    "ip": "internet addresses (IP)",
    "name": "names (best effort: some will have been missed)",
}
SPLIT_NOTE = (
    "`train` is what models learn from; `val` and `test` are held back to judge them. Which document goes where "
    "follows from its text alone. Texts that are nearly the same as another were removed, so that nothing held back "
    "has a twin to learn from. Long documents were cut between paragraphs; each piece counts as a document."
)


def summary(report: Report) -> list[str]:
    """A few lines for the terminal: what was kept, removed, skipped, and under which licences it stands."""
    read = report.files - report.files_skipped
    lines = [
        f"{_held(report)} ({size(report.bytes_kept)}) from {_count(read, 'file')}: "
        + ", ".join(f"{split} {size(facts['bytes'])}" for split, facts in report.splits.items())
    ]
    if report.removed:
        gone = ", ".join(f"{n} {REMOVED[reason]}" for reason, n in report.removed.most_common())
        lines.append(f"left out: {gone}")
    if report.repaired:
        lines.append(f"{_count(report.repaired, 'document')} had broken characters, which were repaired")
    if report.scrubbed:
        lines.append("blanked out: " + ", ".join(f"{n} {SCRUBBED[kind]}" for kind, n in report.scrubbed.most_common()))
    lines.append("licences: " + ", ".join(f"{name} ({n})" for name, n in report.licences.most_common(6)))
    if report.files_skipped:
        lines.append(f"{_count(report.files_skipped, 'file')} could not be read:")
        lines += _by_reason([note for note in report.notes if note.skipped])
    lines += [f"note: {note.source}: {note.reason}" for note in report.notes if not note.skipped][:10]
    return lines


def card(report: Report, options: Options) -> str:
    """The data set's card in Markdown. It names no time, so that the same content has the same digest."""
    parts = [
        f"# Data set: {report.name}",
        _opening(report),
        "## For training and for judging",
        _table(
            ("part", "documents", "text"),
            [(split, f"{f['documents']:,}", size(f["bytes"])) for split, f in report.splits.items()],
        ),
        SPLIT_NOTE,
        "## Licences",
        _shares(report.licences, "licence"),
        _licence_advice(report, options),
        "## Languages",
        _shares(report.languages, "language") + "\n\n`und`: too little text to tell; `zxx`: no human language.",
        "## Quality",
        _shares(Counter(dict(sorted(report.quality.items(), reverse=True))), "score from", ordered=True)
        + "\n\nNear 1 reads like running text, towards 0 are tables, markup, noise and repetition. "
        "It is a rough sign, made from a sample of each document.",
        "## What was left out or changed",
        _changes(report),
    ]
    if report.notes:
        parts += ["## Files that need a look", "\n".join(f"- {note.source}: {note.reason}" for note in report.notes)]
        if report.notes_left_out:
            parts.append(f"…and {report.notes_left_out:,} more.")
    return "\n\n".join(parts) + "\n"


def _by_reason(skipped: list[Note], at_most: int = 10) -> list[str]:
    """A line for each reason: with the file it befell, or how many files and the first of them."""
    sources: dict[str, list[str]] = {}
    for note in skipped:
        sources.setdefault(note.reason, []).append(note.source)
    lines = [
        f"  {files[0]}: {reason}" if len(files) == 1 else f"  {len(files):,} files, {files[0]} the first: {reason}"
        for reason, files in sources.items()
    ]
    rest = len(lines) - at_most
    return lines if rest <= 0 else [*lines[:at_most], f"  and for {rest} other reasons, all listed in CARD.md"]


def _opening(report: Report) -> str:
    files = _count(report.files - report.files_skipped, "file")
    return f"{_held(report)}, {size(report.bytes_kept)} of text, from {files}. Collected by Genloom."


def _held(report: Report) -> str:
    documents, talks = _count(report.kept, "document"), report.conversations
    return f"{documents}, {talks:,} of them conversations" if talks else documents


def size(count: int) -> str:
    """A number of bytes for people: "1.1 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _licence_advice(report: Report, options: Options) -> str:
    if options.licence:
        return "The licence was given by the person who collected."
    unknown = report.licences.get("unknown", 0)
    if not unknown:
        return "Each was found in the file itself or in a licence file beside it."
    return (
        f"For {_count(unknown, 'document')} no licence was found. If it is your own writing, say so next time with "
        '`--licence "my own"`; if not, find out whether you may use it before you share a model made from it.'
    )


def _changes(report: Report) -> str:
    lines = [f"- {n:,} documents left out: {REMOVED[reason]}" for reason, n in report.removed.most_common()]
    lines += [f"- {n:,} {SCRUBBED[kind]} blanked out" for kind, n in report.scrubbed.most_common()]
    if report.repaired:
        lines.append(f"- {_count(report.repaired, 'document')} with broken characters repaired")
    return "\n".join([*lines, "- control characters, trailing blanks and surplus empty lines taken out everywhere"])


def _shares(counts: Counter[str], title: str, ordered: bool = False) -> str:
    total = sum(counts.values())
    rows = list(counts.items()) if ordered else counts.most_common(20)
    return _table((title, "documents", "share"), [(k.replace("|", "/"), f"{n:,}", f"{n / total:.1%}") for k, n in rows])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ("---",) * len(head), *rows])


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
