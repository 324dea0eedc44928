"""POST /v1/chat/completions: answers to conversations, streamed or whole, with functions and formats."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.assistant.tools.call_formats import GENERIC, insert_tools
from genloom.server.access import require_scope
from genloom.server.engine import Finished, GenerationRequest, Stored, Text, TokenLogprob
from genloom.server.errors import APIError
from genloom.server.openai.formats import (
    AnswerFormat,
    FoundCall,
    ResponseFormat,
    Tool,
    ToolChoice,
    build_format,
    find_calls,
    find_model_format,
    read_schema,
)
from genloom.server.openai.generating import (
    Choice,
    EventStream,
    Generation,
    collect,
    get_owner,
    resolve_model,
    start_generation,
    to_event_data,
)
from genloom.server.openai.messages import MAX_MESSAGES, ChatMessage, join_turns, read_messages
from genloom.server.openai.shapes import Count, MaxTokens, Name, SamplingShape, Shape, Stop, to_seed, to_stops
from genloom.server.reasoning import Piece, ReasoningParser, split_reasoning
from genloom.types import Message

router = APIRouter()


class StreamOptions(Shape):
    include_usage: bool | None = None


class ChatRequest(SamplingShape):
    model: Name
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    n: Count | None = None
    stop: Stop = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    modalities: Annotated[list[str], Field(max_length=10)] | None = None
    functions: Any = None
    function_call: Any = None
    web_search_options: Any = None
    precision: Literal["auto", "float32", "bfloat16", "int8", "int4"] = "auto"


@router.post("/v1/chat/completions")
@router.post("/chat/completions", include_in_schema=False)
@require_scope("generate")
async def create_chat_completion(request: Request, body: ChatRequest) -> Response:
    """Answer a conversation."""
    check_unsupported(body)
    answer_format = await run_in_threadpool(build_answer_format, request, body)
    count = body.n or 1
    generation = await start_generation(
        request, build_chat_generation(request, body, answer_format), prompt_param="messages"
    )
    if body.stream:
        include_usage = bool(body.stream_options and body.stream_options.include_usage)
        chunks = ChunkWriter(generation, answer_format, count, include_usage, bool(body.logprobs))
        return EventStream(chunks.write(), generation)
    choices, finished = await collect(request, generation, count)
    return JSONResponse(
        {
            "id": generation.id,
            "object": "chat.completion",
            "created": generation.created,
            "model": generation.started.model,
            "choices": [
                build_choice(index, choice, answer_format, bool(body.logprobs)) for index, choice in enumerate(choices)
            ],
            "usage": build_usage(finished),
            "service_tier": None,
            "system_fingerprint": generation.started.fingerprint,
        },
        headers=generation.headers,
    )


def build_answer_format(request: Request, body: ChatRequest) -> AnswerFormat:
    """Return the format of an answer, in which calls are as the model's family writes them."""
    schema, is_parallel = read_schema(body.response_format), body.parallel_tool_calls is True
    has_calls = bool(body.tools) or any(message.role == "tool" or message.tool_calls for message in body.messages)
    model = resolve_model(request, body.model)
    call_format = find_model_format(request.app.state.workspace, model) if has_calls else GENERIC
    answer_format = build_format(schema, body.tools, body.tool_choice, is_parallel, call_format=call_format)
    return replace(answer_format, call_format=call_format)


def check_unsupported(body: ChatRequest) -> None:
    """Raise APIError for what cannot be honoured and would change the answer."""
    for name in ("functions", "function_call", "web_search_options"):
        if getattr(body, name):
            raise APIError("server.unsupported_parameter", param=name, public_code="unsupported_parameter", name=name)
    if body.modalities and body.modalities != ["text"]:
        raise APIError(
            "server.unsupported_parameter", param="modalities", public_code="unsupported_parameter", name="modalities"
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise APIError("server.top_logprobs_alone", param="top_logprobs")
    if body.stream_options is not None and not body.stream:
        raise APIError("server.stream_options_alone", param="stream_options")


def build_chat_generation(request: Request, body: ChatRequest, answer_format: AnswerFormat) -> GenerationRequest:
    """Return what the engine is asked for."""
    max_tokens = body.max_completion_tokens or body.max_tokens
    return GenerationRequest(
        resolve_model(request, body.model),
        messages=tuple(write_messages(body, answer_format)),
        n=body.n or 1,
        seed=to_seed(body.seed),
        stop=to_stops(body.stop),
        params={**body.list_params(), **({"max_tokens": max_tokens} if max_tokens else {})},
        logit_bias=body.logit_bias or {},
        grammar=answer_format.grammar,
        num_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        precision=body.precision,
        is_marked=body.is_marked,
        refuse_copies=body.refuse_copies,
        owner=get_owner(request),
    )


def write_messages(body: ChatRequest, answer_format: AnswerFormat) -> list[Message]:
    """Return the messages that the model reads, with calls and results as its family writes them."""
    messages = read_messages(body.messages, call_format=answer_format.call_format)
    if answer_format.functions and answer_format.call_format.special:  # its description stands between markers
        return insert_tools(messages, answer_format.instructions)
    return add_instructions(messages, answer_format.instructions)


def add_instructions(messages: Sequence[Message], instructions: str) -> list[Message]:
    """Return the messages with instructions in the system prompt."""
    return join_turns([Message("system", instructions), *messages]) if instructions else list(messages)


def get_finish_reason(stored: Stored, calls: Sequence[FoundCall], answer_format: AnswerFormat) -> str:
    if calls:
        return "stop" if answer_format.is_named else "tool_calls"
    return "content_filter" if stored.is_withheld else "length" if stored.finish_reason == "length" else "stop"


def build_choice(index: int, choice: Choice, answer_format: AnswerFormat, has_logprobs: bool) -> dict[str, Any]:
    assert choice.stored is not None
    calls = find_calls(answer_format, choice.stored.text)
    visible = answer_format.get_visible_part(choice.stored.text) if calls else choice.stored.text
    reasoning, text = split_reasoning(visible)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or None if calls else text,
        "refusal": None,
        "annotations": [],
    }
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for id, call in zip(list_call_ids(choice.stored, calls), calls, strict=True)
        ]
    return {
        "index": index,
        "message": message,
        "finish_reason": get_finish_reason(choice.stored, calls, answer_format),
        "logprobs": build_logprobs(choice.logprobs) if has_logprobs else None,
        "output_id": choice.stored.output_id or None,
    }


