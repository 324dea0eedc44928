"""`genloom collect`: files and folders, of text or of pictures, become a data set."""

from pathlib import Path
from typing import Annotated

from genloom.cli.options.common import CommonOptions
from genloom.cli.options.types import Seed, Share, Threads, finite_float, float_range, int_range
from genloom.collect import Options, collect, summarize_report
from genloom.rate.report.wording import format_count

Pixels = Annotated[int, int_range(16, 4096)]
Similarity = Annotated[float, finite_float(lambda n: n == 0 or 0.6 <= n <= 1, "0 (off), or a number from 0.6 to 1")]
HeldOutShare = Annotated[float, float_range(0, 0.5)]


def run(
    sources: list[str],
    /,
    *,
    name: str | None = None,
    medium: str | None = None,
    licence: str | None = None,
    column: str | None = None,
    size: Pixels = 512,
    background: str = "white",
    scrub: list[str] | None = None,
    near_duplicates: Similarity = 0.8,
    min_quality: Share = 0.0,
    languages: list[str] | None = None,
    val: HeldOutShare = 0.05,
    test: HeldOutShare = 0.05,
    seed: Seed = 0,
    chunk_chars: Annotated[int, int_range(256)] | None = None,
    workers: Threads | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Gather text or pictures from files and folders into a data set.

    Text: txt, md, html, pdf, docx, epub, code, jsonl, csv and parquet. Rows with messages, or with a question and its
    answer, become conversations to tune a model on. Pictures: png, jpg, webp, gif, bmp, tiff, svg, and parquet with
    pictures in it; captions come from a .txt or .json beside a picture, a table (csv, jsonl, parquet) with a column
    file_name, the file itself (EXIF, XMP, title), or its name.

    Removes copies and near-copies, records a licence for each document, and holds parts back for judging. What can't be
    read is listed with its reason and skipped.

    Parameters
    ----------
    sources
        Files, folders, or builtin:shakespeare. The caption of a picture is taken from a .txt or .json beside it, a
        table (csv, jsonl, parquet) with file_name and text, the file itself (EXIF, XMP, title), or its name.
    name
        What to call the data set. Default: the name of the one source.
    medium
        What to collect: text or image. Default: what most of the files are.
    licence
        The licence of everything collected. Default: what is found in or beside each file, else "unknown".
    column
        The column or key with the text or the caption, in csv, jsonl and parquet. Default: guessed.
    size
        Pixels of a picture's longer side, which larger pictures are brought down to.
    background
        The colour to show where a picture is transparent: a name, or one like #ffeedd.
    scrub
        Personal data to blank out: email, phone, card, iban, ip, name (best effort). Repeat for several.
    near_duplicates
        How alike two documents or pictures may be, from 0.6 to 1; 0 removes exact copies only.
    min_quality
        Leave out documents of a lower quality score, from 0 to 1.
    languages
        Leave out documents in other languages than these (codes like en, de). Repeat for several.
    val
        The share of the data held back to judge while training.
    test
        The share of the data held back to judge at the end.
    seed
        Another number holds other documents back.
    chunk_chars
        The longest piece of a long document. Default: by the size of the collection.
    workers
        How many processes. Default: by the number of cores.
    """
    workspace, console = common.open()
    options = Options(
        medium=medium or "",
        licence=licence or "",
        column=column or "",
        size=size,
        background=background,
        scrub=tuple(scrub or ()),
        near_duplicates=near_duplicates,
        min_quality=min_quality,
        languages=tuple(languages or ()),
        val=val,
        test=test,
        seed=seed,
        chunk_chars=chunk_chars or 0,
        workers=workers or 0,
    )
    name = name or _derive_name(sources)
    report = None
    with console.show_progress("Collecting", 1.0) as bar:
        for progress in collect(sources, workspace, name, options):
            skipped_note = f", {format_count(progress.files_skipped, 'file')} skipped" if progress.files_skipped else ""
            bar.update(
                progress.bytes_done / max(progress.total_bytes, 1),
                f"{shown.format_bytes(progress.bytes_done)} of {shown.format_bytes(progress.total_bytes)}, {progress.documents_kept:,} kept{skipped_note}",
            )
            report = progress.report
    assert report is not None, "a collection ends with its report"
    console.print_line(f"Data set {name!r} in {report.folder}")
    for line in summarize_report(report):
        console.print_line(line)
    console.print_line(f"Next: genloom train {shown.quote_name(name)} --minutes 10")
    console.print_result({"name": name, "digest": report.digest, "folder": str(report.folder), **report.to_dict()})


def _derive_name(sources: list[str]) -> str:
    if len(sources) != 1:
        raise ValueError("There are several sources: say what to call the data set with --name.")
    (source,) = sources
    return source.removeprefix("builtin:") if source.startswith("builtin:") else Path(source).resolve().stem
