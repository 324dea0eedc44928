"""Collect files and folders into a data set of the workspace, streaming from end to end."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.cluster import Cluster
from genloom.collect import kept_columns, licence, preparation
from genloom.collect.card import group_by_reason, render_card, render_persons
from genloom.collect.detect_medium import resolve_medium
from genloom.collect.duplicates import KEPT, VERDICTS, DuplicateFinder
from genloom.collect.options import CollectProgress, Note, Options, Report
from genloom.collect.overlap import OverlapIndex
from genloom.collect.parts import iter_fetched_batches, iter_parts, open_parts_place
from genloom.collect.pipeline import PreparedBatch
from genloom.collect.preparation import Document, Preparation
from genloom.collect.shards import ShardWriter
from genloom.collect.slug import escape_name, replace_surrogates
from genloom.collect.sources import BUILTIN_PREFIX, find_files
from genloom.collect.split import note_own_splits
from genloom.collect.spool import DocumentSpool, read_sketches
from genloom.collect.stored_sources import is_stored, list_stored_files
from genloom.collect.workers import choose_num_workers
from genloom.errors import GenloomError
from genloom.option_names import name_options
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
    cluster: Cluster | None = None,
) -> Iterator[CollectProgress]:
    """Collect files, folders and "builtin:shakespeare" into the data set `name`; the last event carries the report.

    A source may be on a storage: s3://bucket/folder. Memory stays constant however large the sources are. The result
    depends on the sources and options only, not on the number of processes. Raises GenloomError, and writes nothing, if
    a source is missing or nothing could be read.
    `given` are the fields of the medium's `Config` that are not to have their defaults; `persons` says whose likenesses
    the data hold, and with which consents. With a `cluster`, its machines read and prepare the files, which all of them
    have to see under the same paths; the result is the same.
    """
    given = given or {}
    preparation.check_shared_options(given)
    licence.find_folder_licence.cache_clear()  # a LICENSE file may have been added since
    stored_sources = {str(source): list_stored_files(str(source)) for source in sources if is_stored(source)}
    files, notes = find_files(sources, workspace.root, list_builtin_sources(sources), stored_sources)
    medium = resolve_medium(given.get("medium", ""), files)
    preparer, options = preparation.get_preparation(medium), preparation.build_options(medium, given)
    kept_columns.check_names(options.keep, preparer.build_columns([]))
    if stored_sources and not preparer.reads_files_apart:
        raise GenloomError("collect.stored_medium", source=min(stored_sources), plural=preparer.plural)
    readable_files, unread_notes = preparer.select(files)
    report = Report(name=name, medium=medium)
    for note in [*notes, *unread_notes, *note_own_splits(file.name for file in readable_files)]:
        report.add_note(note)
    report.files = len(readable_files) + report.files_skipped
    if not readable_files:
        raise _explain_empty(sources, report, preparer)
    total_bytes = sum(file.size for file in readable_files)
    resolved_options = preparer.resolve(options, readable_files)
    staged_folder = workspace.create_dataset(name)
    with ExitStack() as stack, staged_folder as folder:
        if cluster is None:
            num_workers = choose_num_workers(options.workers, total_bytes)
            batches = iter_fetched_batches(readable_files, resolved_options, medium, num_workers)
        else:
            place = stack.enter_context(open_parts_place(workspace, readable_files, resolved_options, medium))
            batches = iter_parts(readable_files, resolved_options, medium, place, cluster)
        yield from _write_dataset(folder, batches, total_bytes, report, preparer, resolved_options)
        if not report.documents_kept:
            raise _explain_empty(sources, report, preparer)
        yield _build_progress("writing", total_bytes, total_bytes, report)
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
    yield replace(_build_progress("done", total_bytes, total_bytes, report), report=report)


def list_builtin_sources(sources: Sequence[str | Path]) -> dict[str, Path]:
    """Return the sources inside the packages of all media, by name; {} if none is among the sources."""
    if not any(str(source).startswith(BUILTIN_PREFIX) for source in sources):
        return {}
    preparations = map(preparation.get_preparation, plugins.list_part_names("preparation"))
    return {name: path for each in preparations for name, path in each.builtin_sources.items()}


def _write_dataset(
    folder: Path,
    batches: Iterable[PreparedBatch],
    total_bytes: int,
    report: Report,
    preparer: Preparation,
    options: Options,
) -> Iterator[CollectProgress]:
    """Compare all documents, then write those that are kept."""
    bytes_done = 0
    with tempfile.TemporaryDirectory(dir=folder) as temp_folder, ShardWriter(folder, options, preparer) as shards:
        duplicate_finder = DuplicateFinder(Path(temp_folder), options.near_duplicates, preparer.compute_similarity)
        overlap_index, spool = OverlapIndex(Path(temp_folder)), DocumentSpool(Path(temp_folder))
        for batch in batches:
            bytes_done += batch.bytes_consumed
            _count_batch(batch, report)
            if batch.part_files is None:
                all_sketches = () if batch.sketches is None else (batch.sketches,)
                spool.add(batch.documents)
            else:
                documents_path, sketches_path = batch.part_files
                all_sketches = read_sketches(sketches_path)
                spool.add_file(documents_path)
            for sketches in all_sketches:
                duplicate_finder.add(sketches)
                overlap_index.add(sketches)
            yield _build_progress("reading", min(bytes_done, total_bytes), total_bytes, report)
        verdicts_D = duplicate_finder.find_duplicates()
        duplicate_groups = overlap_index.find_groups(verdicts_D == KEPT)
        begin = 0
        for documents in spool:
            _add_documents(documents, verdicts_D[begin : begin + len(documents)], shards, report)
            begin += len(documents)
            yield _build_progress("writing", total_bytes, total_bytes, report)
        assert begin == len(verdicts_D), "each document has a verdict"
        report.num_overlapping, report.is_split_by_group = (
            len(duplicate_groups.constrained_ids),
            shards.finish(duplicate_groups),
        )
    if options.has_uncompared_twins:
        report.add_note(Note.from_error("the sources", GenloomError("collect.twins_not_compared"), is_skipped=False))
    if report.documents_kept and (missing := set(options.keep) - shards.kept_columns.found_names):
        raise GenloomError("collect.column_not_found", column=min(missing))
    report.splits = shards.split_totals


def _count_batch(batch: PreparedBatch, report: Report) -> None:
    """Add the counts and notes of a batch, of which it is not known yet what is kept."""
    report.documents_read += batch.documents_read
    report.drop_counts += batch.drop_counts
    for name, counts in batch.counters.items():
        report.counters[name] += counts
    for note in batch.notes:
        report.add_note(note)


def _add_documents(documents: Sequence[Document], verdicts_B: np.ndarray, shards: ShardWriter, report: Report) -> None:
    """Add the documents that are kept to the shards, and all of them to the counts."""
    kept_documents = []
    for document, verdict in zip(documents, verdicts_B.tolist(), strict=True):
        report.bytes_read += document.size
        if verdict != KEPT:
            report.drop_counts[VERDICTS[verdict]] += 1
            continue
        kept_documents.append(document)
        report.bytes_kept += document.size
        report.licences[document.licence] += 1
        for name, value in document.counter_values.items():
            report.counters[name][value] += 1
        for reason in document.review_reasons:
            report.add_note(Note(document.source, reason, is_skipped=False))
    report.documents_kept += len(kept_documents)
    shards.add(kept_documents)


def _build_progress(stage: str, bytes_done: int, total_bytes: int, report: Report) -> CollectProgress:
    counts = report.documents_read, report.documents_kept, report.files_skipped
    return CollectProgress(stage, bytes_done, total_bytes, *counts)


def _explain_empty(sources: Sequence[str | Path], report: Report, preparer: Preparation) -> GenloomError:
    source_names = ", ".join(_display_source(source) for source in sources) or "nothing"
    if not report.notes and not report.drop_counts:
        return GenloomError("collect.no_files", sources=source_names, accepted=preparer.accepted_files)
    reasons = [
        (n, f"{format_count(n, preparer.noun, preparer.plural)}: {name_options(preparer.drop_reasons[reason])}")
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
