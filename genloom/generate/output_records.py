"""Records of outputs: outputs are stored with all that a replay needs, and replayed byte for byte."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genloom import conditioners, plugins
from genloom.capabilities import StreamingCodec
from genloom.errors import GenloomError
from genloom.generate.decode import Draft
from genloom.generate.editing import Edit
from genloom.generate.engine import Request, run_request
from genloom.generate.grammar import fits_grammar
from genloom.generate.marking import restore_noise_key
from genloom.model import Model, describe_machine, load_model
from genloom.old_names import upgrade_request
from genloom.settings import parse_settings, to_table
from genloom.store.output_files import verify_output
from genloom.store.workspace import Workspace


def store_outputs(
    workspace: Workspace,
    model: Model,
    request: Request,
    draft: Draft,
    metadata: Mapping[str, Any] | None = None,
    row_metadata: Sequence[Mapping[str, Any]] = (),
    reserved_ids: Sequence[str] = (),
    withheld_rows: Collection[int] = (),
) -> list[str]:
    """Store every output of a final draft but those withheld, with all that a replay needs, and return their ids.

    `metadata` is added to each record, and those of `row_metadata` to the record of their row. `reserved_ids` are those
    that `Workspace.reserve_output` returned for the rows.
    """
    assert model.folder is not None, "only a stored model's outputs can be traced"
    medium = plugins.find_part("medium", model.design.medium)
    request_record = build_request_record(workspace, model, request)
    if request.edit is not None:
        request_record["edit"] = request.edit.pack(medium, workspace.save_original)
    incomplete_rows, output_ids = find_incomplete_rows(model, request, draft), list[str]()
    for row, (value, prompt) in enumerate(zip(draft.values, request.prompts, strict=True)):
        if row in withheld_rows:
            continue
        record = {
            **(metadata or {}),
            **(row_metadata[row] if row_metadata else {}),
            **({"has_loop": True} if any(draft.has_loop[row : row + 1]) else {}),
            **({"is_incomplete": True} if row in incomplete_rows else {}),
            "model": model.ref,
            "medium": model.design.medium,
            "model_digest": model.folder.digest,
            "adapters": {ref: workspace.get_model(ref).digest for ref in model.adapters},
            **({"adapter_weights": dict(model.adapter_weights)} if model.adapter_weights else {}),
            "precision": model.precision,
            "prompt": prompt,
            **({"given": conditioners.format_given(model.conditioners, request.given[row])} if request.given else {}),
            "written": draft.continuations[row] if isinstance(model.codec, StreamingCodec) else None,
            **({"token_ids": list(draft.token_ids[row])} if len(draft.token_ids) else {}),
            "codec_digest": model.folder.codec_digest,
            "row": row,
            "request": request_record,
            "machine": describe_machine(),
        }
        reserved = reserved_ids[row] if reserved_ids else ""
        output_ids.append(workspace.save_output(medium.encode(value), medium.suffixes[0], record, reserved))
    return output_ids


def find_incomplete_rows(model: Model, request: Request, draft: Draft) -> set[int]:
    """Return the rows of a final draft that end before the format that was asked for does, as at a limit of tokens."""
    if not request.grammar:
        return set()
    return {
        row
        for row, token_ids in enumerate(draft.token_ids)
        if not fits_grammar(model.codec, request.grammar, request.eos_ids, token_ids)
    }


def load_edit(workspace: Workspace, model: Model, edit_record: Mapping[str, Any] | None) -> Edit | None:
    """Return the edit of a record with its source from the workspace; None if there is none."""
    if not edit_record:
        return None
    editing = plugins.find_medium_part("editing", model.design.medium)
    return editing.unpack_edit(edit_record, plugins.find_part("medium", model.design.medium), workspace.load_original)


def build_request_record(workspace: Workspace, model: Model, request: Request) -> dict[str, Any]:
    """Return the request for JSON, without edit and noise key; arrays that are given are stored in the workspace."""

    def pack(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {name: model.conditioners[name].pack(value, workspace.save_original) for name, value in values.items()}
            for values in given
        ]

    interpolation = request.interpolation and replace(request.interpolation, given=())
    record = to_table(replace(request, edit=None, given=(), interpolation=interpolation))
    del record["noise_key"]  # a secret
    record |= {"given": pack(request.given)}
    if request.interpolation is not None:
        record["interpolation"]["given"] = pack(request.interpolation.given)
    return record


def unpack_given(workspace: Workspace, model: Model, stored: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the values that `build_request_record` packed. Raise ValueError for a condition that the model lacks."""
    conditioners.check_names(model.conditioners, [name for values in stored for name in values])
    return tuple(
        {name: model.conditioners[name].unpack(value, workspace.load_original) for name, value in values.items()}
        for values in stored
    )


