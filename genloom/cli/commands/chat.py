"""`genloom chat`: talk with a model."""

import sys
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from genloom.cli.options.common import CommonOptions
from genloom.cli.options.sampling import DEFAULT_TOKEN_OPTIONS, TokenSamplingOptions
from genloom.cli.options.types import Seed
from genloom.cli.prompt_input import open_prompt_input
from genloom.cli.repl import ChatREPL
from genloom.generate.text.conversation import DEFAULT_MAX_REPLY_TOKENS, get_chat_codec
from genloom.model import load_model
from genloom.store.conversation import Conversation


def run(
    model: str,
    /,
    *,
    adapter: list[str] | None = None,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    conversation: str | None = None,
    system: str | None = None,
    token_options: TokenSamplingOptions = DEFAULT_TOKEN_OPTIONS,
    seed: Seed | None = None,
    precision: str = "auto",
    common: CommonOptions = CommonOptions(),
) -> None:
    """Talk with a model; conversations are kept and can be gone on with.

    Type /help while talking to see what else can be done. Ctrl-C stops an answer, Ctrl-D leaves.

    Parameters
    ----------
    model
        A model that learned from conversations, like smollm2.
    adapter
        A model that was tuned on the same base with --method lora: what it learned is added. Repeat for several.
    prompt
        Ask only this, print the answer and leave; - reads the question from standard input.
    conversation
        Go on with this one, by its id or title (genloom list conversations shows them).
    system
        What the model is told about its part before everything else.
    seed
        The same number gives the same answers to the same questions. Default: new ones each time.
    precision
        float32, bfloat16, int8 or int4: the fewer bits, the faster, and a little less exact. Default for a large
        transformer on a processor that can: int4 where that loses nothing, else int8; for others float32.
    """
    workspace, console = common.open()
    if common.json and prompt is None:
        raise ValueError('--json needs one question: genloom chat MODEL --prompt "…" --json')
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
            raise ValueError('There is no question. Ask one: genloom chat MODEL --prompt "…"')
        repl.ask(question.strip(), should_store=conversation is not None)
        console.print_result(repl.build_result())
