"""`genloom chat`: talk with a model."""

import sys
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from genloom.cli.lines import lines
from genloom.cli.numbers import Seed
from genloom.cli.sampling import WRITING, Writing
from genloom.cli.shared import Shared
from genloom.cli.talk import Talk
from genloom.generate.conversation import LENGTH, speaking
from genloom.model import open_model
from genloom.store.conversation import Conversation


def run(
    model: str,
    /,
    *,
    adapter: list[str] | None = None,
    once: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    conversation: str | None = None,
    system: str | None = None,
    writing: Writing = WRITING,
    seed: Seed | None = None,
    precision: str = "auto",
    shared: Shared = Shared(),
) -> None:
    """Talk with a model; conversations are kept and can be gone on with.

    Type /help while talking to see what else can be done. Ctrl-C stops an answer, Ctrl-D leaves.

    Parameters
    ----------
    model
        A model that learned from conversations, like smollm2.
    adapter
        A model that was tuned on the same base with --method lora: what it learned is added. Repeat for several.
    once
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
    workspace, screen = shared.open()
    if shared.json and once is None:
        raise ValueError('--json needs one question: genloom chat MODEL --once "…" --json')
    controls = writing.controls(length=LENGTH, temperature=0.3, top_p=0.9, repetition_penalty=1.05)
    started = Conversation() if conversation is None else workspace.conversation(conversation)
    opened = open_model(workspace, model, adapter or (), precision)
    speaking(opened)
    if system is not None:
        started = replace(started, system=system)
    with lines(workspace.root / "conversations" / "history") as typed:
        talk = Talk(workspace, screen, typed, opened, controls, seed, started)
        if once is None:
            talk.loop()
            return
        question = sys.stdin.read() if once == "-" else once
        if not question.strip():
            raise ValueError('There is no question. Ask one: genloom chat MODEL --once "…"')
        talk.ask(question.strip(), kept=conversation is not None)
        screen.result(talk.facts())
