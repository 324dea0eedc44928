"""The generation engine: requests to streams of drafts, and outputs stored so that they can be replayed.

Shape letters: B rows of a request.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom import conditioners, plugins
from genloom.capabilities import StreamingCodec
from genloom.errors import GenloomError
from genloom.generate import conditions, token_prompts
from genloom.generate.decode import Draft, TextDecoder, ValueDecoder
from genloom.generate.editing import Edit, SamplerStart, can_edit
from genloom.generate.interpolation import Interpolation, SlerpNoise
from genloom.media.abilities import get_ability
from genloom.memory import count_sample_bytes, rows_within
from genloom.model import Model, describe_machine, load_model
from genloom.noise import NUM_SIGNAL_NONCES, NUM_TOKEN_NONCES, Noise
from genloom.old_names import upgrade_request
from genloom.settings import OptionInfo, apply_overrides, list_options, parse, to_table
from genloom.store.files import hash_file
from genloom.store.workspace import Workspace
from genloom.types import Item, Space, TokenSpace

NOISE_KEY = 0x67656E6C6F6F6D  # until a workspace has its own key: outputs can be replayed, but have no watermark
MAX_BATCH_SIZE = 32  # rows whose KV cache fits in the memory of a small machine
MAX_BATCH_BYTES = 1 << 25  # of the samples, if they are large; the network needs many times more


@dataclass(frozen=True)
class Request:
    """A batch of outputs to generate, one per prompt and nonce.

    A prompt is the value of the condition "prompt" if the model has one, and else the beginning of the output.
    """

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]  # one per prompt; they seed the noise
    stop: tuple[str, ...] = ()  # strings that end an output and are not part of it
    params: Mapping[str, Any] = field(default_factory=dict)  # of the sampler, and of conditions.GuidanceConfig
    prompt_ids: tuple[tuple[int, ...], ...] = ()  # prompts as tokens, one row each, if text cannot express them
    eos_ids: tuple[int, ...] = ()  # end-of-sequence tokens besides the codec's own
    edit: Edit | None = None  # the source of all outputs, which only the medium's editing looks into
    interpolation: Interpolation | None = None  # the other end, for interpolated outputs
    given: tuple[Mapping[str, Any], ...] = ()  # the values of the other conditions, one mapping per row; (): none

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces)
        assert len(self.prompt_ids) in (0, len(self.prompts))
        assert len(self.given) in (0, len(self.prompts))


def build_request(
    prompts: Sequence[str],
    count: int,
    seed: int | None,
    stop: Sequence[str],
    params: Mapping[str, Any],
    pool_size: int = NUM_TOKEN_NONCES,
    given: Mapping[str, Any] | None = None,
) -> Request:
    """Build a request for `count` outputs per prompt, all with the same values of the other conditions.

    A prompt can be among those values instead of in `prompts`.

    Nonces are drawn from a small pool, so that a watermark can be detected, and without replacement within a prompt
    while the pool lasts. A seed makes them reproducible.
    """
    if given and conditioners.PROMPT in given and not any(prompts):
        prompts = [str(given[conditioners.PROMPT])]
    given = {name: value for name, value in (given or {}).items() if name != conditioners.PROMPT}
    if count < 1 or not prompts:
        raise GenloomError("generate.nothing_to_generate", count=count, num_prompts=len(prompts))
    if seed is not None and seed < 0:
        raise GenloomError("generate.bad_seed", seed=seed)
    rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
    nonces: list[int] = []
    for _ in prompts:
        permutation = rng.permutation(pool_size)
        nonces += [int(permutation[i % pool_size]) + pool_size * (i // pool_size) for i in range(count)]
    rows = tuple(p for p in prompts for _ in range(count))
    return Request(rows, tuple(nonces), tuple(stop), dict(params), given=(given,) * len(rows) if given else ())


def fit_batch_size(model: Model) -> int:
    """Return how many rows of the model's samples are generated together."""
    return rows_within(count_sample_bytes(model.codec.space), MAX_BATCH_BYTES, MAX_BATCH_SIZE)


def split_batches(request: Request, batch_size: int = MAX_BATCH_SIZE) -> list[Request]:
    """Split a request into batches that fit in memory; each is generated, stored and replayed on its own."""
    return [
        slice_request(request, slice(start, start + batch_size)) for start in range(0, len(request.prompts), batch_size)
    ]


def slice_request(request: Request, rows: slice) -> Request:
    return replace(
        request,
        prompts=request.prompts[rows],
        nonces=request.nonces[rows],
        prompt_ids=request.prompt_ids[rows],
        interpolation=None if request.interpolation is None else request.interpolation.select_rows(rows),
        given=request.given[rows],
    )


