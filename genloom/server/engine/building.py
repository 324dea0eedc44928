"""From the request of a client to the request of a loaded model: prompts, conversations, options, files and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

import genloom
from genloom import plugins
from genloom.api.edit_options import find_editing
from genloom.api.generation_requests import add_chat_defaults, apply_presets, build_request, continue_request
from genloom.api.policy import apply_policy, list_borders, list_prompt_texts
from genloom.api.workspace import Workspace
from genloom.assistant.tools.call_formats import find_call_format, render_tool_message
from genloom.codecs.chat_template import get_eos_ids, render_chat, require_chat_template
from genloom.errors import GenloomError
from genloom.generate import engine, sampling_params
from genloom.generate.decode import Draft
from genloom.generate.marking import mark_request
from genloom.generate.presets import check_presets
from genloom.generate.prompt_notes import describe_prompts, describe_unread
from genloom.generate.text import conversation
from genloom.model import Model
from genloom.server import reasoning
from genloom.server.engine.messages import GenerationRequest
from genloom.settings import list_options
from genloom.types import Message, TokenSpace


@dataclass(frozen=True)
class BuiltRequest:
    """The rows to generate, what the record of each says besides, and the number of tokens of its prompt."""

    request: engine.Request
    row_metadata: Sequence[Mapping[str, Any]]
    num_prompt_tokens: Sequence[int]
    indices: Sequence[int]  # the place of each row among all that were asked for
    opening: str = ""  # what the chat template wrote of the answer, which is sent before it: the tag of its reasoning


def build_rows(workspace: Workspace, model: Model, request: GenerationRequest) -> BuiltRequest:
    """Return the rows of a request; raise GenloomError for what the model cannot do, before anything is generated."""
    check_files(model, request)
    built = _build_answer(model, request) if request.messages else _generate(workspace, model, request)
    rows = built.request
    if request.logit_bias or request.grammar:
        bias = tuple(request.logit_bias.items())
        # A format is not to be broken off where it repeats itself.
        rows = replace(
            rows, logit_bias=bias, grammar=request.grammar, stop_loops=rows.stop_loops and not request.grammar
        )
    engine.prepare_sampling(model, engine.slice_request(rows, slice(0, 1)))  # raises for invalid values
    apply_policy(workspace, _list_checked_texts(model, request, rows), model.ref)
    if request.is_marked:
        rows = mark_request(workspace.store, model, rows)
    return skip_rows(replace(built, request=rows), request.skip_nonces)


def _list_checked_texts(model: Model, request: GenerationRequest, rows: engine.Request) -> list[str]:
    """List the texts that the content rules read: those of people, and prompts that came as tokens."""
    if request.messages:
        contents = [message.content for message in request.messages if message.role != "assistant"]
        return [*contents, *list_borders(contents)]
    as_tokens = [str(model.codec.decode(np.asarray(ids, np.int64))) for ids in request.prompt_ids]
    return [*list_prompt_texts(model, rows), *as_tokens]


def skip_rows(built: BuiltRequest, nonces: Sequence[int]) -> BuiltRequest:
    """Return the rows without those of these nonces. The frames of an interpolation, which share one, all stay."""
    rows = built.request
    if not nonces or rows.interpolation is not None:
        return built
    kept = [row for row, nonce in enumerate(rows.nonces) if nonce not in nonces]

    def select(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[row] for row in kept) if values else ()

    fields = {name: select(getattr(rows, name)) for name in ("prompts", "nonces", "prompt_ids", "given")}
    metadata, lengths = select(built.row_metadata), select(built.num_prompt_tokens)
    return replace(
        built, request=replace(rows, **fields), row_metadata=metadata, num_prompt_tokens=lengths, indices=kept
    )


def _build_answer(model: Model, request: GenerationRequest) -> BuiltRequest:
    """Return the rows that answer a conversation."""
    codec, context_length = conversation.get_chat_codec(model), model.design.context_length
    messages = merge_unknown_roles(request.messages, require_chat_template(codec).prefixes)
    params = {name: value for name, value in request.params.items() if value is not None}
    asked = int(params.get("max_tokens") or 0)
    render_message = partial(render_tool_message, find_call_format(codec))
    ids = render_chat(codec, messages, add_generation_prompt=True, render_message=render_message)[0]
    unread: dict[str, Any] = {}
    if request.should_truncate:
        num_kept = min(asked or conversation.DEFAULT_MAX_REPLY_TOKENS, context_length // 2)
        shortened = conversation.truncate_conversation(codec, messages, context_length - num_kept, render_message)
        ids, unread = shortened.prompt_ids, describe_unread(shortened.num_unread)
    num_tokens = check_prompt_length(model, len(ids) + 1) - 1
    room = context_length - num_tokens
    max_tokens = min(asked or conversation.DEFAULT_MAX_REPLY_TOKENS, room)
    params = add_chat_defaults({**params, "max_tokens": max_tokens})
    rows = engine.build_request([messages[-1].content], request.n, request.seed, request.stop, params)
    prompt_ids = (tuple(ids.tolist()),) * len(rows.prompts)
    rows = replace(rows, prompt_ids=prompt_ids, eos_ids=get_eos_ids(codec), stop_loops=True)
    record = conversation.describe_messages(messages)
    count = len(rows.prompts)
    metadata, template = [{"conversation": record, **unread}] * count, require_chat_template(codec)
    prompt = template.prefixes["assistant"] if template.generation_prompt is None else template.generation_prompt
    opening = reasoning.OPENING if reasoning.begins_reasoning(prompt) else ""
    return BuiltRequest(rows, metadata, [num_tokens] * count, range(count), opening)


def build_given_answer(model: Model, messages: Sequence[Message], answer: str) -> tuple[BuiltRequest, Draft]:
    """Return an answer that comes from elsewhere as if the model had written it, so that it can learn from it."""
    built = _build_answer(model, GenerationRequest("", messages=tuple(messages)))
    rows = built.request
    answer_ids = np.asarray(model.codec.encode(answer), np.int64)
    ids = (*answer_ids.tolist(), rows.eos_ids[0])
    check_prompt_length(model, built.num_prompt_tokens[0] + len(ids))
    return built, Draft((answer,), (answer,), (True,), (len(answer_ids),), (ids,))


def merge_unknown_roles(messages: Sequence[Message], known_roles: Mapping[str, str]) -> list[Message]:
    """Return the messages in roles that the template has: instructions of an unknown one go before the next message."""
    merged, pending = [], ""
    for message in messages:
        if message.role == "system" and "system" not in known_roles:
            pending += message.content + "\n\n"
            continue
        merged.append(Message(message.role, pending + message.content))
        pending = ""
    return merged if merged and not pending else [*merged, Message("user", pending.strip())]


def _generate(workspace: Workspace, model: Model, request: GenerationRequest) -> BuiltRequest:
    """Return the rows of prompts, as `Model.generate` builds them."""
    presets = workspace.get_presets(list(request.presets))
    prompts, params = apply_presets(presets, list(request.prompts), request.params)
    check_presets(presets, model)
    is_chat = conversation.choose_chat(workspace.store, [model], False if request.continue_from else request.is_chat)
    rows = build_request(
        *(model, prompts, request.n, request.seed, list(request.stop), list(request.given)),
        *(request.interpolate, params, is_chat),
    )
    if request.continue_from:
        rows = continue_request(model, rows, workspace.output(request.continue_from))
    if request.prompt_ids:
        rows = replace(rows, prompt_ids=tuple(ids for ids in request.prompt_ids for _ in range(request.n)))
    if is_chat:
        rows, contexts = conversation.as_questions(model, rows)
        metadata = [conversation.describe_question(*row) for row in zip(rows.prompts, contexts, strict=True)]
        return BuiltRequest(rows, metadata, [len(ids) for ids in rows.prompt_ids], range(len(rows.prompts)))
    lengths = count_prompt_tokens(model, rows)
    if not request.should_truncate:
        for length in set(lengths):
            check_prompt_length(model, length)
    metadata = describe_prompts(model, rows)
    return BuiltRequest(rows, metadata, lengths, range(len(rows.prompts)))


def count_prompt_tokens(model: Model, rows: engine.Request) -> list[int]:
    """Return how many tokens each prompt has, with BOS; 0 where it is not the beginning of the output."""
    if rows.prompt_ids:
        return [len(ids) for ids in rows.prompt_ids]
    if not engine.can_continue(model):
        return [0] * len(rows.prompts)
    lengths = {prompt: len(engine.encode_prefix(model, prompt)) + 1 for prompt in set(rows.prompts)}
    return [lengths[prompt] for prompt in rows.prompts]


def check_prompt_length(model: Model, num_tokens: int) -> int:
    """Return the length of a prompt; raise GenloomError if the model does not read so much."""
    context_length = model.design.context_length
    if context_length and num_tokens > context_length:
        raise GenloomError("generate.prompt_too_long", num_tokens=num_tokens, context_length=context_length)
    return num_tokens


def check_files(model: Model, request: GenerationRequest) -> None:
    """Raise GenloomError for a text where a file is expected: only the server says which files are read."""
    names = {option["name"] for option in list_request_options(model) if option["type"] == "file"}
    for values in (request.params, *request.given):
        for name, value in values.items():
            if name in names and value is not None and not isinstance(value, Path):
                raise GenloomError("server.file_expected", name=name)


def list_request_options(model: Model) -> list[dict[str, Any]]:
    """List what a request may say: the sampler's options, those of the medium's editing, and the conditions."""
    defaults = sampling_params.add_suggested_params(model, {})
    if engine.is_open_sequence(model.codec.space) and engine.is_left_to_right(model):
        defaults["max_tokens"] = engine.get_default_max_tokens(model)
    sampling = [
        describe_option("sampling", each, defaults.get(each.name, each.default))
        for each in sampling_params.list_request_options(model)
    ]
    edit_class = find_editing(model).EditOptions
    edit = [describe_option("edit", each, each.default) for each in list_options(edit_class)]
    hints = get_type_hints(edit_class)
    for option in edit:
        if Path in (hints[option["name"]], *get_args(hints[option["name"]])):
            option["type"] = "file"
    return sampling + edit + [describe_condition(name, each) for name, each in model.conditioners.items()]


def describe_option(group: str, option: Any, default: Any) -> dict[str, Any]:
    kind = option.type if option.type in ("int", "float", "bool", "str") else "str"
    kind = next((name for name in ("int", "float", "bool") if option.type.startswith(name)), kind)
    return {
        "name": option.name,
        "group": group,
        "type": kind,
        "default": default if isinstance(default, int | float | str | bool | None) else list(default),
        "requirement": option.requirement,
        "minimum": option.minimum,
        "maximum": option.maximum,
        "choices": list(option.choices),
        "help": option.help,
    }


def describe_condition(name: str, conditioner: Any) -> dict[str, Any]:
    """Return a condition as an option: a choice, a number, words, or a file."""
    classes = list(getattr(getattr(conditioner, "config", None), "classes", None) or ())
    kind = "choice" if classes else "str" if conditioner.spec.tokens else "float"
    if getattr(conditioner, "reads_files", True):
        kind = "file"
    option = {"name": name, "group": "condition", "type": kind, "default": None, "requirement": "", "help": ""}
    return option | ({"choices": classes} if classes else {})


def build_fingerprint(model: Model, marking_key: str = "") -> str:
    """Return what two requests with one seed must share to give the same bytes: weights, precision, program and key."""
    digest = model.folder.digest if model.folder is not None else ""
    return "_".join(filter(None, ["fp", digest[:16], model.precision, genloom.__version__, marking_key[11:]]))


def describe_model(workspace: Workspace, model: Model) -> dict[str, Any]:
    """Return what a model can do."""
    medium = plugins.find_part("medium", model.design.medium)
    return {
        "ref": model.ref,
        "medium": model.design.medium,
        "suffix": medium.suffixes[0],
        "context_length": model.design.context_length,
        "can_chat": conversation.can_chat(model),
        "is_assistant": conversation.is_assistant(workspace.store, model),
        "streams_text": engine.can_stream_text(model),
        "can_continue": engine.can_continue(model),
        "reads_prompts": bool(model.conditioners) and "prompt" in model.conditioners,
        "vocab_size": getattr(model.codec.space, "vocab_size", 0),
        "fingerprint": build_fingerprint(model),
        "precision": model.precision,
        "sample_size": find_sample_size(model),
        "options": list_request_options(model),
    }


def find_sample_size(model: Model) -> list[int]:
    """Return the size of the values that the model makes, if that is fixed: of pictures height and width."""
    space = model.codec.space
    if engine.is_open_sequence(space):
        return []
    is_grid = isinstance(space, TokenSpace)
    blank = np.zeros(prod(space.grid), np.int64) if is_grid else np.zeros((space.channels, *space.size), np.float32)
    return list(np.shape(model.codec.decode(blank))[:2])
