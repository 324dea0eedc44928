"""POST /v1/completions: texts that continue prompts, and the log-probabilities of both."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.engine import Finished, GenerationRequest, Stored, Text, TokenLogprob
from genloom.server.errors import APIError
from genloom.server.openai.chat import StreamOptions, build_usage
from genloom.server.openai.formats import ResponseFormat, build_format, read_schema
from genloom.server.openai.generating import (
    Choice,
    EventStream,
    Generation,
    collect,
    get_owner,
    resolve_model,
    start_generation,
    to_event_data,
    translate_error,
)
from genloom.server.openai.shapes import Count, Name, SamplingShape, Stop, to_seed, to_stops
from genloom.server.openai.shapes import Text as TextValue

router = APIRouter()

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 2048
MAX_OUTPUTS = 2048

TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=1_000_000)]


class CompletionRequest(SamplingShape):
    model: Name
    prompt: (
        TextValue
        | Annotated[list[TextValue], Field(min_length=1, max_length=MAX_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
        | None
    ) = None
    max_tokens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    n: Count | None = None
    best_of: Count | None = None
    stop: Stop = None
    echo: bool | None = None
    suffix: TextValue | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tokenizer: Annotated[str, Field(max_length=512)] | None = None  # the model whose numbers of tokens are sent
    precision: Literal["auto", "float32", "bfloat16", "int8", "int4"] = "auto"


@router.post("/v1/completions")
@router.post("/completions", include_in_schema=False)
@require_scope("generate")
async def create_completion(request: Request, body: CompletionRequest) -> Response:
    """Continue one or several prompts."""
    model = resolve_model(request, body.model)
    generation_request = await run_in_threadpool(build_generation, request, body, model)
    if body.max_tokens == 0:
        return await score_prompts(request, body, model, generation_request)
    generation = await start_generation(request, generation_request, prompt_param="prompt")
    count = len(generation.started.output_ids)
    if body.stream:
        include_usage = bool(body.stream_options and body.stream_options.include_usage)
        return EventStream(write_chunks(generation, body, include_usage), generation)
    choices, finished = await collect(request, generation, count)
    return JSONResponse(
        {
            **build_frame(generation),
            "choices": [build_choice(index, choice, generation, body) for index, choice in enumerate(choices)],
            "usage": build_usage(finished),
        },
        headers=generation.headers,
    )


def build_generation(request: Request, body: CompletionRequest, model: str) -> GenerationRequest:
    """Return what the engine is asked for; raise APIError for what cannot be honoured."""
    if body.suffix:
        raise APIError(
            "server.unsupported_parameter", param="suffix", public_code="unsupported_parameter", name="suffix"
        )
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise APIError("server.best_of_unsupported", param="best_of", public_code="unsupported_parameter")
    if body.stream_options is not None and not body.stream:
        raise APIError("server.stream_options_alone", param="stream_options")
    prompts, prompt_ids = read_prompts(body, model)
    if len(prompts) * (body.n or 1) > MAX_OUTPUTS:
        raise APIError("server.too_many_choices", param="n", count=len(prompts) * (body.n or 1), limit=MAX_OUTPUTS)
    answer_format = build_format(read_schema(body.response_format), None, None, True)
    max_tokens = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    return GenerationRequest(
        model,
        prompts=prompts,
        prompt_ids=prompt_ids,
        n=body.n or 1,
        seed=to_seed(body.seed),
        stop=to_stops(body.stop),
        params={**body.list_params(), **({"max_tokens": max_tokens} if max_tokens else {})},
        is_chat=False,
        logit_bias=body.logit_bias or {},
        grammar=answer_format.grammar,
        num_logprobs=body.logprobs,
        should_score_prompt=bool(body.echo) and body.logprobs is not None,
        precision=body.precision,
        is_marked=body.is_marked,
        refuse_copies=body.refuse_copies,
        owner=get_owner(request),
    )


def read_prompts(body: CompletionRequest, model: str) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Return the prompts as texts, or as tokens if the client says that they are those of this model."""
    prompt = body.prompt
    if prompt is None or isinstance(prompt, str):
        return (prompt or "",), ()
    if isinstance(prompt[0], str):
        return tuple(map(str, prompt)), ()
    rows: Any = [prompt] if isinstance(prompt[0], int) else prompt
    if body.tokenizer not in (body.model, model):
        raise APIError("server.foreign_tokens", param="prompt", model=body.model)
    return ("",) * len(rows), tuple(map(tuple, rows))


