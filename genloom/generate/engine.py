"""Prompt in, stream out: the one engine that asks an objective's sampler for drafts, and stores what comes of it.

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

from genloom import plugins
from genloom.generate import conditions
from genloom.generate.decode import Draft, TextDecoder, ValueDecoder
from genloom.generate.image import editing
from genloom.generate.image.editing import EditSource
from genloom.generate.interpolation import Interpolation, SlerpNoise
from genloom.generate.text import token_prompts
from genloom.model import Model, describe_machine, load_model
from genloom.noise import NUM_SIGNAL_NONCES, NUM_TOKEN_NONCES, Noise
from genloom.settings import parse, to_table
from genloom.store.files import hash_file
from genloom.store.workspace import Workspace
from genloom.types import Item, SignalSpace, Space, TokenSpace

NOISE_KEY = 0x67656E6C6F6F6D  # of the noise while a workspace has no key of its own: outputs are replayable, not marked
DEFAULT_MAX_TOKENS = 400  # symbols to write where nobody says how many
MAX_BATCH_SIZE = 32  # what a network remembers of so many rows fits in the memory of a small machine
# Controls of samplers that the engine itself fills in.
INTERNAL_PARAMS = {
    "prompt_ids",
    "suppress_tokens",
    "is_finished",
    "eos_ids",
    "known_values, known_ids",
    "mask",
    "init_values",
    "strength",
}


@dataclass(frozen=True)
class Request:
    """What to write: one output for every prompt and nonce, all in one batch."""

    prompts: tuple[str, ...]
    nonces: tuple[int, ...]  # one a prompt; the output's chance
    stop: tuple[str, ...] = ()  # strings that end an output and are not part of it
    params: Mapping[str, Any] = field(default_factory=dict)  # the sampler's own, and those of conditions.Strength
    prompt_ids: tuple[
        tuple[int, ...], ...
    ] = ()  # symbols to go on from, one row a prompt, where text alone cannot say them
    eos_ids: tuple[int, ...] = ()  # symbols that end an output besides the codec's own
    edit: EditSource | None = None  # the picture that all are made from
    interpolation: Interpolation | None = None  # the other end of the way on which the outputs lie

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.nonces)
        assert len(self.prompt_ids) in (0, len(self.prompts))


def build_request(
    prompts: Sequence[str],
    count: int,
    seed: int | None,
    stop: Sequence[str],
    params: Mapping[str, Any],
    pool_size: int = NUM_TOKEN_NONCES,
) -> Request:
    """`count` outputs for each prompt. Nonces come from a small pool, so that a mark can be found; a seed fixes them.

    Outputs of one prompt get different nonces as long as the pool lasts.
    """
    if count < 1 or not prompts:
        raise ValueError(f"Asked for {count} outputs for each of {len(prompts)} prompts: that is nothing to write.")
    if seed is not None and seed < 0:
        raise ValueError(f"A seed is a whole number from 0 on, got {seed}.")
    rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
    nonces: list[int] = []
    for _ in prompts:
        permutation = rng.permutation(pool_size)
        nonces += [int(permutation[i % pool_size]) + pool_size * (i // pool_size) for i in range(count)]
    return Request(tuple(p for p in prompts for _ in range(count)), tuple(nonces), tuple(stop), dict(params))


def split_batches(request: Request, batch_size: int = MAX_BATCH_SIZE) -> list[Request]:
    """The request in batches that fit in memory, each to be generated, stored and replayed by itself."""
    return [
        slice_request(request, slice(start, start + batch_size)) for start in range(0, len(request.prompts), batch_size)
    ]


def slice_request(request: Request, rows: slice) -> Request:
    return replace(
        request,
        prompts=request.prompts[rows],
        nonces=request.nonces[rows],
        ids=request.prompt_ids[rows],
        toward=None if request.interpolation is None else request.interpolation.select_rows(rows),
    )


def interpolate_request(request: Request, num_frames: int) -> Request:
    """The request for a row of outputs on the way from the first of two to the second.

    Two prompts share one draw of chance, so that only what is said changes. Raises ValueError for other than two.
    """
    if len(request.prompts) != 2 or num_frames < 2:
        raise ValueError(f"A way needs two ends and 2 frames or more, got {len(request.prompts)} and {num_frames}.")
    end_nonce = request.nonces[0] if request.prompts[0] != request.prompts[1] else request.nonces[1]
    interpolation = Interpolation(
        request.prompts[1:] * num_frames, (end_nonce,) * num_frames, tuple(np.linspace(0, 1, num_frames).tolist())
    )
    return replace(
        request, prompts=request.prompts[:1] * num_frames, nonces=request.nonces[:1] * num_frames, toward=interpolation
    )


def get_nonce_pool_size(space: Space) -> int:
    """How many nonces outputs of a space are drawn from."""
    return NUM_TOKEN_NONCES if is_open_sequence(space) else NUM_SIGNAL_NONCES


def is_open_sequence(space: Space) -> bool:
    """Whether outputs are sequences that a stop symbol ends, and not of one size."""
    return isinstance(space, TokenSpace) and not space.grid


def never_stop() -> bool:
    return False


def generate(model: Model, request: Request, should_stop: Callable[[], bool] = never_stop) -> Iterator[Draft]:
    """Yield ever better drafts; the last is the result.

    `enough` is asked after every draft whether to leave it at that; what was left is made again by `cut_short`.
    Raises ValueError for a setting that the model's sampler does not have, naming those it has.
    """
    params, is_finished, prompts = prepare_sampling(model, request)
    parts, cond = conditions.encode_conditions(model, request.prompts, request.interpolation, request.params)
    decoder: Callable[[Tensor, bool], Draft]
    if is_open_sequence(model.codec.space):
        decoder = TextDecoder(model.codec, prompts, request.stop, request.eos_ids, is_finished, is_left_to_right(model))
    elif request.edit is None:
        decoder = ValueDecoder(model.codec)
    else:
        start_params, paste = editing.prepare_edit(request.edit, model)
        params, decoder = replace(params, **start_params), ValueDecoder(model.codec, paste)
    sample = None
    try:
        for sample in model.objective.sample(parts, len(request.prompts), cond, build_noise(request), params):
            yield decoder(sample, False)
            if is_finished.all() or should_stop():
                break
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise ValueError(
            f"There is not enough memory to make {len(request.prompts)} of these at once. "
            "Ask for fewer (--count) or shorter ones (--max-tokens)."
        ) from None
    assert sample is not None, "a sampler yields a draft"
    yield decoder(sample, True)


def build_noise(request: Request) -> Noise:
    """The noise of the rows: a function of their nonces."""
    if request.interpolation is None:
        return Noise(NOISE_KEY, request.nonces)
    return SlerpNoise(NOISE_KEY, request.nonces, request.interpolation.nonces, request.interpolation.weights)


def truncate_request(request: Request, draft: Draft) -> Request:
    """The request that gives a draft which was left before its end: the same, no longer than that."""
    return (
        request
        if all(draft.is_finished)
        else replace(request, controls={**request.params, "max_tokens": max(draft.num_tokens)})
    )


def run_request(model: Model, request: Request) -> Draft:
    """The last draft."""
    *_, draft = generate(model, request)
    return draft


def prepare_sampling(model: Model, request: Request) -> tuple[Any, np.ndarray, list[np.ndarray]]:
    """The sampler's controls, the flags that end rows from outside, and the prompts as the codec's symbols."""
    params_class, space = plugins.find_part("objective", model.design.objective).SamplingParams, model.codec.space
    param_names = list_sampler_params(model)
    check_request(model, request)
    overrides = {name: value for name, value in request.params.items() if name in param_names and value is not None}
    params, is_finished = parse(params_class, overrides, "generate"), np.zeros(len(request.prompts), dtype=bool)
    if not isinstance(space, TokenSpace):
        return params, is_finished, []
    if space.grid:
        bos_prompts = (np.array([space.bos]),) * len(request.prompts)
        grid_params = {
            "prompt_ids": bos_prompts,
            "max_tokens": prod(space.grid),
            "suppress_tokens": (space.bos, space.eos),
        }
        return replace(params, is_finished=is_finished, **grid_params), is_finished, []
    texts = ["" if request.prompt_ids or model.text_encoder is not None else prompt for prompt in request.prompts]
    prompts = [np.asarray(model.codec.encode(text), dtype=np.int64) for text in texts]
    is_causal = is_left_to_right(model)
    max_tokens, max_prompt_tokens = token_prompts.compute_length_budget(
        model, params.length or DEFAULT_MAX_TOKENS * is_causal, is_causal
    )
    prompt_ids = token_prompts.validate_prompt_ids(request.prompt_ids, space, max_prompt_tokens) or tuple(
        with_bos(space.bos, p, max_prompt_tokens) for p in prompts
    )
    suppress_tokens = token_prompts.list_suppressed_tokens(model.codec, (space.eos, *request.eos_ids))
    params = replace(params, prompts=prompt_ids, ended=is_finished, length=max_tokens, banned=suppress_tokens)
    return replace(params, stops=request.eos_ids) if "eos_ids" in param_names else params, is_finished, prompts


def check_request(model: Model, request: Request) -> None:
    """Raises ValueError for what this model cannot be asked for."""
    model_description, space = f"A model with the objective {model.design.objective!r}", model.codec.space
    param_names = {name for name, value in request.params.items() if value is not None}
    if unknown_names := sorted(param_names - set(list_request_params(model))):
        raise ValueError(
            f"{model_description} has no setting {unknown_names[0]!r}. It has: {', '.join(list_request_params(model))}."
        )
    if model.text_encoder is None and not isinstance(space, TokenSpace) and any(request.prompts):
        raise ValueError(f"{model_description} takes no prompt; leave it away.")
    if request.edit is not None and not can_edit_images(model):
        raise ValueError(f"{model_description} does not start from a picture: leave --image away.")
    if request.interpolation is not None and isinstance(space, TokenSpace):
        raise ValueError(
            f"{model_description} writes symbols, and there is nothing between two of them: leave --interpolate away."
        )


def can_edit_images(model: Model) -> bool:
    space = model.codec.space
    return "init_values" in list_sampler_params(model) and isinstance(space, SignalSpace) and len(space.size) == 2


def list_request_params(model: Model) -> list[str]:
    """The controls that a request to this model can have."""
    guidance_params = {f.name for f in fields(conditions.GuidanceConfig)} if conditions.can_guide(model) else set()
    return sorted((list_sampler_params(model) - INTERNAL_PARAMS) | guidance_params)


def list_sampler_params(model: Model) -> set[str]:
    """The names of all controls of the model's sampler."""
    return {f.name for f in fields(plugins.find_part("objective", model.design.objective).SamplingParams)}


