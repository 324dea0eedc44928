"""POST /v1/messages: conversations as Anthropic's clients hold them."""

import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.engine import Finished, GenerationRequest, Stored, Text
from genloom.server.errors import APIError, build_error_response, build_validation_error
from genloom.server.openai.chat import add_instructions, list_call_ids
from genloom.server.openai.formats import (
    AnswerFormat,
    FoundCall,
    FunctionDefinition,
    NamedFunction,
    NamedToolChoice,
    Tool,
    ToolChoice,
    build_format,
    find_calls,
)
from genloom.server.openai.generating import (
    EventStream,
    Generation,
    collect,
    get_owner,
    resolve_model,
    start_generation,
    to_event_data,
    translate_error,
)
from genloom.server.openai.messages import MAX_MESSAGES, TEXT_PARTS, Function, ToolCall, join_turns, write_calls
from genloom.server.openai.shapes import MaxTokens, Name, Shape, StopText
from genloom.server.openai.shapes import Text as TextValue
from genloom.server.reasoning import Piece, ReasoningParser, split_reasoning
from genloom.types import Message

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_EMPTY_BLOCKS: dict[str, dict[str, Any]] = {
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "text": {"type": "text", "text": ""},
}


class AnthropicRoute(APIRoute):
    """A route whose errors have the shape that Anthropic's clients read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return convert_response(build_validation_error(error))
            except GenloomError as error:
                return convert_response(error)

        return handle_with_errors


def convert_error(error: GenloomError) -> dict[str, Any]:
    response = build_error_response(error)
    found = json.loads(bytes(response.body))["error"]
    kind = _TYPES.get(response.status_code, "api_error")
    return {"type": "error", "error": {"type": kind, "message": found["message"]}}


def convert_response(error: GenloomError) -> Response:
    response = build_error_response(error)
    headers = {name: response.headers[name] for name in ("retry-after", "x-should-retry") if name in response.headers}
    return JSONResponse(convert_error(error), response.status_code, headers)


router = APIRouter(route_class=AnthropicRoute)


class Block(Shape):
    """A part of a content: text, the use of a tool, or its result."""

    type: Annotated[str, Field(max_length=100)]
    text: TextValue = ""
    id: Annotated[str, Field(max_length=200)] = ""
    name: Annotated[str, Field(max_length=200)] = ""
    input: dict[str, Any] = Field(default_factory=dict)
    tool_use_id: Annotated[str, Field(max_length=200)] = ""
    content: "TextValue | Annotated[list[Block], Field(max_length=1000)] | None" = None


Content = TextValue | Annotated[list[Block], Field(max_length=1000)]


class InputMessage(Shape):
    role: Literal["user", "assistant", "system"]
    content: Content


class AnthropicTool(Shape):
    type: Annotated[str, Field(max_length=100)] = "custom"
    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: TextValue | None = None
    input_schema: dict[str, Any] | None = None


class AnthropicToolChoice(Shape):
    type: Literal["auto", "any", "tool", "none"]
    name: Annotated[str, Field(max_length=200)] = ""


class CountRequest(Shape):
    model: Name
    messages: Annotated[list[InputMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    system: Content | None = None
    tools: Annotated[list[AnthropicTool], Field(max_length=128)] | None = None
    tool_choice: AnthropicToolChoice | None = None


class MessagesRequest(CountRequest):
    max_tokens: MaxTokens
    stop_sequences: Annotated[list[StopText], Field(max_length=16)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0, le=10**9)] | None = None
    stream: bool | None = None


@router.post("/v1/messages")
@require_scope("generate")
async def create_message(request: Request, body: MessagesRequest) -> Response:
    """Answer a conversation."""
    answer_format = await run_in_threadpool(build_answer_format, body)
    params = {name: getattr(body, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
    generation_request = GenerationRequest(
        resolve_model(request, body.model),
        messages=tuple(read_conversation(body, answer_format)),
        stop=tuple(body.stop_sequences or ()),
        params={name: value for name, value in params.items() if value is not None},
        grammar=answer_format.grammar,
        owner=get_owner(request),
    )
    generation = await start_generation(request, generation_request, prompt_param="messages")
    if body.stream:
        frames = write_events(generation, answer_format)
        return EventStream(frames, generation, "", lambda error: build_event("error", **convert_error(error)))
    (choice,), finished = await collect(request, generation, 1)
    assert choice.stored is not None
    message = build_message(generation, finished.num_prompt_tokens, finished.num_cached_tokens, finished.num_tokens)
    calls = find_calls(answer_format, choice.stored.text)
    ending = describe_ending(choice.stored, calls)
    content = build_content(choice.stored, calls)
    return JSONResponse({**message, "content": content, **ending}, headers=generation.headers)


@router.post("/v1/messages/count_tokens")
@require_scope("generate")
async def count_tokens(request: Request, body: CountRequest) -> dict[str, int]:
    """Count the tokens of a conversation as the model would read it."""
    messages = read_conversation(body, await run_in_threadpool(build_answer_format, body))
    model = resolve_model(request, body.model)
    try:
        return {"input_tokens": await request.app.state.engine.count_tokens(model, messages)}
    except GenloomError as error:
        raise translate_error(request.app.state.workspace, error, model, "messages") from None


def build_answer_format(body: CountRequest) -> AnswerFormat:
    """Return what the answer must look like; tools that Anthropic's service runs itself are left out."""
    tools = [
        Tool(
            type="function",
            function=FunctionDefinition(name=tool.name, description=tool.description, parameters=tool.input_schema),
        )
        for tool in body.tools or ()
        if tool.type == "custom"
    ]
    choice: ToolChoice | None = None
    if body.tool_choice is not None:
        kind = body.tool_choice.type
        named = NamedToolChoice(type="function", function=NamedFunction(name=body.tool_choice.name or "?"))
        choice = named if kind == "tool" else "required" if kind == "any" else "none" if kind == "none" else "auto"
    return build_format(None, tools, choice, is_parallel=False)


