"""`genloom translate`: a document in another language."""

from pathlib import Path
from typing import Annotated

from genloom.api.tasks import translate
from genloom.cli.descriptions import describe_like
from genloom.cli.options.model_input import Precision
from genloom.cli.options.numbers import int_range
from genloom.cli.options.sampling import SamplingSeed, Unmarked
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.text_format import format_count


@describe_like(translate)
def run(
    text: Path,
    /,
    *,
    to: str,
    from_: str = "",
    glossary: Path | None = None,
    model: str = "",
    tries: Annotated[int, int_range(1, 64)] = 4,
    out: Path | None = None,
    seed: SamplingSeed | None = None,
    unmarked: Unmarked = False,
    precision: Precision = "auto",
    common: WorkOptions = WorkOptions(),
) -> None:
    """Translate a document with any chat model, piece by piece, with a glossary if one is given.

    Paragraphs, lists, headings and code stay where they are. Every piece is a stored output that can be rated. How
    good a translation is depends on the model: smollm2 knows little but English.

    Parameters
    ----------
    text
        Document: text, Markdown, PDF, Word and the like.
    from_
        Language of the document. [default: found out]
    glossary
        Table of terms and their translations (.csv): one pair per line.
    out
        File for the translation. [default: printed]
    """
    workspace, console = common.open()
    target = resolve_output_file(out, f"{text.stem}.{to}.txt") if out is not None else None
    translation = workspace.translate(
        text,
        to=to,
        source=from_,
        model=model,
        glossary=glossary,
        tries=tries,
        seed=seed,
        precision=precision,
        is_marked=not unmarked,
        progress=not common.json,
    )
    if target is not None:
        translation.save(target, note=console.print_note_once)
        console.print_line(f"Written to {target}.")
    else:
        console.print_text(translation.text.rstrip("\n") + "\n")
    for note in translation.notes:
        console.print_note(f"Note: {note}.")
    outputs = translation.outputs
    stored = f"; {format_count(len(outputs), 'output')}, the last is {outputs[-1].id}" if outputs else ""
    console.print_note(f"By {translation.model}{stored}")
    console.print_result({**translation.to_record(), **({"out": str(target)} if target else {})})
