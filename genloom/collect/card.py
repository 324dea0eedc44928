"""Tells people what a data set holds: the CARD.md in its folder, and the summary at the end of a collection."""

from genloom.collect.options import Note, Options, Report
from genloom.collect.preparation import Preparation, get_preparation
from genloom.collect.text_table import format_count, format_size, render_shares, render_table


def summarize_report(report: Report) -> list[str]:
    """A few lines for the terminal: what was kept, removed, skipped, and under which licences it stands."""
    preparation, num_files_read = get_preparation(report.medium), report.files - report.files_skipped
    lines = [
        f"{preparation.summary(report)} ({format_size(report.bytes_kept)}) from {format_count(num_files_read, 'file')}: "
        + ", ".join(f"{split} {format_size(totals['bytes'])}" for split, totals in report.splits.items())
    ]
    if report.drop_counts:
        lines.append("left out: " + ", ".join(_drop_lines(report, preparation)))
    lines += [*_overlap_lines(report, preparation), *preparation.describe_changes(report)]
    lines.append("licences: " + ", ".join(f"{name} ({n})" for name, n in report.licences.most_common(6)))
    if report.files_skipped:
        lines.append(f"{format_count(report.files_skipped, 'file')} could not be read:")
        lines += [f"  {line}" for line in _limit_reasons([note for note in report.notes if note.is_skipped], "file")]
    note_lines = _limit_reasons([note for note in report.notes if not note.is_skipped], preparation.noun)
    return [*lines, *(f"note: {line}" for line in note_lines)]


def render_card(report: Report, options: Options) -> str:
    """The data set's card in Markdown. It names no time, so that the same content has the same digest."""
    preparation = get_preparation(report.medium)
    parts = [
        f"# Data set: {report.name}",
        _describe_content(report, preparation),
        "## For training and for judging",
        render_table(
            ("part", f"{preparation.noun}s", "size"),
            [(split, f"{f['documents']:,}", format_size(f["bytes"])) for split, f in report.splits.items()],
        ),
        preparation.describe_splits(report, options),
        "## Licences",
        render_shares(report.licences, "licence", noun=preparation.noun),
        _describe_licences(report, options, preparation.noun),
        *preparation.render_sections(report),
        "## What was left out or changed",
        "\n".join(f"- {line}" for line in _change_lines(report, preparation)),
    ]
    if report.notes:
        parts += ["## Files that need a look", "\n".join(f"- {note.source}: {note.reason}" for note in report.notes)]
        if report.notes_left_out:
            parts.append(f"…and {report.notes_left_out:,} more.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _change_lines(report: Report, preparation: Preparation) -> list[str]:
    return [
        *_drop_lines(report, preparation, "left out: "),
        *_overlap_lines(report, preparation),
        *preparation.describe_changes(report),
    ]


def _overlap_lines(report: Report, preparation: Preparation) -> list[str]:
    """What became of documents that are alike in part: a line, or none."""
    if not report.num_overlapping:
        return []
    if report.is_split_by_group:
        return [
            f"placed together: {format_count(report.num_overlapping, preparation.noun)} of which much is in others that were kept"
        ]
    clause = f"of {format_count(report.num_overlapping, preparation.noun)} much is in others that were kept"
    return [f"{clause}, so that hardly anything could be held back without them: a model is judged by what it has seen"]


def _drop_lines(report: Report, preparation: Preparation, prefix: str = "") -> list[str]:
    return [f"{prefix}{n:,} {preparation.drop_reasons[reason]}" for reason, n in report.drop_counts.most_common()]


def group_by_reason(notes: list[Note], noun: str) -> list[tuple[int, str]]:
    """A line for each reason, with the source it befell, or how many sources and the first; and with that number."""
    sources: dict[str, list[str]] = {}
    for note in notes:
        sources.setdefault(note.reason, []).append(note.source)
    return [
        (len(names), f"{names[0] if len(names) == 1 else f'{len(names):,} {noun}s, {names[0]} the first'}: {reason}")
        for reason, names in sources.items()
    ]


def _limit_reasons(notes: list[Note], noun: str, max_lines: int = 10) -> list[str]:
    lines = [line for _, line in group_by_reason(notes, noun)]
    num_omitted = len(lines) - max_lines
    return (
        lines
        if num_omitted <= 0
        else [*lines[:max_lines], f"and for {format_count(num_omitted, 'other reason')}, all listed in CARD.md"]
    )


def _describe_content(report: Report, preparation: Preparation) -> str:
    files = format_count(report.files - report.files_skipped, "file")
    return f"{preparation.summary(report)}, {format_size(report.bytes_kept)}, from {files}. Collected by Genloom."


def _describe_licences(report: Report, options: Options, noun: str) -> str:
    if options.licence:
        return "The licence was given by the person who collected."
    num_unknown = report.licences.get("unknown", 0)
    if not num_unknown:
        return "Each was found in the file itself or in a licence file beside it."
    return (
        f"For {format_count(num_unknown, noun)} no licence was found. If it is your own work, say so next time with "
        '`--licence "my own"`; if not, find out whether you may use it before you share a model made from it.'
    )
