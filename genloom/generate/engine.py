"""The generation engine: requests to streams of drafts.

Shape letters: B rows of a request.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom import conditioners, plugins
from genloom.capabilities import ConstrainedCodec, MarkedCodec, StreamingCodec, TokenContextReader
from genloom.errors import GenloomError
from genloom.generate import conditions, token_prompts
from genloom.generate.decode import Draft, TextDecoder, ValueDecoder
from genloom.generate.editing import Edit, SamplerStart, can_edit, count_passes, needs_start
from genloom.generate.grammar import build_grammar_constraint
from genloom.generate.interpolation import Interpolation, SlerpNoise
from genloom.generate.sampling_params import build_sampling_params, build_unknown_param_error, list_request_params
from genloom.media.abilities import get_ability
from genloom.memory import count_rows_within, count_sample_bytes
from genloom.model import Model
from genloom.noise import NUM_NONCES, Noise, fold_in
from genloom.types import TokenSpace, is_open_sequence

UNMARKED_NOISE_KEY = 0x67656E6C6F6F6D  # of outputs without a mark, and of those of earlier versions
MAX_OUTPUTS = 100_000  # of one request, whose prompts and nonces are in memory
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
    stop_loops: bool = False  # whether a text that repeats itself ends; never in outputs of earlier versions
    logit_bias: tuple[tuple[int, float], ...] = ()  # what is added to the logits of tokens
    grammar: str = ""  # of the text that may be generated, as `genloom.generate.grammar` reads it; "": any text
    marking_key: str = ""  # the id of the key of the workspace that marks the outputs; "": they are not marked
    noise_key: int = field(default=UNMARKED_NOISE_KEY, repr=False)  # derived from that key; in no record

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
    is_sequence: bool = True,
    given: Mapping[str, Any] | None = None,
) -> Request:
    """Build a request for `count` outputs per prompt, all with the same values of the other conditions.

    A prompt can be among those values instead of in `prompts`.

    A seed makes the nonces reproducible. Those of an open sequence (`is_sequence`) also depend on the prompt: the noise
    of a token depends on the few tokens before it, so two prompts with one nonce would share phrases. Other media keep
    the noise of a seed, so that only the prompt changes the output.
    """
    if given and conditioners.PROMPT in given and not any(prompts):
        prompts = [str(given[conditioners.PROMPT])]
    given = {name: value for name, value in (given or {}).items() if name != conditioners.PROMPT}
    if count < 1 or not prompts:
        raise GenloomError("generate.nothing_to_generate", count=count, num_prompts=len(prompts))
    if count * len(prompts) > MAX_OUTPUTS:
        raise GenloomError("generate.too_many_outputs", count=count, num_prompts=len(prompts), maximum=MAX_OUTPUTS)
    if seed is not None and not 0 <= seed < 2**63:
        raise GenloomError("generate.bad_seed", seed=seed)
    seed = secrets.randbits(64) if seed is None else seed
    keys = [fold_in(prompt.encode("utf-8", "surrogatepass")) if is_sequence else 0 for prompt in prompts]
    rngs = {key: np.random.default_rng([seed, key]) for key in keys}
    nonces = [nonce for key in keys for nonce in rngs[key].integers(NUM_NONCES, size=count).tolist()]
    rows = tuple(p for p in prompts for _ in range(count))
    return Request(rows, tuple(nonces), tuple(stop), dict(params), given=(given,) * len(rows) if given else ())


def concat_requests(requests: Sequence[Request]) -> Request:
    """Return the request for the rows of all; they differ only in prompts, nonces and the values that are given."""
    return replace(
        requests[0],
        prompts=tuple(prompt for request in requests for prompt in request.prompts),
        nonces=tuple(nonce for request in requests for nonce in request.nonces),
        given=tuple(values for request in requests for values in request.given),
    )


def fit_batch_size(model: Model) -> int:
    """Return how many rows of the model's samples are generated together."""
    return count_rows_within(count_sample_bytes(model.codec.space), MAX_BATCH_BYTES, MAX_BATCH_SIZE)


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
        start = request.edit.prepare(model, request)
        params, prompts = start_from(model, params, prompts, start)
        parts = {name: start.wrap_network(part) for name, part in parts.items()}
    decoder: Callable[[Tensor, bool], Draft]
    if is_open_sequence(model.codec.space):
        decoder = TextDecoder(
            model.codec,
            prompts,
            request.stop,
            request.eos_ids,
            is_finished,
            is_left_to_right(model),
            keep_partial,
            request.stop_loops,
            start.finish,
            has_prompt=not request.grammar,  # so that the text as a whole is of its format
            decode_row=start.decode_row,
        )
    else:
        decoder = build_value_decoder(model, params, start)
    num_given = 1 if "known_ids" in start.inputs else 0  # a sampler with known tokens returns BOS too
    sample = None
    while True:
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
        if start.continue_with is None or should_stop():
            break
        start = start.continue_with(decoder(sample, True).values)
        params, _ = start_from(model, params, prompts, start)
        decoder = build_value_decoder(model, params, start)
    yield decoder(sample, True)