def interpolate_request(request: Request, num_frames: int) -> Request:
    """Build the request for `num_frames` outputs from the first to the second of a request's two outputs.

    Two rows with different conditions share one nonce, so that only those change. Raises ValueError unless there are
    two.
    """
    if len(request.prompts) != 2 or num_frames < 2:
        raise GenloomError("generate.bad_interpolation", num_prompts=len(request.prompts), num_frames=num_frames)
    differs = request.prompts[0] != request.prompts[1] or (request.given and request.given[0] is not request.given[1])
    end_nonce = request.nonces[0] if differs else request.nonces[1]
    interpolation = Interpolation(
        request.prompts[1:] * num_frames,
        (end_nonce,) * num_frames,
        tuple(np.linspace(0, 1, num_frames).tolist()),
        request.given[1:] * num_frames,
    )
    return replace(
        request,
        prompts=request.prompts[:1] * num_frames,
        nonces=request.nonces[:1] * num_frames,
        given=request.given[:1] * num_frames,
        interpolation=interpolation,
    )


def get_nonce_pool_size(space: Space) -> int:
    """Return the size of the pool that nonces for a space are drawn from."""
    return NUM_TOKEN_NONCES if is_open_sequence(space) else NUM_SIGNAL_NONCES


def is_open_sequence(space: Space) -> bool:
    """Whether outputs are token sequences of any length that an EOS token ends."""
    return isinstance(space, TokenSpace) and not space.grid


def never_stop() -> bool:
    return False


def generate(
    model: Model, request: Request, should_stop: Callable[[], bool] = never_stop, keep_partial: bool = False
) -> Iterator[Draft]:
    """Yield drafts of increasing quality or length; the last is the result.

    `should_stop` is called after every draft; `truncate_request` gives the request that reproduces a stopped one.
    `keep_partial` keeps a character that the end of a text cuts, as U+FFFD.
    Raises ValueError for parameters that the model's sampler does not have.
    """
    params, is_finished, prompts = prepare_sampling(model, request)
    parts, cond = conditions.encode_conditions(
        model, request.prompts, request.interpolation, request.params, request.given
    )
    start = SamplerStart({})
    if request.edit is not None:
        start = request.edit.prepare(model, len(request.prompts))
        params, prompts = start_from(model, params, prompts, start)
    decoder: Callable[[Tensor, bool], Draft]
    if is_open_sequence(model.codec.space):
        decoder = TextDecoder(
            model.codec, prompts, request.stop, request.eos_ids, is_finished, is_left_to_right(model), keep_partial
        )
    else:
        decoder = ValueDecoder(model.codec, start.finish)
    num_given = 1 if "known_ids" in start.inputs else 0  # a sampler with known tokens returns BOS too
    sample = None
    try:
        for sample in model.objective.sample(parts, len(request.prompts), cond, build_noise(request), params):
            sample = sample[:, num_given:]
            yield decoder(sample, False)
            if is_finished.all() or should_stop():
                break
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise GenloomError("generate.out_of_memory", count=len(request.prompts)) from None
    assert sample is not None, "a sampler yields a draft"
    yield decoder(sample, True)


def start_from(
    model: Model, params: Any, prompts: list[np.ndarray], start: SamplerStart
) -> tuple[Any, list[np.ndarray]]:
    """Return the sampling parameters with the start of an edit, and the tokens before those that are generated."""
    inputs = dict(start.inputs)
    if "known_ids" in inputs:
        prompts = [np.zeros(0, np.int64)] * len(inputs["known_ids"])
    elif "prompt_ids" in inputs:
        prompts = [ids[1:] for ids in inputs["prompt_ids"]]
        inputs["prompt_ids"] = tuple(ids[-model.design.context_length :] for ids in inputs["prompt_ids"])
    return replace(params, inputs=replace(params.inputs, **inputs)), prompts


def build_noise(request: Request) -> Noise:
    """Return the noise of the rows, a function of their nonces."""
    if request.interpolation is None:
        return Noise(NOISE_KEY, request.nonces)
    return SlerpNoise(NOISE_KEY, request.nonces, request.interpolation.nonces, request.interpolation.weights)


def truncate_request(request: Request, draft: Draft) -> Request:
    """Return the request that reproduces a draft which was stopped early: the same, with fewer tokens."""
    if all(draft.is_finished):
        return request
    return replace(request, params={**request.params, "max_tokens": max(draft.num_tokens)})


def run_request(model: Model, request: Request, keep_partial: bool = False) -> Draft:
    """Generate, and return the last draft."""
    *_, draft = generate(model, request, keep_partial=keep_partial)
    return draft


