"""POST /v1/responses: the newer API for answers, over the same conversations; earlier answers go by their ids."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.server.access import require_scope
from genloom.server.engine import GenerationRequest
from genloom.server.errors import APIError
from genloom.server.openai import outputs
from genloom.server.openai.chat import add_instructions
from genloom.server.openai.formats import (
    AnswerFormat,
    FunctionDefinition,
    JsonSchema,
    NamedFunction,
    NamedToolChoice,
    ResponseFormat,
    Tool,
    ToolChoice,
    build_format,
    read_schema,
)
from genloom.server.openai.generating import (
    EventStream,
    collect,
    get_owner,
    resolve_model,
    start_generation,
)
from genloom.server.openai.messages import (
    MAX_MESSAGES,
    ChatMessage,
    Content,
    Function,
    ToolCall,
    join_turns,
    read_messages,
)
from genloom.server.openai.response_writer import ResponseWriter
from genloom.server.openai.shapes import MaxTokens, Name, SamplingShape, Shape, to_seed
from genloom.server.openai.shapes import Text as TextValue
from genloom.server.reasoning import split_reasoning
from genloom.types import Message

router = APIRouter()


class Item(Shape):
    """A part of the conversation: a message, a call of a function, or its result; others are left out."""

    type: Annotated[str, Field(max_length=100)] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Content = None
    call_id: Annotated[str, Field(max_length=200)] = ""
    name: Annotated[str, Field(max_length=200)] = ""
    arguments: TextValue = ""
    output: Content = None


class FlatTool(Shape):
    type: Annotated[str, Field(max_length=100)]
    name: Annotated[str, Field(max_length=200)] = ""
    description: TextValue | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FlatToolChoice(Shape):
    type: Annotated[str, Field(max_length=100)]
    name: Annotated[str, Field(max_length=200)] = ""
    mode: Literal["auto", "required"] = "auto"
    tools: Annotated[list[FlatTool], Field(max_length=128)] = Field(default_factory=list)


class TextFormat(Shape):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Annotated[str, Field(max_length=200)] = ""
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class TextSettings(Shape):
    format: TextFormat | None = None


class ResponseRequest(SamplingShape):
    model: Name
    input: TextValue | Annotated[list[Item], Field(min_length=1, max_length=MAX_MESSAGES)]
    instructions: TextValue | None = None
    max_output_tokens: MaxTokens | None = None
    tools: Annotated[list[FlatTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FlatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextSettings | None = None
    previous_response_id: Annotated[str, Field(max_length=200)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None
    stream: bool | None = None


@router.post("/v1/responses")
@router.post("/responses", include_in_schema=False)
@require_scope("generate")
async def create_response(request: Request, body: ResponseRequest) -> Response:
    """Answer a conversation."""
    for name in ("background", "conversation", "prompt"):
        if getattr(body, name):
            raise APIError("server.unsupported_parameter", param=name, public_code="unsupported_parameter", name=name)
    answer_format = await run_in_threadpool(
        build_format,
        read_schema(to_response_format(body), "text.format"),
        [to_tool(tool) for tool in body.tools or ()],
        to_tool_choice(body.tool_choice),
        body.parallel_tool_calls is True,
        "text.format.schema",
    )
    generation = await start_generation(request, build_generation(request, body, answer_format), prompt_param="input")
    writer = ResponseWriter(generation, body, answer_format)
    if body.stream:
        return EventStream(writer.write(), generation, last="")
    (choice,), finished = await collect(request, generation, 1)
    assert choice.stored is not None
    return JSONResponse(
        writer.build_response(choice.stored, finished, writer.build_items(choice.stored)), headers=generation.headers
    )


def build_generation(request: Request, body: ResponseRequest, answer_format: AnswerFormat) -> GenerationRequest:
    """Return what the engine is asked for."""
    earlier = read_earlier(request, body.previous_response_id) if body.previous_response_id else []
    instructions = [Message("system", body.instructions)] if body.instructions else []
    messages = join_turns([*instructions, *earlier, *read_items(body.input)])
    limit = {"max_tokens": body.max_output_tokens} if body.max_output_tokens else {}
    return GenerationRequest(
        resolve_model(request, body.model),
        messages=tuple(add_instructions(messages, answer_format.instructions)),
        seed=to_seed(body.seed),
        params={**body.list_params(), **limit},
        logit_bias=body.logit_bias or {},
        grammar=answer_format.grammar,
        is_marked=body.is_marked,
        refuse_copies=body.refuse_copies,
        owner=get_owner(request),
    )


def read_earlier(request: Request, id: str) -> list[Message]:
    """Return the conversation that an earlier answer ended, from its record in the ledger."""
    record = outputs.find_output(request, id.removeprefix("resp_")).record
    messages = [
        Message(message["role"], message["content"])
        for message in record.get("conversation") or ()
        if message["role"] != "system"  # instructions are not carried over
    ]
    _, answer = split_reasoning(str(record.get("written") or ""))
    return [*messages, Message("assistant", answer)]


def read_items(items: str | Sequence[Item]) -> list[Message]:
    """Return the input as messages; what the service of OpenAI runs itself, such as searches, is left out."""
    if isinstance(items, str):
        return [Message("user", items)]
    messages: list[ChatMessage] = []
    for item in items:
        match item.type:
            case "message":
                messages.append(ChatMessage(role=item.role or "user", content=item.content))
            case "function_call":
                function = Function(name=item.name or "function", arguments=item.arguments)
                messages.append(
                    ChatMessage(role="assistant", tool_calls=[ToolCall(id=item.call_id, function=function)])
                )
            case "function_call_output":
                messages.append(ChatMessage(role="tool", tool_call_id=item.call_id, content=item.output))
    if not messages:
        raise APIError("server.no_messages", param="input")
    return read_messages(messages, "input")


def to_response_format(body: ResponseRequest) -> ResponseFormat | None:
    text_format = body.text.format if body.text else None
    if text_format is None:
        return None
    schema = JsonSchema.model_validate({"name": text_format.name, "schema": text_format.schema_})
    return ResponseFormat(type=text_format.type, json_schema=schema)


def to_tool(tool: FlatTool) -> Tool:
    if tool.type != "function" or not tool.name:
        return Tool(type=tool.type)
    definition = FunctionDefinition(name=tool.name, description=tool.description, parameters=tool.parameters)
    return Tool(type="function", function=definition)


def to_tool_choice(choice: Literal["none", "auto", "required"] | FlatToolChoice | None) -> ToolChoice | None:
    if not isinstance(choice, FlatToolChoice):
        return choice
    if choice.type == "function":
        return NamedToolChoice(type="function", function=NamedFunction(name=choice.name or "?"))
    if choice.type == "allowed_tools":
        allowed = {"mode": choice.mode, "tools": [to_tool(tool).model_dump() for tool in choice.tools]}
        return NamedToolChoice.model_validate({"type": "allowed_tools", "allowed_tools": allowed})
    raise APIError("server.unknown_function", param="tool_choice", name=choice.type)