def read_conversation(body: CountRequest, answer_format: AnswerFormat) -> list[Message]:
    """Return the conversation as messages of a chat template."""
    messages = [Message("system", read_blocks(body.system, "system"))] if body.system else []
    names: dict[str, str] = {}
    for number, message in enumerate(body.messages):
        place = f"messages.{number}.content"
        if isinstance(message.content, list):
            names |= {block.id: block.name for block in message.content if block.type == "tool_use"}
        messages.append(Message(message.role, read_blocks(message.content, place, names)))
    return add_instructions(join_turns(messages), answer_format.instructions)


def read_blocks(content: Content | None, place: str, names: dict[str, str] | None = None) -> str:
    """Return a content as text; APIError for a part that no model here reads."""
    if content is None or isinstance(content, str):
        return content or ""
    texts, calls = [], list[ToolCall]()
    for number, block in enumerate(content):
        match block.type:
            case "tool_use":
                calls.append(ToolCall(id=block.id, function=Function(name=block.name or "?", arguments=block.input)))
            case "tool_result":
                name = (names or {}).get(block.tool_use_id) or "the function"
                texts.append(f"Result of {name}: {read_blocks(block.content, f'{place}.{number}.content')}")
            case "thinking" | "redacted_thinking":
                pass
            case _ if block.type in TEXT_PARTS:
                texts.append(block.text)
            case _:
                raise APIError("server.unsupported_part", param=f"{place}.{number}", kind=block.type)
    return "\n".join(filter(None, [*texts, write_calls(calls)]))


def build_message(generation: Generation, num_prompt: int, num_cached: int, num_output: int) -> dict[str, Any]:
    return {
        "id": f"msg_{generation.id}",
        "type": "message",
        "role": "assistant",
        "model": generation.started.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": max(num_prompt - num_cached, 0),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": num_cached,
            "output_tokens": num_output,
        },
    }


