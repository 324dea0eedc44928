"""`genloom chat`: chat with a model."""

import sys
from typing import Annotated

from cyclopts import Parameter

from genloom.cli.options.common import Adapters, CommonOptions, Precision
from genloom.cli.options.sampling import DEFAULT_TOKEN_OPTIONS, SamplingSeed, TokenSamplingOptions
from genloom.cli.prompt_input import open_prompt_input
from genloom.cli.repl import ChatREPL
from genloom.errors import GenloomError


def run(
    model: str,
    /,
    *,
    adapter: Adapters | None = None,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    conversation: str | None = None,
    system: str | None = None,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    seed: SamplingSeed | None = None,
    precision: Precision = "auto",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Chat with a model; conversations are saved and can be continued.

    Type /help in the chat for its commands. Ctrl-C stops an answer, Ctrl-D leaves.

    Parameters
    ----------
    model
        Model tuned on conversations, e.g. smollm2.
    prompt
        Single question: print its answer and exit; - reads it from standard input.
    conversation
        Conversation to continue, by id or title (see genloom list conversations).
    system
        System prompt.
    """
    workspace, console = common.open()
    if common.json and prompt is None:
        raise GenloomError("cli.chat_json_without_prompt")
    chat = workspace.model(model).chat(
        system=system,
        conversation=conversation or "",
        seed=seed,
        adapters=adapter or (),
        precision=precision,
        is_saved=prompt is None or conversation is not None,
        **token_options.to_params(),
    )
    with open_prompt_input(workspace.folder / "conversations" / "history") as prompt_input:
        repl = ChatREPL(chat, console, prompt_input)
        if prompt is None:
            repl.run()
            return
        repl.ask(sys.stdin.read() if prompt == "-" else prompt)
        console.print_result(repl.build_result())