def prepare_sampling(model: Model, request: Request) -> tuple[Any, np.ndarray, list[np.ndarray]]:
    """Return the sampling parameters, the flags that end rows early, and the prompts as tokens."""
    params_class, space = get_params_class(model), model.codec.space
    check_request(model, request)
    names = {f.name for f in fields(params_class)}
    overrides = {name: value for name, value in request.params.items() if name in names and value is not None}
    params, is_finished = parse(params_class, overrides, "generate"), np.zeros(len(request.prompts), dtype=bool)
    if not isinstance(space, TokenSpace):
        return params, is_finished, []
    if space.grid:
        inputs = replace(
            params.inputs,
            prompt_ids=(np.array([space.bos]),) * len(request.prompts),
            suppressed_tokens=(space.bos, space.eos),
            is_finished=is_finished,
        )
        return replace(params, max_tokens=prod(space.grid), inputs=inputs), is_finished, []
    prompts = [encode_prefix(model, "" if request.prompt_ids else prompt) for prompt in request.prompts]
    is_causal = is_left_to_right(model)
    max_tokens, max_prompt_tokens = token_prompts.compute_length_budget(
        model, params.max_tokens or get_default_max_tokens(model) * is_causal, is_causal
    )
    prompt_ids = token_prompts.validate_prompt_ids(request.prompt_ids, space, max_prompt_tokens) or tuple(
        with_bos(space.bos, p, max_prompt_tokens) for p in prompts
    )
    inputs = replace(
        params.inputs,
        prompt_ids=prompt_ids,
        suppressed_tokens=token_prompts.list_suppressed_tokens(model.codec, (space.eos, *request.eos_ids)),
        eos_ids=request.eos_ids,
        is_finished=is_finished,
    )
    return replace(params, max_tokens=max_tokens, inputs=inputs), is_finished, prompts


def get_default_max_tokens(model: Model) -> int:
    """Return how many tokens a causal model generates unless a request says otherwise: what the medium declares."""
    return get_ability(plugins.find_part("medium", model.design.medium), "max_tokens")


def encode_prefix(model: Model, prompt: str) -> np.ndarray:
    """Return the tokens that an output begins with: those of the prompt, unless the prompt is a condition."""
    if not prompt or conditioners.PROMPT in model.conditioners:
        return np.zeros(0, np.int64)
    parse = get_ability(plugins.find_part("medium", model.design.medium), "parse")
    return np.asarray(model.codec.encode(parse(prompt)), dtype=np.int64)


def can_continue(model: Model) -> bool:
    """Return whether a prompt can be the beginning of an output: of open sequences that can be written as text."""
    medium = plugins.find_part("medium", model.design.medium)
    return is_open_sequence(model.codec.space) and get_ability(medium, "parse") is not None


def check_request(model: Model, request: Request) -> None:
    """Raise ValueError for a request that the model does not support."""
    objective, space = model.design.objective, model.codec.space
    param_names = {name for name, value in request.params.items() if value is not None}
    if unknown_names := sorted(param_names - set(list_request_params(model))):
        raise build_unknown_param_error(model, unknown_names[0])
    conditioners.check_names(model.conditioners, [name for values in request.given for name in values])
    if conditioners.PROMPT not in model.conditioners and any(request.prompts) and not can_continue(model):
        raise GenloomError("generate.no_prompt_support", objective=objective)
    if request.edit is not None and not can_edit(model):
        raise GenloomError("generate.no_edit_support", objective=objective)
    has_prefix = bool(request.prompt_ids) or (conditioners.PROMPT not in model.conditioners and any(request.prompts))
    if request.edit is not None and is_open_sequence(space) and has_prefix:
        raise GenloomError("generate.prompt_with_edit")
    if request.interpolation is not None and isinstance(space, TokenSpace):
        raise GenloomError("generate.no_interpolation_support", objective=objective)


def build_unknown_param_error(model: Model, name: str) -> GenloomError:
    known = ", ".join(list_request_params(model))
    return GenloomError("generate.unknown_param", objective=model.design.objective, name=name, known=known)


def list_request_params(model: Model) -> list[str]:
    """Return the names of the parameters that a request to this model can have, sorted."""
    return sorted(each.name for each in list_request_options(model))


def list_request_options(model: Model) -> list[OptionInfo]:
    """List the parameters that a request to this model can have: those of its sampler, and of guidance."""
    guidance_options = list_options(conditions.GuidanceConfig) if conditions.can_guide(model) else []
    return [*list_options(get_params_class(model)), *guidance_options]


def parse_params(model: Model, settings: Sequence[str]) -> dict[str, Any]:
    """Return sampling parameters from texts like "top_k=40"; text options take any text, others TOML values.

    Values are checked with the request. Raise ValueError for a text without a "=", and for an unknown name.
    """
    types = {each.name: each.type for each in list_request_options(model)}
    params: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise GenloomError("generate.bad_param_syntax", value=text)
        if (option_name := name.partition(".")[0]) not in types:
            raise build_unknown_param_error(model, option_name)
        params = {**params, name: value} if types.get(name) == "str" else apply_overrides(params, {name: value})
    return params