def build_value_decoder(model: Model, params: Any, start: SamplerStart) -> ValueDecoder:
    """Return the decoder of values that are complete from the first draft, and finished as the start says."""
    has_grid = isinstance(model.codec.space, TokenSpace)
    return ValueDecoder(model.codec, start.finish_all, tuple(getattr(params, "size", ())) if has_grid else ())


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
        return Noise(request.noise_key, request.nonces, bool(request.marking_key))
    other = request.interpolation
    return SlerpNoise(request.noise_key, request.nonces, bool(request.marking_key), other.nonces, other.weights)


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
    space = model.codec.space
    check_request(model, request)
    params, is_finished = build_sampling_params(model, request.params), np.zeros(len(request.prompts), dtype=bool)
    if not isinstance(space, TokenSpace):
        return params, is_finished, []
    if space.grid:
        inputs = replace(
            params.inputs,
            token_contexts=read_token_contexts(model, request),
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
        token_contexts=read_token_contexts(model, request),
        prompt_ids=prompt_ids,
        # A grammar itself says which special tokens may be written.
        suppressed_tokens=()
        if request.grammar
        else token_prompts.list_suppressed_tokens(model.codec, (space.eos, *request.eos_ids)),
        eos_ids=request.eos_ids,
        is_finished=is_finished,
        logit_bias=token_prompts.validate_logit_bias(request.logit_bias, space),
    )
    if request.grammar:
        if not is_causal or not isinstance(model.codec, StreamingCodec):
            raise GenloomError("generate.no_grammar_support", model=model.ref)
        constraint = build_grammar_constraint(model.codec, request.grammar, request.eos_ids)
        inputs = replace(inputs, constraint=constraint)
    elif isinstance(model.codec, ConstrainedCodec) and is_causal and request.edit is None:
        max_length = min(max(map(len, prompt_ids)) + max_tokens, model.design.context_length)
        inputs = replace(inputs, constraint=model.codec.build_constraint(request.prompts, max_length))
    return replace(params, max_tokens=max_tokens, inputs=inputs), is_finished, prompts


def read_token_contexts(model: Model, request: Request) -> TokenContextReader | None:
    """Return the reader of the contexts of marked noise, if the model's codec has its own."""
    is_own = bool(request.marking_key) and isinstance(model.codec, MarkedCodec)
    return model.codec.read_token_contexts() if is_own else None


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
    if request.edit is not None and needs_start(request.edit) and not can_edit(model):
        raise GenloomError("generate.no_edit_support", objective=objective)
    has_prefix = bool(request.prompt_ids) or (conditioners.PROMPT not in model.conditioners and any(request.prompts))
    if request.edit is not None and is_open_sequence(space) and has_prefix:
        raise GenloomError("generate.prompt_with_edit")
    if request.interpolation is not None and isinstance(space, TokenSpace):
        raise GenloomError("generate.no_interpolation_support", objective=objective)


def describe_constraints(model: Model, request: Request) -> list[str]:
    """Return in words what each row keeps to because of its prompt or edit; "" where nothing is known."""
    if understood := getattr(request.edit, "understood", ""):
        return [understood] * len(request.prompts)
    constraint = None
    if isinstance(model.codec, ConstrainedCodec) and is_left_to_right(model):
        params, _, prompts = prepare_sampling(model, request)
        if request.edit is not None:
            params, _ = start_from(model, params, prompts, request.edit.prepare(model, request))
        constraint = params.inputs.constraint
    return constraint.describe() if constraint is not None else [""] * len(request.prompts)


def count_drafts(model: Model, request: Request) -> int:
    """Return the maximum number of drafts of a request; the last one is yielded twice."""
    params, _, _ = prepare_sampling(model, request)
    return count_passes(request.edit, model) * int(getattr(params, "steps", 0) or getattr(params, "max_tokens", 1))


def with_bos(bos: int, prompt: np.ndarray, max_length: int) -> np.ndarray:
    """Prepend BOS to a prompt, and truncate it from the left to `max_length`."""
    return np.concatenate([[bos], prompt])[-max_length:]


def can_stream_text(model: Model) -> bool:
    """Return whether each draft is a text that begins with the draft before, for a StreamingCodec."""
    return is_left_to_right(model) and isinstance(model.codec, StreamingCodec)


def is_left_to_right(model: Model) -> bool:
    """Return whether the model generates token by token, so that drafts only grow."""
    return all(role.is_causal for role in model.objective.network_specs.values())
