"""`genloom write`: texts from prompts."""

from pathlib import Path
from typing import Annotated, Any

from genloom.api.prompts import Prompts
from genloom.api.writing import Writing, apply_length, name_pair, write
from genloom.assistant.writing.lengths import LENGTH
from genloom.cli.answer_notes import print_answer_notes
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import int_range
from genloom.cli.options.prompt_values import (
    DEFAULT_TOPIC_OPTIONS,
    TopicOptions,
    VariableValues,
    collect_values,
    name_option,
)
from genloom.cli.options.sampling import (
    DEFAULT_TOKEN_OPTIONS,
    ParamSettings,
    SamplingSeed,
    TokenSamplingOptions,
    parse_settings,
)
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import is_file_name, name_copy, resolve_output_folder, warn_of_replacement
from genloom.text_format import format_count, format_table


@describe_like(write)
def run(
    kind: str | None = None,
    /,
    *,
    topic: TopicOptions = DEFAULT_TOPIC_OPTIONS,
    var: VariableValues | None = None,
    file: Path | None = None,
    length: str = "",
    variants: Annotated[int, int_range(1, 100)] = 1,
    model: str = "",
    seed: SamplingSeed | None = None,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    option: ParamSettings | None = None,
    show_prompt: bool = False,
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Write an e-mail, article, post or another text from a prompt, in variants to choose from.

    Without a kind, lists the kinds. Every text is stored as an output, whose trace names the prompt and its version.

    Parameters
    ----------
    kind
        email, article, post, product, poem, story, summary, rewrite, headline, or a prompt of your own, or a file.
    file
        File whose text is the variable "text": a document to summarize or rewrite.
    show_prompt
        Print what the model reads, and write nothing.
    out
        Folder for copies of the texts, or a file.
    """
    workspace, console = common.open()
    prompts = Prompts(workspace)
    if kind is None:
        _print_kinds(prompts, console)
        return
    if out is not None:
        resolve_output_folder(out.parent if is_file_name(out) else out)
    prompt = prompts.get(kind)
    given = collect_values(topic, var or (), file, prompt)
    speaker = prompts.choose_model(model)
    params = parse_settings(speaker, (), "auto", option or ()) | token_options.to_params()
    if show_prompt:
        values, _, limits = apply_length(prompt, given, length)
        messages = prompts.build_messages(prompt, values, speaker, {**prompt.settings, **limits, **params})
        for message in messages:
            console.print_line(f"[{message.role}]")
            console.print_line(f"{message.content}\n")
        console.print_result({"messages": [{"role": m.role, "content": m.content} for m in messages]})
        return
    writing = workspace.write(
        kind,
        given,
        length=length,
        variants=variants,
        model=speaker,
        seed=seed,
        progress=not common.json,
        **params,
    )
    _print_texts(writing, out, console)
    console.print_result(writing.to_record())


def _print_kinds(prompts: Prompts, console: Console) -> None:
    known = list(prompts)
    rows = [
        (p.name, p.description, ", ".join(name_option(name) for name in p.variables if name != LENGTH)) for p in known
    ]
    console.print_lines(format_table([("kind", "what it writes", "options"), *rows]))
    console.print_hint("To see one: genloom prompts show NAME. To make your own: genloom prompts new NAME --from email")
    console.print_result(
        {"kinds": {p.name: {"description": p.description, "variables": [*p.variables]} for p in known}}
    )


def _print_texts(writing: Writing, out: Path | None, console: Console) -> None:
    count = len(writing.outputs)
    for number, output in enumerate(writing.outputs, start=1):
        path = output.path
        if out is not None:
            copy = warn_of_replacement(name_copy(out, output.path.name, number, count))
            path = output.save(copy, note=console.print_note_once)
        letter = f"{chr(ord('a') + number - 1)} · " if 1 < count <= 26 else ""
        console.print_line(f"── {letter}{output.id} · {_describe_length(writing, output)} · {path}")
        console.print_text(f"{str(output.continuation).strip()}\n\n")
        print_answer_notes(output, console)
        if writing.is_cut(output):
            console.print_note(
                f"Note: {output.id} was cut at its limit of tokens. More room: --max-tokens or --length."
            )
    console.print_note(f"Written by {writing.model} with the prompt {writing.prompt.ref}.")
    if command := name_pair(writing.outputs):
        console.print_hint(f"Which is better? {command} (or b, tie, bad)")


def _describe_length(writing: Writing, output: Any) -> str:
    words = writing.count_words(output)
    limit = writing.num_words
    note = f", more than the {limit} asked for" if limit and words > limit else ""
    return f"{format_count(words, 'word')}{note}"
