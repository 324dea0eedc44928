"""Collects files and folders into a data set of the workspace, streaming from end to end."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from genloom.collect import licence, preparation
from genloom.collect.card import by_reason, card
from genloom.collect.choice import chosen
from genloom.collect.duplicates import Duplicates
from genloom.collect.names import shown, writable
from genloom.collect.options import Note, Options, Progress, Report
from genloom.collect.overlap import Overlaps
from genloom.collect.parts import Parts
from genloom.collect.preparation import Preparation, Raw
from genloom.collect.prepare import Batch, Job
from genloom.collect.sources import Found, find
from genloom.collect.tabular import counted
from genloom.collect.workers import choose, done_by
from genloom.store.workspace import Workspace

JOB_BYTES = 2 << 20  # of documents or of files in one job
JOB_DOCUMENTS = 1024
REASONS_AT_MOST = 5  # why nothing could be collected


def collect(
    sources: Sequence[str | Path], workspace: Workspace, name: str, options: Options | None = None
) -> Iterator[Progress]:
    """Collects files, folders and "builtin:shakespeare" into the data set `name`; the last Progress carries the Report.

    Memory stays flat however large the sources. The result depends on the sources and options only, not on the number
    of processes. ValueError where a source is missing or nothing could be read; then nothing is written.
    """
    options = options or Options()
    licence.beside.cache_clear()  # a LICENSE file may have been added since
    files, notes = find(sources, leave_out=workspace.root)
    medium = chosen(options.medium, files)
    prepared = preparation.of(medium)
    preparation.check_options(options, medium)
    found, unread = prepared.sort(files)
    report = Report(name=name, medium=medium)
    for note in [*notes, *unread]:
        report.note(note)
    report.files = len(found) + report.files_skipped
    if not found:
        raise ValueError(_nothing(sources, report, prepared))
    total = sum(one.size for one in found)
    making = workspace.new_dataset(name)
    with making as folder:
        yield from _fill(folder, found, report, prepared, options)
        if not report.kept:
            raise ValueError(_nothing(sources, report, prepared))
        yield Progress("writing", total, total, report.documents, report.kept, report.files_skipped)
        report.own = prepared.facts(report)
        (folder / "CARD.md").write_text(writable(card(report, options)), encoding="utf-8")
        manifest = {"medium": medium, **report.facts(), "sources_given": [_shown(s) for s in sources]}
        manifest["options"] = {key: value for key, value in asdict(options).items() if key != "workers"}
        written = writable(json.dumps(manifest, ensure_ascii=False, indent=1))
        (folder / "manifest.json").write_text(written, encoding="utf-8")
    report.digest, report.folder = making.made.digest, making.made.folder
    yield Progress("done", total, total, report.documents, report.kept, report.files_skipped, report)


def _fill(
    folder: Path, found: list[Found], report: Report, prepared: Preparation, options: Options
) -> Iterator[Progress]:
    options = prepared.settled(options, found)
    done, total = 0, sum(one.size for one in found)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, Parts(folder, options, prepared) as parts:
        duplicates = Duplicates(Path(scratch), options.near_duplicates, prepared.similarity)
        overlaps = Overlaps(Path(scratch))
        for batch in done_by(_jobs(found, options, report, prepared), choose(options.workers, total)):
            done += batch.consumed
            _keep(batch, duplicates, overlaps, parts, report)
            yield Progress("reading", min(done, total), total, report.documents, report.kept, report.files_skipped)
        kinship = overlaps.kinship()
        report.alike, report.united = len(kinship.tied), parts.finish(kinship)
    report.splits = parts.splits


def _keep(batch: Batch, duplicates: Duplicates, overlaps: Overlaps, parts: Parts, report: Report) -> None:
    """Adds the batch to the counts, and those of its documents that are no duplicates to the parts."""
    report.documents += batch.seen
    report.removed += batch.removed
    for name, counts in batch.tallies.items():
        report.tallies[name] += counts
    for note in batch.notes:
        report.note(note)
    verdicts = duplicates.judge(batch.sketches) if batch.sketches else []
    kept = []
    for document, verdict in zip(batch.documents, verdicts, strict=True):
        report.bytes_read += document.size
        if verdict:
            report.removed[verdict] += 1
            continue
        kept.append(document)
        report.bytes_kept += document.size
        report.licences[document.licence] += 1
        for name, value in document.tallied.items():
            report.tallies[name][value] += 1
        for doubt in document.doubts:
            report.note(Note(document.source, doubt, skipped=False))
    report.kept += len(kept)
    if batch.sketches:
        overlaps.add(batch.sketches, [row for row, verdict in enumerate(verdicts) if not verdict])
    parts.add(kept)


def _jobs(found: Iterable[Found], options: Options, report: Report, prepared: Preparation) -> Iterator[Job]:
    """Small files together, to be read by the workers; large ones read here and handed on in pieces, in order."""
    small: list[Found] = []
    size = 0

    for one in found:
        if small and (one.streamed or size + one.size > JOB_BYTES or len(small) >= JOB_DOCUMENTS):
            yield Job(report.medium, options, size, files=tuple(small))
            small, size = [], 0
        if one.streamed:
            yield from _streamed(one, options, report, prepared)
        else:
            small.append(one)
            size += one.size
    if small:
        yield Job(report.medium, options, size, files=tuple(small))


def _streamed(found: Found, options: Options, report: Report, prepared: Preparation) -> Iterator[Job]:
    raws: list[Raw] = []
    size, told = 0, 0
    for raw in prepared.read(found, options):
        if isinstance(raw, Note):
            report.note(raw)
            continue
        raws.append(raw)
        size += raw.size
        if size >= JOB_BYTES or len(raws) >= JOB_DOCUMENTS:
            # Of a packed file nobody knows how far it is read; it may tell at most what is left of its size.
            consumed = min(size, found.size - told)
            yield Job(report.medium, options, consumed, raws=tuple(raws))
            raws, size, told = [], 0, told + consumed
    yield Job(report.medium, options, found.size - told, raws=tuple(raws))


def _nothing(sources: Sequence[str | Path], report: Report, prepared: Preparation) -> str:
    named = ", ".join(_shown(source) for source in sources) or "nothing"
    if not report.notes and not report.removed:
        return f"{named}: there is no file in it to collect; name a folder with {prepared.offer}"
    reasons = [(n, f"{counted(n, prepared.noun)}: {prepared.removed[why]}") for why, n in report.removed.items()]
    reasons = sorted([*reasons, *by_reason(report.notes, "file")], key=lambda told: -told[0])
    lines = [line for _, line in reasons[:REASONS_AT_MOST]]
    if (rest := len(reasons) - REASONS_AT_MOST) > 0:
        lines.append(f"and for {counted(rest, 'other reason')}")
    return f"{named}: nothing in it could be collected. " + "; ".join(lines)


def _shown(source: str | Path) -> str:
    """The source as the user gave it, without the path to it, which is nobody else's business."""
    return str(source) if str(source).startswith("builtin:") else shown(Path(source).resolve().name)
