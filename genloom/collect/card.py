"""Describe a data set for people: the CARD.md in its folder, and the summary at the end of a collection."""

from genloom.collect.options import Note, Options, Report
from genloom.collect.preparation import Preparation, get_preparation
from genloom.collect.text_table import render_shares
from genloom.store.consent import Persons
from genloom.text_format import format_bytes, format_count, format_markdown_table


def summarize_report(report: Report) -> list[str]:
    """Return a few lines for the terminal: what was kept, dropped and skipped, and the licences."""
    preparation, num_files_read = get_preparation(report.medium), report.files - report.files_skipped
    content = f"{preparation.summary(report)} ({format_bytes(report.bytes_kept)})"
    splits = ", ".join(f"{split} {format_bytes(totals['bytes'])}" for split, totals in report.splits.items())
    lines = [f"{content} from {format_count(num_files_read, 'file')}: {splits}"]
    if report.drop_counts:
        lines.append("dropped: " + ", ".join(_drop_lines(report, preparation)))
    lines += [*_list_overlap_lines(report, preparation), *preparation.describe_changes(report)]
    lines.append("licences: " + ", ".join(f"{name} ({n:,})" for name, n in report.licences.most_common(6)))
    if report.files_skipped:
        lines.append(f"{format_count(report.files_skipped, 'file')} could not be read:")
        lines += [f"  {line}" for line in _limit_reasons([note for note in report.notes if note.is_skipped], "files")]
    note_lines = _limit_reasons([note for note in report.notes if not note.is_skipped], preparation.plural)
    return [*lines, *(f"note: {line}" for line in note_lines)]


def render_card(report: Report, options: Options) -> str:
    """Return the data set's card in Markdown. It holds no time, so that equal content has an equal digest."""
    preparation = get_preparation(report.medium)
    parts = [
        f"# Data set: {report.name}",
        _describe_content(report, preparation),
        "## Splits",
        format_markdown_table(
            ("split", preparation.plural, "size"),
            [(split, f"{f['documents']:,}", format_bytes(f["bytes"])) for split, f in report.splits.items()],
        ),
        preparation.describe_splits(report, options),
        "## Licences",
        render_shares(report.licences, "licence", plural=preparation.plural),
        _describe_licences(report, options, preparation),
        *preparation.render_sections(report),
        "## Dropped and changed",
        "\n".join(f"- {line}" for line in _change_lines(report, preparation)),
    ]
    if report.notes:
        parts += ["## Files to check", "\n".join(f"- {note.source}: {note.reason}" for note in report.notes)]
        if report.notes_left_out:
            parts.append(f"…and {report.notes_left_out:,} more.")
    return "\n\n".join(part for part in parts if part) + "\n"


def render_persons(persons: Persons) -> str:
    """Return the section on persons in the data, and their consents; "" if nothing was said of them."""
    if not persons.stated:
        return ""
    lines = [f"Stated by the person who collected the data: {', '.join(persons.stated)}."]
    consents = () if persons.consent is None else persons.consent.consents
    rows = [
        (each.who, ", ".join(each.of), ", ".join(each.purposes), str(each.signed), str(each.until or "-"))
        for each in consents
    ]
    if rows:
        lines.append(format_markdown_table(("person", "of", "for", "signed", "until"), rows))
    return "\n## Persons\n\n" + "\n\n".join(lines) + "\n"


def group_by_reason(notes: list[Note], plural: str) -> list[tuple[int, str]]:
    """Return for each reason the number of its sources, and a line with the source, or their number and the first."""
    sources: dict[str, list[str]] = {}
    for note in notes:
        sources.setdefault(note.reason, []).append(note.source)
    return [
        (len(names), f"{names[0] if len(names) == 1 else f'{len(names):,} {plural}, {names[0]} the first'}: {reason}")
        for reason, names in sources.items()
    ]


def _change_lines(report: Report, preparation: Preparation) -> list[str]:
    return [
        *_drop_lines(report, preparation, "dropped: "),
        *_list_overlap_lines(report, preparation),
        *preparation.describe_changes(report),
    ]


def _list_overlap_lines(report: Report, preparation: Preparation) -> list[str]:
    """Return a line on documents that overlap with others, or no line."""
    if not report.num_overlapping:
        return []
    documents = format_count(report.num_overlapping, preparation.noun, preparation.plural)
    if report.is_split_by_group:
        return [f"overlap: {documents} with much content of others, each in one split with those"]
    line = (
        f"overlap: {documents} with much content of others; keeping those together would leave hardly "
        "anything to hold out, so that a model is evaluated on content that it has seen"
    )
    return [line]


def _drop_lines(report: Report, preparation: Preparation, prefix: str = "") -> list[str]:
    return [f"{prefix}{n:,} {preparation.drop_reasons[reason]}" for reason, n in report.drop_counts.most_common()]


def _limit_reasons(notes: list[Note], plural: str, max_lines: int = 10) -> list[str]:
    lines = [line for _, line in group_by_reason(notes, plural)]
    num_omitted = len(lines) - max_lines
    if num_omitted <= 0:
        return lines
    return [*lines[:max_lines], f"{format_count(num_omitted, 'other reason')}, listed in CARD.md"]


def _describe_content(report: Report, preparation: Preparation) -> str:
    files = format_count(report.files - report.files_skipped, "file")
    return f"{preparation.summary(report)}, {format_bytes(report.bytes_kept)}, from {files}. Collected by Genloom."


def _describe_licences(report: Report, options: Options, preparation: Preparation) -> str:
    if options.licence:
        return "The licence was given by the person who collected the data."
    num_unknown = report.licences.get("unknown", 0)
    if not num_unknown:
        return "Each licence was found in the file itself or in a licence file beside it."
    return (
        f"No licence was found for {format_count(num_unknown, preparation.noun, preparation.plural)}. "
        'For your own work, add `--licence "my own"` next time; otherwise find out whether you may use it before you '
        "share a model made from it."
    )