async def score_prompts(
    request: Request, body: CompletionRequest, model: str, generation: GenerationRequest
) -> JSONResponse:
    """Answer with the prompts alone, and their log-probabilities; nothing is generated or stored."""
    if not body.echo or body.stream:
        raise APIError("server.nothing_to_write", param="max_tokens")
    try:
        scored = await request.app.state.engine.score(generation)
    except GenloomError as error:
        raise translate_error(request.app.state.workspace, error, model, "prompt") from None
    choices = [
        {
            "index": index,
            "text": text,
            "finish_reason": "length",
            "logprobs": None if body.logprobs is None else build_logprobs(logprobs, 0),
        }
        for index, (text, logprobs) in enumerate(zip(scored.prompts, scored.prompt_logprobs, strict=True))
    ]
    return JSONResponse(
        {
            **build_frame(Generation(scored, _no_events(), _no_events()), id=f"score-{generation.id}"),
            "choices": choices,
            "usage": build_usage(Finished(scored.num_prompt_tokens, 0, 0)),
        }
    )


async def _no_events() -> AsyncGenerator[Any]:
    return
    yield


def build_frame(generation: Generation, id: str = "") -> dict[str, Any]:
    return {
        "id": id or generation.id,
        "object": "text_completion",
        "created": generation.created,
        "model": generation.started.model,
        "system_fingerprint": generation.started.fingerprint,
    }


def get_reason(stored: Stored) -> str:
    return "content_filter" if stored.is_withheld else "length" if stored.finish_reason == "length" else "stop"


def build_choice(index: int, choice: Choice, generation: Generation, body: CompletionRequest) -> dict[str, Any]:
    assert choice.stored is not None
    prompt, prompt_logprobs = get_prompt(index, generation, body)
    logprobs = [*prompt_logprobs, *choice.logprobs]
    return {
        "index": index,
        "text": prompt + choice.stored.text,
        "finish_reason": get_reason(choice.stored),
        "logprobs": None if body.logprobs is None else build_logprobs(logprobs, 0),
        "output_id": choice.stored.output_id or None,
    }


def get_prompt(index: int, generation: Generation, body: CompletionRequest) -> tuple[str, Sequence[TokenLogprob]]:
    """Return the prompt before an output if it is to be repeated, with its log-probabilities."""
    if not body.echo:
        return "", []
    scored = generation.started.prompt_logprobs
    return generation.started.prompts[index], scored[index // (body.n or 1)] if scored else []


def build_logprobs(logprobs: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
    """Return log-probabilities by token; `offset` is where the text begins among all that was sent."""
    offsets = []
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    tops = [None if each.logprob is None else {top.token: top.logprob for top in each.top} for each in logprobs]
    return {
        "tokens": [each.token for each in logprobs],
        "token_logprobs": [each.logprob for each in logprobs],
        "top_logprobs": tops,
        "text_offset": offsets,
    }


async def write_chunks(generation: Generation, body: CompletionRequest, include_usage: bool) -> AsyncGenerator[str]:
    """Yield the pieces of the texts, how each ends, and the usage."""
    offsets: dict[int, int] = {}

    def build_chunk(index: int, text: str, logprobs: Sequence[TokenLogprob], reason: str | None) -> str:
        found = None if body.logprobs is None else build_logprobs(logprobs, offsets.get(index, 0))
        offsets[index] = offsets.get(index, 0) + len(text)
        choice = {"index": index, "text": text, "finish_reason": reason, "logprobs": found}
        return build_event([choice], None)

    def build_event(choices: list[dict[str, Any]], usage: Mapping[str, Any] | None) -> str:
        frame = {**build_frame(generation), "choices": choices, **({"usage": usage} if include_usage else {})}
        return f"data: {to_event_data(frame)}\n\n"

    if body.echo:
        for index in range(len(generation.started.output_ids)):
            yield build_chunk(index, *get_prompt(index, generation, body), None)
    async with aclosing(generation.events) as events:
        async for event in events:
            match event:
                case Text():
                    yield build_chunk(event.index, event.text, event.logprobs, None)
                case Stored():
                    yield build_chunk(event.index, "", [], get_reason(event))
                case Finished() if include_usage:
                    yield build_event([], build_usage(event))
