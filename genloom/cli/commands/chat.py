"""`genloom chat`: chat with a model."""

import sys
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from genloom.cli.options.common import Adapters, CommonOptions, Precision
from genloom.cli.options.sampling import DEFAULT_TOKEN_OPTIONS, SamplingSeed, TokenSamplingOptions
from genloom.cli.prompt_input import open_prompt_input
from genloom.cli.repl import ChatREPL
from genloom.errors import GenloomError
from genloom.generate.text.conversation import DEFAULT_MAX_REPLY_TOKENS, get_chat_codec
from genloom.model import load_model
from genloom.store.conversation import Conversation


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
    params = token_options.to_params(
        max_tokens=DEFAULT_MAX_REPLY_TOKENS, temperature=0.3, top_p=0.9, repetition_penalty=1.05
    )
    initial_conversation = Conversation() if conversation is None else workspace.get_conversation(conversation)
    loaded_model = load_model(workspace, model, adapter or (), precision)
    get_chat_codec(loaded_model)
    if system is not None:
        initial_conversation = replace(initial_conversation, system=system)
    with open_prompt_input(workspace.root / "conversations" / "history") as prompt_input:
        repl = ChatREPL(workspace, console, prompt_input, loaded_model, params, seed, initial_conversation)
        if prompt is None:
            repl.run()
            return
        question = sys.stdin.read() if prompt == "-" else prompt
        if not question.strip():
            raise GenloomError("cli.empty_question")
        repl.ask(question.strip(), should_store=conversation is not None)
        console.print_result(repl.build_result())
