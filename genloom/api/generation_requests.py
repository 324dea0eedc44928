"""Requests for outputs: from the arguments of a generation, its presets, and an output to continue."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.arguments import Rows, to_plain
from genloom.api.edit_options import find_editing, split_edit_options, take_prompt
from genloom.api.outputs import Output
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.generate.engine import Request
    from genloom.generate.presets import Preset
    from genloom.model import Model as LoadedModel


def add_chat_defaults(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters, with the defaults of a chat for those that are not given."""
    from genloom.generate.text.conversation import DEFAULT_PARAMS

    return {**DEFAULT_PARAMS, **{name: value for name, value in params.items() if value is not None}}


def apply_presets(
    presets: Sequence["Preset"], prompts: Sequence[str], params: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Return the prompts in the templates of the presets, and their settings, which `params` override."""
    settings = {name: value for preset in presets for name, value in preset.params.items()}
    formatted_prompts = list(prompts)
    for preset in presets:
        formatted_prompts = [preset.format_prompt(prompt) for prompt in formatted_prompts]
    return formatted_prompts, settings | {name: value for name, value in params.items() if value is not None}


def build_request(
    model: "LoadedModel",
    prompts: Sequence[str],
    n: int,
    seed: int | None,
    stop: Sequence[str],
    given: Rows,
    interpolate: int,
    params: Mapping[str, Any],
    is_chat: bool = False,
) -> "Request":
    """Return the request for `n` outputs of each prompt; raise GenloomError for what the model cannot do.

    With `is_chat`, the sampling parameters are by default those of a chat.
    """
    from genloom.capabilities import StreamingCodec
    from genloom.generate import engine, sampling_params
    from genloom.generate.blanks import fill_blanks
    from genloom.generate.editing import can_edit, needs_start

    if "" in stop:
        raise GenloomError("api.empty_stop")
    if stop and not isinstance(model.codec, StreamingCodec):
        raise GenloomError("api.stop_without_text", model=model.ref)
    prompts, params = take_prompt(model, prompts, {name: to_plain(value) for name, value in params.items()})
    edit_options, params = split_edit_options(model, params)
    count = 2 if interpolate and len(prompts) == 1 and n == 1 else n
    params = add_chat_defaults(params) if is_chat else sampling_params.add_suggested_params(model, params)
    sampling_params.build_sampling_params(model, params)
    is_sequence = engine.is_open_sequence(model.codec.space)
    request = engine.concat_requests(
        [
            engine.build_request(prompts, count, seed, stop, params, is_sequence, parse_given_texts(model, values))
            for values in to_rows(given)
        ]
    )
    request = fill_blanks(model, request) if edit_options is None else request
    if edit_options is not None:
        edit = find_editing(model).build_edit(edit_options, model)
        if needs_start(edit) and not can_edit(model):
            raise GenloomError(
                "api.edit_unsupported",
                model=model.ref,
                options=", ".join(name for name, value in vars(edit_options).items() if value is not None),
            )
        request = replace(request, edit=edit)
    if not interpolate:
        return request
    if len(request.prompts) != 2:
        raise GenloomError("api.interpolate_prompts", count=len(request.prompts))
    return engine.interpolate_request(request, interpolate)


def continue_request(model: "LoadedModel", request: "Request", output: Output) -> "Request":
    """Return the request whose rows continue an output, under its conditions unless others are given."""
    from genloom.conditioners import PROMPT
    from genloom.generate import default, engine, output_records

    if output.record.get("conversation"):
        raise GenloomError("api.continue_answer", output=output.id, model=model.name)
    is_sequence = engine.is_open_sequence(model.codec.space) and engine.is_left_to_right(model)
    is_sequence &= find_editing(model) is default  # a medium with editing of its own continues a source by that
    if not is_sequence or output.medium.kind != model.design.medium:
        raise GenloomError("api.continue_unsupported", model=model.ref, output=output.id, medium=output.medium.kind)
    rows, row = len(request.prompts), int(output.record.get("row") or 0)
    if PROMPT in model.conditioners and not any(request.prompts):
        request = replace(request, prompts=(output.prompt,) * rows)
    stored = (output.record.get("request") or {}).get("given") or ()
    if not request.given and row < len(stored):
        request = replace(
            request, given=output_records.unpack_given(output.workspace.store, model, stored[row : row + 1]) * rows
        )
    return replace(request, edit=default.SourceEdit(output.value, (1.0, 1.0)))


def to_rows(given: Rows) -> Sequence[Mapping[str, Any]]:
    """Return the values of conditions as rows: one if none or one is given."""
    return [given] if isinstance(given, Mapping) else list(given) or [{}]


def parse_given_texts(model: "LoadedModel", given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of conditions, those parsed that are texts or paths; raise GenloomError for an unknown name."""
    from genloom.conditioners import check_names, parse_given

    check_names(model.conditioners, list(given))
    texts = {name: str(value) for name, value in given.items() if isinstance(value, str | Path)}
    return {**given, **parse_given(model.conditioners, texts)}
