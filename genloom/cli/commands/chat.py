"""`genloom chat`: chat with a model."""

import sys
from typing import Annotated

from cyclopts import Parameter

from genloom.api.models import Model
from genloom.cli.descriptions import describe_like
from genloom.cli.options.context import DEFAULT_CONTEXT_OPTIONS, ContextOptions
from genloom.cli.options.knowledge import DEFAULT_KNOWLEDGE_OPTIONS, KnowledgeOptions
from genloom.cli.options.model_input import (
    MAX_PROMPT_BYTES,
    Adapters,
    Precision,
    PromptsFile,
    read_prompts,
    warn_of_full_adapters,
)
from genloom.cli.options.sampling import (
    DEFAULT_TOKEN_OPTIONS,
    ParamSettings,
    SamplingSeed,
    TokenSamplingOptions,
    Unmarked,
    parse_settings,
)
from genloom.cli.options.tools import DEFAULT_TOOL_OPTIONS, ToolOptions
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.prompt_input import open_prompt_input
from genloom.cli.repl import ChatREPL
from genloom.errors import GenloomError


@describe_like(Model.chat)
def run(
    model: str,
    /,
    *,
    adapter: Adapters | None = None,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    prompts: PromptsFile | None = None,
    conversation: str | None = None,
    system: str | None = None,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    option: ParamSettings | None = None,
    seed: SamplingSeed | None = None,
    unmarked: Unmarked = False,
    precision: Precision = "auto",
    knowledge_options: KnowledgeOptions = DEFAULT_KNOWLEDGE_OPTIONS,
    tool_options: ToolOptions = DEFAULT_TOOL_OPTIONS,
    context_options: ContextOptions = DEFAULT_CONTEXT_OPTIONS,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Chat with a model; conversations are saved and can be continued.

    Type /help in the chat for its commands. Ctrl-C stops an answer, Ctrl-D leaves.

    Parameters
    ----------
    model
        Model tuned on conversations, e.g. smollm2.
    prompt
        Single question: print its answer and exit; - reads it from standard input.
    prompts
        File of questions, one per line: ask them in one conversation, print the answers and exit.
    conversation
        Conversation to continue, by id or title (see genloom list conversations).
    """
    workspace, console = common.open()
    questions = list(read_prompts(prompts) if prompts else ())
    if prompt is not None:
        questions.append(sys.stdin.read(MAX_PROMPT_BYTES) if prompt == "-" else prompt)
    if prompts and not questions:
        raise GenloomError("cli.prompts_file_empty", path=prompts)
    if common.json and not questions:
        raise GenloomError("cli.chat_json_without_prompt")
    speaker = workspace.model(model)
    warn_of_full_adapters(speaker, adapter or (), console)
    with (
        open_prompt_input(workspace.folder / "conversations" / "history") as prompt_input,
        knowledge_options.open(workspace, console) as knowledge,
        tool_options.open(workspace, console, prompt_input) as tools,
    ):
        chat = speaker.chat(
            system=system,
            conversation=conversation or "",
            seed=seed,
            adapters=adapter or (),
            precision=precision,
            is_saved=not questions or conversation is not None,
            is_marked=not unmarked,
            **parse_settings(speaker, adapter or (), precision, option or ()) | token_options.to_params(),
            tools=tools or (),
            knowledge=knowledge,
        )
        for note in tools.notes if tools else ():
            console.print_note(note)
        context_options.apply(chat, console)
        repl = ChatREPL(chat, console, prompt_input)
        if not questions:
            repl.run()
            return
        turns = []
        for question in questions:
            repl.ask(question)
            turns.append(repl.build_result())
        console.print_result({**turns[-1], **({"turns": turns} if prompts else {})})