def count_drafts(model: Model, request: Request) -> int:
    """How many drafts the request will give at most, the last one twice."""
    params, _, _ = prepare_sampling(model, request)
    return int(getattr(params, "steps", 0) or getattr(params, "max_tokens", 1))


def with_bos(bos: int, prompt: np.ndarray, max_length: int) -> np.ndarray:
    """A prompt after the symbol that starts a document; of a longer one, as much of its end as the network reads."""
    return np.concatenate([[bos], prompt])[-max_length:]


def is_left_to_right(model: Model) -> bool:
    """Whether the model writes symbol after symbol, so that what a draft says stays."""
    return all(role.is_causal for role in model.objective.network_specs.values())


def store_outputs(
    workspace: Workspace, model: Model, request: Request, draft: Draft, metadata: Mapping[str, Any] | None = None
) -> list[str]:
    """Put every output of a finished draft into the workspace with all it takes to make it again; returns their ids.

    `facts` are put into each record beside that, for whoever reads it.
    """
    assert model.folder is not None, "only a stored model's outputs can be traced"
    medium = plugins.find_part("medium", model.design.medium)
    request_record = to_table(replace(request, edit=None))
    if request.edit is not None:
        request_record["edit"] = editing.store_edit_source(workspace, request.edit, medium)
    output_ids = []
    for row, (value, prompt) in enumerate(zip(draft.values, request.prompts, strict=True)):
        record = {
            **(metadata or {}),
            "model": model.ref,
            "model_digest": model.folder.digest,
            "adapters": {ref: workspace.get_model(ref).digest for ref in model.adapters},
            "precision": model.precision,
            "prompt": prompt,
            "continuation": draft.continuations[row] if isinstance(value, str) else None,
            "row": row,
            "request": request_record,
            "machine": describe_machine(),
        }
        output_ids.append(workspace.save_output(encode_file(medium, value), medium.suffixes[0], record))
    return output_ids