def replay_output(workspace: Workspace, output_id: str) -> tuple[Path, Any]:
    """Generate a stored output again from its record; return the stored file and the new value, equal byte for byte.

    The whole batch is generated again, since the last bits of a sum can depend on the batch size. Raises ValueError if
    the model or the stored file has changed, or the new bytes differ; then it names the changes of the machine.
    """
    path, record = workspace.get_output(output_id)
    require_replay_record(path, record, output_id)
    verify_output(path, record)
    return path, regenerate_output(workspace, output_id)[0]


def require_replay_record(path: Path, record: Mapping[str, Any], output_id: str) -> None:
    """Raise GenloomError for a record that does not say how its output was generated."""
    needed = {"model", "model_digest", "request", "row", "machine", "sha256"}
    if not needed <= record.keys() or record.get("imported"):
        raise GenloomError("generate.no_replay_record", path=path.with_name(f"{output_id}.json"), output=output_id)


def regenerate_output(workspace: Workspace, output_id: str) -> tuple[Any, bytes]:
    """Generate a stored output again from its record, whatever its file holds by now; return its value and bytes.

    Raises ValueError if the model has changed, or the bytes are not those that were generated.
    """
    path, record = workspace.get_output(output_id)
    require_replay_record(path, record, output_id)
    adapters = tuple(record.get("adapters", {}))
    for ref, expected_digest in {record["model"]: record["model_digest"], **record.get("adapters", {})}.items():
        if workspace.get_model(ref).digest != expected_digest:
            raise GenloomError("generate.model_changed", model=ref, output=output_id)
    weights = record.get("adapter_weights") or {}
    added = [f"{ref}={weights[ref]}" if ref in weights else ref for ref in adapters]
    model = load_model(workspace, record["model"], added, record.get("precision", "float32"))
    if adapters != model.adapters:
        model = model.with_adapters(adapters)
    medium, request_record = plugins.find_part("medium", model.design.medium), upgrade_request(record["request"])
    edit = load_edit(workspace, model, request_record.pop("edit", None))
    request_record["given"] = unpack_given(workspace, model, request_record.get("given") or ())
    if interpolation_record := request_record.get("interpolation"):
        given = unpack_given(workspace, model, interpolation_record.get("given") or ())
        request_record["interpolation"] = {**interpolation_record, "given": given}
    request = restore_noise_key(
        workspace, model, replace(parse_settings(Request, request_record, "request"), edit=edit)
    )
    # Earlier versions, whose records name no medium, ended a text that was cut inside a character with U+FFFD.
    value = run_request(model, request, keep_partial="medium" not in record).values[record["row"]]
    data = medium.encode(value)
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        machine = describe_machine()
        saved_machine = record["machine"]
        changes = [
            f"{k}: {saved_machine.get(k, 'not recorded')} → {v}"
            for k, v in machine.items()
            if saved_machine.get(k) != v
        ]
        if changes:
            raise GenloomError("generate.replay_differs_by_machine", output=output_id, changes="; ".join(changes))
        raise GenloomError("generate.replay_differs", output=output_id)
    return value, data