def describe_ending(stored: Stored, calls: Sequence[FoundCall]) -> dict[str, Any]:
    """Return why an answer ends."""
    if calls:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if stored.stop_text:
        return {"stop_reason": "stop_sequence", "stop_sequence": stored.stop_text}
    return {"stop_reason": "max_tokens" if stored.finish_reason == "length" else "end_turn", "stop_sequence": None}


def build_content(stored: Stored, calls: Sequence[FoundCall]) -> list[dict[str, Any]]:
    if not calls:
        reasoning, text = split_reasoning(stored.text)
        return [
            *([{**_EMPTY_BLOCKS["thinking"], "thinking": reasoning}] if reasoning else []),
            *([{**_EMPTY_BLOCKS["text"], "text": text}] if text else []),
        ]
    return [
        {
            "type": "tool_use",
            "id": id.replace("call_", "toolu_"),
            "name": call.name,
            "input": json.loads(call.arguments),
        }
        for id, call in zip(list_call_ids(stored, calls), calls, strict=True)
    ]


def build_event(type: str, **values: Any) -> str:
    return f"event: {type}\ndata: {to_event_data({'type': type, **values})}\n\n"


async def write_events(generation: Generation, answer_format: AnswerFormat) -> AsyncGenerator[str]:
    """Yield the events of an answer in the order that clients rely on."""
    message = build_message(generation, generation.started.num_prompt_tokens, 0, 0)
    yield build_event("message_start", message=message)
    yield build_event("ping")
    text, parser, kinds, stored = "", ReasoningParser(), list[str](), None
    async with aclosing(generation.events) as events:
        async for event in events:
            match event:
                case Text():
                    text += event.text
                    if answer_format.functions and text.startswith("{"):
                        continue  # it may be a call, which is sent when it is complete
                    for each in write_pieces(kinds, parser.feed(event.text)):
                        yield each
                case Stored():
                    stored = event
                    for each in write_pieces(kinds, parser.finish()):
                        yield each
                    if kinds:
                        yield build_event("content_block_stop", index=len(kinds) - 1)
                        continue
                    for index, block in enumerate(build_content(event, find_calls(answer_format, event.text))):
                        for each in write_block(index, block):
                            yield each
                case Finished():
                    assert stored is not None
                    ending = describe_ending(stored, find_calls(answer_format, stored.text))
                    yield build_event("message_delta", delta=ending, usage={"output_tokens": event.num_tokens})
                    yield build_event("message_stop")


def write_pieces(kinds: list[str], pieces: Sequence[Piece]) -> list[str]:
    """Return the events of new text, and add to the kinds of blocks begun, of which the last is open."""
    events = []
    for piece in pieces:
        kind = "thinking" if piece.is_reasoning else "text"
        if kind not in kinds:
            if kinds:
                events.append(build_event("content_block_stop", index=len(kinds) - 1))
            events.append(open_block(len(kinds), _EMPTY_BLOCKS[kind]))
            kinds.append(kind)
        events.append(write_delta(len(kinds) - 1, {"type": f"{kind}_delta", kind: piece.text}))
    return events


def open_block(index: int, block: dict[str, Any]) -> str:
    return build_event("content_block_start", index=index, content_block=block)


def write_delta(index: int, delta: dict[str, Any]) -> str:
    return build_event("content_block_delta", index=index, delta=delta)


def write_block(index: int, block: dict[str, Any]) -> list[str]:
    """Return the events of a block that is sent at once."""
    kind = block["type"]
    if kind in _EMPTY_BLOCKS:
        begin, delta = _EMPTY_BLOCKS[kind], {"type": f"{kind}_delta", kind: block[kind]}
    else:
        begin = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"], ensure_ascii=False)}
    return [open_block(index, begin), write_delta(index, delta), build_event("content_block_stop", index=index)]