def list_call_ids(stored: Stored, calls: Sequence[FoundCall]) -> list[str]:
    return [f"call_{stored.output_id.replace('-', '')}{number:02}" for number in range(len(calls))]


def build_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    return {"content": [describe_token(each, is_top=False) for each in logprobs], "refusal": None}


def describe_token(found: TokenLogprob, is_top: bool) -> dict[str, Any]:
    table: dict[str, Any] = {"token": found.token, "logprob": found.logprob, "bytes": found.bytes}
    return table if is_top else {**table, "top_logprobs": [describe_token(each, is_top=True) for each in found.top]}


def build_usage(finished: Finished) -> dict[str, Any]:
    return {
        "prompt_tokens": finished.num_prompt_tokens,
        "completion_tokens": finished.num_tokens,
        "total_tokens": finished.num_prompt_tokens + finished.num_tokens,
        "prompt_tokens_details": {"cached_tokens": finished.num_cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": finished.num_reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


class ChunkWriter:
    """Writes a stream of `chat.completion.chunk`: the role first, pieces, how each choice ends, and the usage."""

    def __init__(
        self,
        generation: Generation,
        answer_format: AnswerFormat,
        count: int,
        include_usage: bool,
        has_logprobs: bool,
    ):
        self.generation, self.answer_format, self.count = generation, answer_format, count
        self.include_usage, self.has_logprobs = include_usage, has_logprobs
        self.texts, self.num_sent = dict.fromkeys(range(count), ""), dict.fromkeys(range(count), 0)
        self.parsers = {index: ReasoningParser() for index in range(count)}
        self.logprobs = {index: list[TokenLogprob]() for index in range(count)}  # of tokens that no chunk has yet

    async def write(self) -> AsyncGenerator[str]:
        for index in range(self.count):
            yield self.build_chunk(index, {"role": "assistant", "content": "", "refusal": None})
        async with aclosing(self.generation.events) as events:
            async for event in events:
                match event:
                    case Text():
                        self.texts[event.index] += event.text
                        self.logprobs[event.index] += event.logprobs
                        for chunk in self.write_visible(event.index):
                            yield chunk
                    case Stored():
                        for chunk in self.finish_choice(event):
                            yield chunk
                    case Finished() if self.include_usage:
                        yield self.build_frame([], build_usage(event))

    def write_visible(self, index: int) -> list[str]:
        """Return the chunks of what is no part of a call, whose parts are sent when it is complete."""
        visible = self.answer_format.get_visible_part(self.texts[index])
        new_text, self.num_sent[index] = visible[self.num_sent[index] :], max(len(visible), self.num_sent[index])
        return self.write_pieces(index, self.parsers[index].feed(new_text)) if new_text else []

    def write_pieces(self, index: int, pieces: Sequence[Piece]) -> list[str]:
        """Return the chunks of pieces; the first has the log-probabilities of all tokens so far."""
        chunks = []
        for piece in pieces:
            name = "reasoning_content" if piece.is_reasoning else "content"
            chunks.append(self.build_chunk(index, {name: piece.text}, self.logprobs[index]))
            self.logprobs[index] = []
        return chunks

    def finish_choice(self, stored: Stored) -> list[str]:
        calls = find_calls(self.answer_format, stored.text)
        rest = "" if calls else stored.text[self.num_sent[stored.index] :]  # a call that was cut, or is none
        parser = self.parsers[stored.index]
        chunks = self.write_pieces(stored.index, [*(parser.feed(rest) if rest else []), *parser.finish()])
        if self.has_logprobs and self.logprobs[stored.index] and not calls:  # of a tag that ends the answer
            chunks.append(self.build_chunk(stored.index, {"content": ""}, self.logprobs[stored.index]))
        if calls:
            for number, (id, call) in enumerate(zip(list_call_ids(stored, calls), calls, strict=True)):
                begin = {"id": id, "type": "function", "function": {"name": call.name, "arguments": ""}}
                rest = {"function": {"arguments": call.arguments}}
                for part in (begin, rest):
                    chunks.append(self.build_chunk(stored.index, {"tool_calls": [{"index": number, **part}]}))
        reason = get_finish_reason(stored, calls, self.answer_format)
        return [*chunks, self.build_chunk(stored.index, {}, finish_reason=reason)]

    def build_chunk(
        self,
        index: int,
        delta: Mapping[str, Any],
        logprobs: Sequence[TokenLogprob] = (),
        finish_reason: str | None = None,
    ) -> str:
        found = build_logprobs(logprobs) if self.has_logprobs and logprobs else None
        return self.build_frame([{"index": index, "delta": delta, "logprobs": found, "finish_reason": finish_reason}])

    def build_frame(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None = None) -> str:
        frame: dict[str, Any] = {
            "id": self.generation.id,
            "object": "chat.completion.chunk",
            "created": self.generation.created,
            "model": self.generation.started.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": self.generation.started.fingerprint,
        }
        if self.include_usage:
            frame["usage"] = usage
        return f"data: {to_event_data(frame)}\n\n"