def replay_output(workspace: Workspace, output_id: str) -> tuple[Path, Any]:
    """Make a stored output again from its record; returns the stored file and the new item, equal byte for byte.

    The whole batch is run again, since the last bits of a sum can depend on its size. Raises ValueError where the
    model is no longer the one that wrote it, where the stored file was changed, and where the new bytes differ, which
    names what changed in the machine.
    """
    path, record = workspace.get_output(output_id)
    if not {"model", "model_digest", "request", "row", "machine", "sha256"} <= record.keys():
        raise ValueError(f"{path.with_suffix('.json')} does not say how {output_id} was made. It cannot be replayed.")
    if hash_file(path) != record["sha256"]:
        raise ValueError(f"{path} was changed since it was written, so a replay cannot give the same bytes.")
    adapters = tuple(record.get("adapters", {}))
    for ref, expected_digest in {record["model"]: record["model_digest"], **record.get("adapters", {})}.items():
        if workspace.get_model(ref).digest != expected_digest:
            raise ValueError(
                f"{ref} is not the model that wrote {output_id}: its digest differs. It cannot be replayed."
            )
    model = load_model(workspace, record["model"], adapters, record.get("precision", "float32"))
    if adapters != model.adapters:
        model = model.with_adapters(adapters)
    medium, request_record = plugins.find_part("medium", model.design.medium), dict(record["request"])
    edit_record = request_record.pop("edit", None)
    request = replace(
        parse(Request, request_record, "request"),
        original=edit_record and editing.load_edit_source(workspace, edit_record, medium),
    )
    value = run_request(model, request).values[record["row"]]
    if encode_file(medium, value) != path.read_bytes():
        current_machine = describe_machine()
        changes = [
            f"{k}: {v} → {current_machine.get(k)}" for k, v in record["machine"].items() if current_machine.get(k) != v
        ]
        reason = f"The machine changed ({'; '.join(changes)})." if changes else "Genloom itself may have changed since."
        raise ValueError(f"The replay of {output_id} does not give the stored bytes. {reason}")
    return path, value


def encode_file(medium: Any, value: Any) -> bytes:
    """The bytes of the file that a medium saves an item as."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"output{medium.suffixes[0]}"
        medium.save(Item(value), path)
        return path.read_bytes()
