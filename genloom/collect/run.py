"""Collect files and folders into a data set of the workspace, streaming from end to end."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genloom import plugins
from genloom.collect import kept_columns, licence, preparation
from genloom.collect.card import group_by_reason, render_card, render_persons
from genloom.collect.detect_medium import resolve_medium
from genloom.collect.duplicates import DuplicateFilter
from genloom.collect.options import CollectProgress, Note, Options, Report
from genloom.collect.overlap import OverlapIndex
from genloom.collect.pipeline import PreparedBatch, PrepareJob
from genloom.collect.preparation import Preparation
from genloom.collect.shards import ShardWriter
from genloom.collect.slug import escape_name, replace_surrogates
from genloom.collect.sources import BUILTIN_PREFIX, SourceFile, find_files
from genloom.collect.workers import JOB_BYTES, JOB_DOCUMENTS, choose_num_workers, map_jobs, read_streamed
from genloom.errors import GenloomError
from genloom.limited_process import LimitedProcess
from genloom.store.consent import CONSENT_FILE, NOTHING_SAID, Persons
from genloom.store.workspace import Workspace
from genloom.text_format import format_count

MAX_REASONS = 5  # in the error that nothing could be collected


def collect(
    sources: Sequence[str | Path],
    workspace: Workspace,
    name: str,
    given: Mapping[str, Any] | None = None,
    persons: Persons = NOTHING_SAID,
) -> Iterator[CollectProgress]:
    """Collect files, folders and "builtin:shakespeare" into the data set `name`; the last event carries the report.

    Memory stays constant however large the sources are. The result depends on the sources and options only, not on the
    number of processes. Raises GenloomError, and writes nothing, if a source is missing or nothing could be read.
    `given` are the fields of the medium's `Config` that are not to have their defaults; `persons` says whose likenesses
    the data hold, and with which consents.
    """
    given = given or {}
    preparation.check_shared_options(given)
    licence.find_folder_licence.cache_clear()  # a LICENSE file may have been added since
    files, notes = find_files(sources, workspace.root, list_builtin_sources(sources))
    medium = resolve_medium(given.get("medium", ""), files)
    preparer, options = preparation.get_preparation(medium), preparation.build_options(medium, given)
    kept_columns.check_names(options.keep, preparer.build_columns([]))
    readable_files, unread_notes = preparer.select(files)
    report = Report(name=name, medium=medium)
    for note in [*notes, *unread_notes]:
        report.add_note(note)
    report.files = len(readable_files) + report.files_skipped
    if not readable_files:
        raise _explain_empty(sources, report, preparer)
    total_bytes = sum(file.size for file in readable_files)
    staged_folder = workspace.create_dataset(name)
    with staged_folder as folder:
        yield from _write_dataset(folder, readable_files, report, preparer, options)
        if not report.documents_kept:
            raise _explain_empty(sources, report, preparer)
        yield CollectProgress(
            "writing", total_bytes, total_bytes, report.documents_read, report.documents_kept, report.files_skipped
        )
        for note in preparer.note_content(report, options):
            report.add_note(note)
        report.medium_metadata = preparer.build_metadata(report)
        card = render_card(report, options) + render_persons(persons)
        (folder / "CARD.md").write_text(replace_surrogates(card), encoding="utf-8")
        if persons.consent is not None:
            (folder / CONSENT_FILE).write_bytes(persons.consent.content)
        manifest = {"medium": medium, **report.to_dict(), **persons.to_json()}
        manifest["sources_given"] = [_display_source(source) for source in sources]
        manifest["options"] = {key: value for key, value in asdict(options).items() if key != "workers"}
        manifest_text = replace_surrogates(json.dumps(manifest, ensure_ascii=False, indent=1))
        (folder / "manifest.json").write_text(manifest_text, encoding="utf-8")
    report.digest, report.folder = staged_folder.result.digest, staged_folder.result.folder
    yield CollectProgress(
        "done", total_bytes, total_bytes, report.documents_read, report.documents_kept, report.files_skipped, report
    )


def list_builtin_sources(sources: Sequence[str | Path]) -> dict[str, Path]:
    """Return the sources inside the packages of all media, by name; {} if none is among the sources."""
    if not any(str(source).startswith(BUILTIN_PREFIX) for source in sources):
        return {}
    preparations = map(preparation.get_preparation, plugins.list_part_names("preparation"))
    return {name: path for each in preparations for name, path in each.builtin_sources.items()}


def _write_dataset(
    folder: Path, files: list[SourceFile], report: Report, preparer: Preparation, options: Options
) -> Iterator[CollectProgress]:
    options = preparer.resolve(options, files)
    bytes_done, total_bytes = 0, sum(file.size for file in files)
    with (
        tempfile.TemporaryDirectory(dir=folder) as temp_folder,
        LimitedProcess() as process,
        ShardWriter(folder, options, preparer) as shards,
    ):
        duplicate_filter = DuplicateFilter(Path(temp_folder), options.near_duplicates, preparer.compute_similarity)
        overlap_index = OverlapIndex(Path(temp_folder))
        for batch in map_jobs(
            _iter_jobs(files, options, report, process), choose_num_workers(options.workers, total_bytes)
        ):
            bytes_done += batch.bytes_consumed
            _add_batch(batch, duplicate_filter, overlap_index, shards, report)
            yield CollectProgress(
                "reading",
                min(bytes_done, total_bytes),
                total_bytes,
                report.documents_read,
                report.documents_kept,
                report.files_skipped,
            )
        duplicate_groups = overlap_index.find_groups()
        report.num_overlapping, report.is_split_by_group = (
            len(duplicate_groups.constrained_ids),
            shards.finish(duplicate_groups),
        )
    if options.has_uncompared_twins:
        report.add_note(Note.from_error("the sources", GenloomError("collect.twins_not_compared"), is_skipped=False))
    if report.documents_kept and (missing := set(options.keep) - shards.kept_columns.found_names):
        raise GenloomError("collect.column_not_found", column=min(missing))
    report.splits = shards.split_totals


def _add_batch(
    batch: PreparedBatch,
    duplicate_filter: DuplicateFilter,
    overlap_index: OverlapIndex,
    shards: ShardWriter,
    report: Report,
) -> None:
    """Add the batch to the counts, and its documents that are not duplicates to the shards."""
    report.documents_read += batch.documents_read
    report.drop_counts += batch.drop_counts
    for name, counts in batch.counters.items():
        report.counters[name] += counts
    for note in batch.notes:
        report.add_note(note)
    verdicts = duplicate_filter.classify(batch.sketches) if batch.sketches else []
    kept_documents = []
    for document, verdict in zip(batch.documents, verdicts, strict=True):
        report.bytes_read += document.size
        if verdict:
            report.drop_counts[verdict] += 1
            continue
        kept_documents.append(document)
        report.bytes_kept += document.size
        report.licences[document.licence] += 1
        for name, value in document.counter_values.items():
            report.counters[name][value] += 1
        for reason in document.review_reasons:
            report.add_note(Note(document.source, reason, is_skipped=False))
    report.documents_kept += len(kept_documents)
    if batch.sketches:
        overlap_index.add(batch.sketches, [row for row, verdict in enumerate(verdicts) if not verdict])
    shards.add(kept_documents)


def _iter_jobs(
    files: Iterable[SourceFile], options: Options, report: Report, process: LimitedProcess
) -> Iterator[PrepareJob]:
    """Yield jobs in order: several small files for a worker to read, or raw documents of a large file."""
    small_files: list[SourceFile] = []
    num_bytes = 0

    for file in files:
        if small_files and (file.is_streamed or num_bytes + file.size > JOB_BYTES or len(small_files) >= JOB_DOCUMENTS):
            yield PrepareJob(report.medium, options, num_bytes, files=tuple(small_files))
            small_files, num_bytes = [], 0
        if file.is_streamed:
            yield from _iter_streamed_jobs(file, options, report, process)
        else:
            small_files.append(file)
            num_bytes += file.size
    if small_files:
        yield PrepareJob(report.medium, options, num_bytes, files=tuple(small_files))


def _iter_streamed_jobs(
    file: SourceFile, options: Options, report: Report, process: LimitedProcess
) -> Iterator[PrepareJob]:
    bytes_left = file.size
    for portion in read_streamed(file, options, report.medium, process):
        raw_documents = [raw for raw in portion if not isinstance(raw, Note)]
        for note in portion:
            if isinstance(note, Note):
                report.add_note(note)
        # How far a packed file is read is unknown; it never reports more than the rest of its size.
        bytes_consumed = min(sum(raw.size for raw in raw_documents), bytes_left)
        bytes_left -= bytes_consumed
        yield PrepareJob(report.medium, options, bytes_consumed, raw_documents=tuple(raw_documents))
    yield PrepareJob(report.medium, options, bytes_left)


def _explain_empty(sources: Sequence[str | Path], report: Report, preparer: Preparation) -> GenloomError:
    source_names = ", ".join(_display_source(source) for source in sources) or "nothing"
    if not report.notes and not report.drop_counts:
        return GenloomError("collect.no_files", sources=source_names, accepted=preparer.accepted_files)
    reasons = [
        (n, f"{format_count(n, preparer.noun, preparer.plural)}: {preparer.drop_reasons[reason]}")
        for reason, n in report.drop_counts.items()
    ]
    reasons = sorted([*reasons, *group_by_reason(report.notes, "files")], key=lambda entry: -entry[0])
    lines = [line for _, line in reasons[:MAX_REASONS]]
    if (num_omitted := len(reasons) - MAX_REASONS) > 0:
        lines.append(format_count(num_omitted, "other reason"))
    return GenloomError("collect.nothing_readable", sources=source_names, reasons="; ".join(lines))


def _display_source(source: str | Path) -> str:
    """Return the source as the user gave it, but without the path to it, which is private."""
    return str(source) if str(source).startswith("builtin:") else escape_name(Path(source).resolve().name)
