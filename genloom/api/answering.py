"""Answers to conversations that a program writes: a system prompt, examples and a question; stored like any output."""

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genloom.api.generation import GenerationProgress
from genloom.api.outputs import Output, Outputs
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.generate.decode import Draft
    from genloom.generate.engine import Request
    from genloom.model import Model as LoadedModel
    from genloom.types import Message

Conversations = Sequence[Sequence["Message"]]


def answer(
    model: "Model",
    conversations: Conversations,
    *,
    n: int = 1,
    seed: int | None = None,
    stop: Sequence[str] = (),
    grammar: str = "",
    facts: Sequence[Mapping[str, Any]] = (),
    adapters: Sequence[str] = (),
    precision: str = "auto",
    is_marked: bool = True,
    progress: bool | None = None,
    **params: Any,
) -> Outputs:
    """Return `n` stored outputs for each conversation, in order; takes the arguments of `iter_answers`."""
    outputs = Outputs()
    with model.workspace.open_bar("Writing", progress) as bar:
        for event in iter_answers(
            model,
            conversations,
            n=n,
            seed=seed,
            stop=stop,
            grammar=grammar,
            facts=facts,
            adapters=adapters,
            precision=precision,
            is_marked=is_marked,
            **params,
        ):
            match event:
                case GenerationProgress():
                    bar.update(event.step / event.total, event.note)
                case Output():
                    outputs.append(event)
    return outputs


def iter_answers(
    model: "Model",
    conversations: Conversations,
    *,
    n: int = 1,
    seed: int | None = None,
    stop: Sequence[str] = (),
    grammar: str = "",
    facts: Sequence[Mapping[str, Any]] = (),
    adapters: Sequence[str] = (),
    precision: str = "auto",
    is_marked: bool = True,
    **params: Any,
) -> Generator[GenerationProgress | Output]:
    """Yield the steps of the answers to conversations, and each answer as an output once it is stored.

    Parameters
    ----------
    conversations
        Messages of each; the last is the user's. A message is text: the name of a special token in it is no marker.
    n
        Number of answers to each.
    seed
        Random seed. None: a new one each time.
    stop
        Strings that end an answer and are not part of it.
    grammar
        Grammar of the answers, as a request holds it (`genloom.generate.grammar`).
    facts
        Fields to add to the record of the answers to each conversation, e.g. {"template": {...}}; a name must be
        one of `genloom.store.records.OutputRecord`.
    params
        Parameters of the sampler; those that are not given are those of a chat.

    Raises
    ------
    GenloomError
        generate.cannot_chat and its like: the model was not trained on conversations; trust.content_policy.
    """
    from genloom.generate import output_records
    from genloom.generate.prompt_notes import describe_unread

    loaded = model.load(tuple(adapters), precision)
    batches = _build_batches(model, loaded, conversations, n, seed, stop, grammar, params)
    count = n * len(conversations)
    records = [
        {"conversation": [{"role": m.role, "content": m.content} for m in messages], **dict(fact)}
        for messages, fact in zip(conversations, facts or [{}] * len(conversations), strict=True)
    ]
    done = 0
    for batch, unread in batches:
        batch = _mark_batch(model, loaded, batch) if is_marked else batch
        draft = yield from _run_batch(model, loaded, batch, count, is_streamed=count == 1)
        rows = [records[(done + row) // n] | describe_unread(num) for row, num in enumerate(unread)]
        done += len(rows)
        for output_id in output_records.store_outputs(model.workspace.store, loaded, batch, draft, row_metadata=rows):
            yield model.workspace.output(output_id)


def answer_unstored(
    model: "Model",
    conversations: Conversations,
    *,
    seed: int | None = None,
    stop: Sequence[str] = (),
    grammar: str = "",
    **params: Any,
) -> list[str]:
    """Return the text of an answer to each conversation, without storing it: for measurements of many answers."""
    loaded = model.load()
    texts: list[str] = []
    for batch, _ in _build_batches(model, loaded, conversations, 1, seed, stop, grammar, params):
        steps = _run_batch(model, loaded, batch, len(conversations), is_streamed=False)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                texts += end.value.continuations
                break
    return texts


def _build_batches(
    model: "Model",
    loaded: "LoadedModel",
    conversations: Conversations,
    n: int,
    seed: int | None,
    stop: Sequence[str],
    grammar: str,
    params: Mapping[str, Any],
) -> "list[tuple[Request, list[int]]]":
    """Return the batches of requests, each with how many tokens of each conversation are not read."""
    from dataclasses import replace

    from genloom.api.generation_requests import add_chat_defaults
    from genloom.api.policy import apply_policy, list_borders
    from genloom.generate import engine
    from genloom.generate.text.conversation import build_chat_batch

    if not conversations or n < 1:
        raise GenloomError("generate.nothing_to_generate", count=n, num_prompts=len(conversations))
    texts = [[m.content for m in messages] for messages in conversations]
    apply_policy(model.workspace, [each for row in texts for each in (*row, *list_borders(row))], model.ref)
    rows = [messages for messages in conversations for _ in range(n)]
    request, contexts = build_chat_batch(loaded, rows, seed, add_chat_defaults(params))
    request = replace(request, stop=tuple(stop), grammar=grammar, stop_loops=not grammar)
    size = engine.fit_batch_size(loaded)
    unread = [context.num_unread for context in contexts]
    return [
        (batch, unread[start : start + size])
        for batch, start in zip(engine.split_batches(request, size), range(0, len(rows), size), strict=True)
    ]


def _mark_batch(model: "Model", loaded: "LoadedModel", batch: "Request") -> "Request":
    from genloom.generate.marking import mark_request

    return mark_request(model.workspace.store, loaded, batch)


def _run_batch(
    model: "Model", loaded: "LoadedModel", batch: "Request", count: int, is_streamed: bool
) -> "Generator[GenerationProgress, None, Draft]":
    """Yield the steps of a batch, and return its last draft, which the content rules allow."""
    from genloom.api.policy import apply_policy, list_output_texts
    from genloom.generate import engine

    total, draft = engine.count_drafts(loaded, batch), None
    for step, draft in enumerate(engine.generate(loaded, batch), start=1):
        yield GenerationProgress(min(step, total), total, count, draft, is_streamed)
    assert draft is not None, "a request yields at least one draft"
    apply_policy(model.workspace, list_output_texts(loaded, draft), model.ref, "output")
    return draft
