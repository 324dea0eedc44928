"""Tells people what a data set holds: the CARD.md in its folder, and the summary at the end of a collection."""

from genloom.collect.options import Note, Options, Report
from genloom.collect.preparation import Preparation, of
from genloom.collect.tabular import counted, shares, size, table


def summary(report: Report) -> list[str]:
    """A few lines for the terminal: what was kept, removed, skipped, and under which licences it stands."""
    prepared, read = of(report.medium), report.files - report.files_skipped
    lines = [
        f"{prepared.kept(report)} ({size(report.bytes_kept)}) from {counted(read, 'file')}: "
        + ", ".join(f"{split} {size(facts['bytes'])}" for split, facts in report.splits.items())
    ]
    if report.removed:
        lines.append("left out: " + ", ".join(_removed(report, prepared)))
    lines += [*_alike(report, prepared), *prepared.changes(report)]
    lines.append("licences: " + ", ".join(f"{name} ({n})" for name, n in report.licences.most_common(6)))
    if report.files_skipped:
        lines.append(f"{counted(report.files_skipped, 'file')} could not be read:")
        lines += [f"  {line}" for line in _first_reasons([note for note in report.notes if note.skipped], "file")]
    told = _first_reasons([note for note in report.notes if not note.skipped], prepared.noun)
    return [*lines, *(f"note: {line}" for line in told)]


def card(report: Report, options: Options) -> str:
    """The data set's card in Markdown. It names no time, so that the same content has the same digest."""
    prepared = of(report.medium)
    parts = [
        f"# Data set: {report.name}",
        _opening(report, prepared),
        "## For training and for judging",
        table(
            ("part", f"{prepared.noun}s", "size"),
            [(split, f"{f['documents']:,}", size(f["bytes"])) for split, f in report.splits.items()],
        ),
        prepared.split_note(report, options),
        "## Licences",
        shares(report.licences, "licence", noun=prepared.noun),
        _licence_advice(report, options, prepared.noun),
        *prepared.sections(report),
        "## What was left out or changed",
        "\n".join(f"- {line}" for line in _done(report, prepared)),
    ]
    if report.notes:
        parts += ["## Files that need a look", "\n".join(f"- {note.source}: {note.reason}" for note in report.notes)]
        if report.notes_left_out:
            parts.append(f"…and {report.notes_left_out:,} more.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _done(report: Report, prepared: Preparation) -> list[str]:
    return [*_removed(report, prepared, "left out: "), *_alike(report, prepared), *prepared.changes(report)]


def _alike(report: Report, prepared: Preparation) -> list[str]:
    """What became of documents that are alike in part: a line, or none."""
    if not report.alike:
        return []
    if report.united:
        return [f"placed together: {counted(report.alike, prepared.noun)} of which much is in others that were kept"]
    much = f"of {counted(report.alike, prepared.noun)} much is in others that were kept"
    return [f"{much}, so that hardly anything could be held back without them: a model is judged by what it has seen"]


def _removed(report: Report, prepared: Preparation, how: str = "") -> list[str]:
    return [f"{how}{n:,} {prepared.removed[reason]}" for reason, n in report.removed.most_common()]


def by_reason(notes: list[Note], noun: str) -> list[tuple[int, str]]:
    """A line for each reason, with the source it befell, or how many sources and the first; and with that number."""
    sources: dict[str, list[str]] = {}
    for note in notes:
        sources.setdefault(note.reason, []).append(note.source)
    return [
        (len(names), f"{names[0] if len(names) == 1 else f'{len(names):,} {noun}s, {names[0]} the first'}: {reason}")
        for reason, names in sources.items()
    ]


def _first_reasons(notes: list[Note], noun: str, at_most: int = 10) -> list[str]:
    lines = [line for _, line in by_reason(notes, noun)]
    rest = len(lines) - at_most
    return lines if rest <= 0 else [*lines[:at_most], f"and for {counted(rest, 'other reason')}, all listed in CARD.md"]


def _opening(report: Report, prepared: Preparation) -> str:
    files = counted(report.files - report.files_skipped, "file")
    return f"{prepared.kept(report)}, {size(report.bytes_kept)}, from {files}. Collected by Genloom."


def _licence_advice(report: Report, options: Options, noun: str) -> str:
    if options.licence:
        return "The licence was given by the person who collected."
    unknown = report.licences.get("unknown", 0)
    if not unknown:
        return "Each was found in the file itself or in a licence file beside it."
    return (
        f"For {counted(unknown, noun)} no licence was found. If it is your own work, say so next time with "
        '`--licence "my own"`; if not, find out whether you may use it before you share a model made from it.'
    )
