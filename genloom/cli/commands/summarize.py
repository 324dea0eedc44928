"""`genloom summarize`: a document in a few sentences."""

from pathlib import Path

from genloom.api.tasks import summarize
from genloom.cli.descriptions import describe_like
from genloom.cli.options.model_input import Precision
from genloom.cli.options.sampling import SamplingSeed, Unmarked
from genloom.cli.options.workspace import WorkOptions
from genloom.text_format import format_count


@describe_like(summarize)
def run(
    text: Path,
    /,
    *,
    length: str = "short",
    language: str = "",
    model: str = "",
    seed: SamplingSeed | None = None,
    unmarked: Unmarked = False,
    precision: Precision = "auto",
    common: WorkOptions = WorkOptions(),
) -> None:
    """Summarize a document with any chat model, beside extracts, and mark what it does not support.

    Long documents are summarised in pieces, then the summaries. Sentences that the document does not support are
    marked with [?]: their words or numbers do not stand together in it, and none of its sentences is alike.

    Parameters
    ----------
    text
        Document: text, Markdown, PDF, Word and the like.
    """
    workspace, console = common.open()
    summary = workspace.summarize(
        text,
        length=length,
        language=language,
        model=model,
        seed=seed,
        precision=precision,
        is_marked=not unmarked,
        progress=not common.json,
    )
    if summary.support:
        sentences = [f"{each.sentence}{'' if each.is_supported else ' [?]'}" for each in summary.support]
        console.print_line(" ".join(sentences))
    else:
        console.print_line(summary.text or "(The model wrote nothing.)")
    console.print_line()
    console.print_line(f"Its first sentences:   {summary.extracts['lead']}")
    console.print_line(f"Its central sentences: {summary.extracts['centroid']}")
    num_supported = sum(each.is_supported for each in summary.support)
    console.print_note(
        f"{num_supported} of {len(summary.support)} sentences are supported by the document. "
        f"By {summary.model}, in {format_count(summary.num_pieces, 'piece')}; output {summary.output.id}"
    )
    console.print_result(summary.to_record())