def get_params_class(model: Model) -> Any:
    return plugins.find_part("objective", model.design.objective).SamplingParams


def count_drafts(model: Model, request: Request) -> int:
    """Return the maximum number of drafts of a request; the last one is yielded twice."""
    params, _, _ = prepare_sampling(model, request)
    return int(getattr(params, "steps", 0) or getattr(params, "max_tokens", 1))


def with_bos(bos: int, prompt: np.ndarray, max_length: int) -> np.ndarray:
    """Prepend BOS to a prompt, and truncate it from the left to `max_length`."""
    return np.concatenate([[bos], prompt])[-max_length:]


def can_stream_text(model: Model) -> bool:
    """Return whether each draft is a text that begins with the draft before, for a StreamingCodec."""
    return is_left_to_right(model) and isinstance(model.codec, StreamingCodec)


def is_left_to_right(model: Model) -> bool:
    """Whether the model generates token by token, so that drafts only grow."""
    return all(role.is_causal for role in model.objective.network_specs.values())


def store_outputs(
    workspace: Workspace, model: Model, request: Request, draft: Draft, metadata: Mapping[str, Any] | None = None
) -> list[str]:
    """Store every output of a final draft with all that a replay needs, and return their ids.

    `metadata` is added to each record.
    """
    assert model.folder is not None, "only a stored model's outputs can be traced"
    medium = plugins.find_part("medium", model.design.medium)
    request_record = build_request_record(workspace, model, request)
    if request.edit is not None:
        request_record["edit"] = request.edit.pack(medium, workspace.save_original)
    output_ids = []
    for row, (value, prompt) in enumerate(zip(draft.values, request.prompts, strict=True)):
        record = {
            **(metadata or {}),
            "model": model.ref,
            "medium": model.design.medium,
            "model_digest": model.folder.digest,
            "adapters": {ref: workspace.get_model(ref).digest for ref in model.adapters},
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
        output_ids.append(workspace.save_output(encode_file(medium, value), medium.suffixes[0], record))
    return output_ids


def build_request_record(workspace: Workspace, model: Model, request: Request) -> dict[str, Any]:
    """Return the request for JSON, without its edit; arrays that are given are stored in the workspace."""

    def pack(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {name: model.conditioners[name].pack(value, workspace.save_original) for name, value in values.items()}
            for values in given
        ]

    interpolation = request.interpolation and replace(request.interpolation, given=())
    record = to_table(replace(request, edit=None, given=(), interpolation=interpolation))
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
    if not {"model", "model_digest", "request", "row", "machine", "sha256"} <= record.keys():
        raise GenloomError("generate.no_replay_record", path=path.with_name(f"{output_id}.json"), output=output_id)
    if hash_file(path) != record["sha256"]:
        raise GenloomError("generate.output_changed", path=path)
    adapters = tuple(record.get("adapters", {}))
    for ref, expected_digest in {record["model"]: record["model_digest"], **record.get("adapters", {})}.items():
        if workspace.get_model(ref).digest != expected_digest:
            raise GenloomError("generate.model_changed", model=ref, output=output_id)
    model = load_model(workspace, record["model"], adapters, record.get("precision", "float32"))
    if adapters != model.adapters:
        model = model.with_adapters(adapters)
    medium, request_record = plugins.find_part("medium", model.design.medium), upgrade_request(record["request"])
    edit_record = request_record.pop("edit", None)
    request_record["given"] = unpack_given(workspace, model, request_record.get("given") or ())
    if interpolation_record := request_record.get("interpolation"):
        given = unpack_given(workspace, model, interpolation_record.get("given") or ())
        request_record["interpolation"] = {**interpolation_record, "given": given}
    request = parse(Request, request_record, "request")
    if edit_record:
        editing = plugins.find_medium_part("editing", model.design.medium)
        request = replace(request, edit=editing.unpack_edit(edit_record, medium, workspace.load_original))
    # Earlier versions, whose records name no medium, ended a text that was cut inside a character with U+FFFD.
    value = run_request(model, request, keep_partial="medium" not in record).values[record["row"]]
    if encode_file(medium, value) != path.read_bytes():
        machine = describe_machine()
        changes = [f"{k}: {v} → {machine.get(k)}" for k, v in record["machine"].items() if machine.get(k) != v]
        if changes:
            raise GenloomError("generate.replay_differs_by_machine", output=output_id, changes="; ".join(changes))
        raise GenloomError("generate.replay_differs", output=output_id)
    return path, value


def encode_file(medium: Any, value: Any) -> bytes:
    """Return the bytes of the file that a medium saves a value as."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"output{medium.suffixes[0]}"
        medium.save(Item(value), path)
        return path.read_bytes()
