"""`genloom collect`: files and folders become a data set."""

from collections import deque
from pathlib import Path
from typing import Annotated

from genloom.api.progress import show_collection
from genloom.api.workspace import Workspace
from genloom.cli.descriptions import describe_like
from genloom.cli.options.cluster import ClusterAddress
from genloom.cli.options.collecting import DEFAULT_COLLECT_FLAGS, CollectFlags, get_medium_options
from genloom.cli.options.numbers import Seed, Threads, finite_float, float_range
from genloom.cli.options.workspace import WorkOptions
from genloom.collect import summarize_report
from genloom.program import quote_name

Similarity = Annotated[float, finite_float(lambda n: n == 0 or 0.6 <= n <= 1, "0 (off), or a number from 0.6 to 1")]
HeldOutShare = Annotated[float, float_range(0, 0.5)]
FEW_DOCUMENTS = 200  # up to which a built-in model of their medium is rather tuned than a new one trained


@describe_like(Workspace.collect)
def run(
    sources: list[str],
    /,
    *,
    name: str | None = None,
    medium: str | None = None,
    licence: str | None = None,
    consent: Path | None = None,
    persons: list[str] | None = None,
    column: str | None = None,
    keep: list[str] | None = None,
    near_duplicates: Similarity | None = None,
    val: HeldOutShare = 0.05,
    test: HeldOutShare = 0.05,
    seed: Seed = 0,
    workers: Threads | None = None,
    on: ClusterAddress = "",
    medium_flags: CollectFlags = DEFAULT_COLLECT_FLAGS,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Collect files and folders into a data set.

    Text: txt, md, html, pdf, docx, epub, code, jsonl, csv and parquet. Rows with messages, or with a question and its
    answer, become conversations to fine-tune on. Images: png, jpg, webp, gif, bmp, tiff, svg, and parquet with an image
    column. A caption comes from a .txt or .json beside the image, a table (csv, jsonl, parquet) with a column
    file_name, the file's metadata (EXIF, XMP, title), or its name. Music: MIDI, MusicXML, ABC and Humdrum files.
    Molecules: smi, sdf, mol, inchi, and csv or parquet with a column of SMILES.

    Removes exact and near duplicates, records a licence for each document, and holds out validation and test data.
    Files that cannot be read are skipped and listed with the reason.

    Parameters
    ----------
    sources
        Files, folders, texts in a bucket (s3://bucket/folder), or builtin:shakespeare.
    medium
        Medium to collect, e.g. text; genloom parts medium lists them. [default: that of most files]
    persons
        What of persons is in the data, comma-separated: voice, face, likeness, words; or none. [default: not stated]
    keep
        Columns or keys to keep with each document, comma-separated: numbers, text or arrays, as conditions.
    val
        Share held out for validation during training.
    test
        Share held out for the final test.
    """
    workspace, console = common.open()
    events = workspace.iter_collect(
        sources,
        name=name or "",
        medium=medium or "",
        licence=licence or "",
        consent=consent or "",
        persons=[name for names in persons or () for name in names.split(",")],
        column=column or "",
        keep=[name for names in keep or () for name in names.split(",")],
        near_duplicates=near_duplicates,
        val=val,
        test=test,
        seed=seed,
        workers=workers or 0,
        on=on,
        **get_medium_options(medium_flags),
    )
    with console.show_progress("Collecting", 1.0) as bar:
        (result,) = deque(show_collection(events, bar), maxlen=1)
    report = result.report
    assert report is not None, "a collection ends with its report"
    console.print_line(f"Data set {report.name!r} in {report.folder}")
    console.print_lines(summarize_report(report))
    console.print_hint(f"Next: genloom {_suggest_training(workspace, report.name)}")
    console.print_result(
        {"name": report.name, "digest": report.digest, "folder": str(report.folder), **report.to_dict()}
    )


def _suggest_training(workspace: Workspace, name: str) -> str:
    """Return the command that trains on a data set; few documents rather tune a built-in model of their medium."""
    from genloom.train.job import read_job

    dataset, base = workspace.store.get_dataset(name), ""
    if dataset.count_documents("train") < FEW_DOCUMENTS:
        for folder in workspace.store.list_built_in_models():
            if read_job(folder.folder / "job.toml").design.medium == dataset.medium:
                base = f" --from {folder.name}"
                break
    return f"train {quote_name(name)}{base} --minutes 10"
