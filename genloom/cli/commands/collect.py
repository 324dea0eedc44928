"""`genloom collect`: files and folders of text or images become a data set."""

from collections import deque
from typing import Annotated

from genloom.api.progress import show_collection
from genloom.cli.console import quote_name
from genloom.cli.options.common import CommonOptions
from genloom.cli.options.types import Seed, Share, Threads, finite_float, float_range, int_range
from genloom.collect import summarize_report

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
    """Collect text or images from files and folders into a data set.

    Text: txt, md, html, pdf, docx, epub, code, jsonl, csv and parquet. Rows with messages, or with a question and its
    answer, become conversations to fine-tune on. Images: png, jpg, webp, gif, bmp, tiff, svg, and parquet with an image
    column. A caption comes from a .txt or .json beside the image, a table (csv, jsonl, parquet) with a column
    file_name, the file's metadata (EXIF, XMP, title), or its name.

    Removes exact and near duplicates, records a licence for each document, and holds out validation and test data.
    Files that cannot be read are skipped and listed with the reason.

    Parameters
    ----------
    sources
        Files, folders, or builtin:shakespeare.
    name
        Name of the data set. [default: the name of the one source]
    medium
        Medium to collect: text or image. [default: that of most files]
    licence
        Licence of everything collected. [default: as found in or beside each file, else "unknown"]
    column
        Column or key of the text or caption, in csv, jsonl and parquet. [default: guessed]
    size
        Maximum length of an image's longer side, in pixels; larger images are scaled down.
    background
        Background colour of transparent images: a name, or a value like #ffeedd.
    scrub
        Personal data to remove: email, phone, card, iban, ip, name (best effort). Repeatable.
    near_duplicates
        Similarity from which a document is a duplicate, 0.6 to 1; 0 removes exact copies only.
    min_quality
        Minimum quality score of a document, 0 to 1.
    languages
        Language codes to keep, e.g. en, de. Repeatable. [default: all]
    val
        Share held out for validation during training.
    test
        Share held out for the final test.
    chunk_chars
        Maximum length of a chunk of a long document. [default: by the size of the collection]
    workers
        Number of processes. [default: by the number of cores]
    """
    workspace, console = common.open()
    events = workspace.iter_collect(
        sources,
        name=name or "",
        medium=medium or "",
        licence=licence or "",
        column=column or "",
        size=size,
        background=background,
        scrub=scrub or (),
        near_duplicates=near_duplicates,
        min_quality=min_quality,
        languages=languages or (),
        val=val,
        test=test,
        seed=seed,
        chunk_chars=chunk_chars or 0,
        workers=workers or 0,
    )
    with console.show_progress("Collecting", 1.0) as bar:
        (result,) = deque(show_collection(events, bar), maxlen=1)
    report = result.report
    assert report is not None, "a collection ends with its report"
    console.print_line(f"Data set {report.name!r} in {report.folder}")
    for line in summarize_report(report):
        console.print_line(line)
    console.print_line(f"Next: genloom train {quote_name(report.name)} --minutes 10")
    console.print_result(
        {"name": report.name, "digest": report.digest, "folder": str(report.folder), **report.to_dict()}
    )
