"""`genloom ask`: an answer from documents, with its sources."""

from typing import Annotated

from cyclopts import Parameter

from genloom.api.knowledge import ask
from genloom.api.knowledge_text import iter_answer_lines
from genloom.cli.descriptions import describe_like
from genloom.cli.options.knowledge import open_with_notes
from genloom.cli.options.model_input import Precision
from genloom.cli.options.sampling import DEFAULT_TOKEN_OPTIONS, SamplingSeed, TokenSamplingOptions, Unmarked
from genloom.cli.options.workspace import WorkOptions
from genloom.errors import GenloomError
from genloom.text_format import remove_controls


@describe_like(ask)
def run(
    source: str,
    question: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    model: str | None = None,
    name: str = "",
    no_update: bool = False,
    quotes_only: bool = False,
    passages: bool = False,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    seed: SamplingSeed | None = None,
    unmarked: Unmarked = False,
    precision: Precision = "auto",
    common: WorkOptions = WorkOptions(),
) -> int:
    """Answer a question from documents: the sentences that answer it, and an answer with its sources.

    The first question reads the documents; later ones read only what changed. Exits with 1 if nothing in the documents
    supports an answer.

    Parameters
    ----------
    source
        Folder or file of documents, or the name of knowledge (see genloom list knowledge).
    question
        Question, in the words of the documents if you know them.
    model
        Model that writes the answer. [default: the newest that can chat; without one, only quotes are shown]
    no_update
        Answer from what was read before, also where files changed.
    passages
        The passages in full.
    """
    if not question.strip():
        raise GenloomError("knowledge.empty_question")
    workspace, console = common.open()
    with open_with_notes(workspace, console, source, name, update=not no_update) as knowledge:
        answer = knowledge.ask(
            question,
            model,
            quotes_only=quotes_only,
            seed=seed,
            precision=precision,
            is_marked=not unmarked,
            **token_options.to_params(),
        )
        for note in answer.notes[len(knowledge.notes) :]:
            console.print_note(f"Warning: {note}")
        console.print_lines(iter_answer_lines(answer))
        if passages:
            for found in answer.sources:
                console.print_lines(["", f"[{found.number}] {found.title}", remove_controls(found.text)])
        if answer.is_supported and answer.output is None and not quotes_only:
            console.print_hint("No model wrote an answer. To get one that can: genloom import smollm2")
        console.print_result(answer.to_json())
    return 0 if answer.is_supported else 1
