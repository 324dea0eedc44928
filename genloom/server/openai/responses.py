"""POST /v1/responses: the newer API for answers, over the same conversations; earlier answers go by their ids."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.server.access import require_scope
from genloom.server.engine import Finished, GenerationRequest, Stored, Text
from genloom.server.errors import APIError
from genloom.server.openai import outputs
from genloom.server.openai.chat import add_instructions, list_call_ids
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
    find_calls,
    read_schema,
)
from genloom.server.openai.generating import (
    EventStream,
    Generation,
    collect,
    get_owner,
    resolve_model,
    start_generation,
    to_event_data,
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
from genloom.server.openai.shapes import MaxTokens, Name, SamplingShape, Shape, to_seed
from genloom.server.openai.shapes import Text as TextValue
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
    return [*messages, Message("assistant", str(record.get("written") or ""))]


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


class ResponseWriter:
    """Writes the object `response`, whole or as the events that build it up."""

    def __init__(self, generation: Generation, body: ResponseRequest, answer_format: AnswerFormat):
        self.generation, self.body, self.answer_format = generation, body, answer_format
        self.id, self.sequence_number = f"resp_{generation.id}", 0

    def build_response(
        self, stored: Stored | None, finished: Finished | None, items: list[dict[str, Any]]
    ) -> dict[str, Any]:
        body, is_cut = self.body, stored is not None and stored.finish_reason == "length"
        status = "in_progress" if stored is None else "incomplete" if is_cut else "completed"
        text_format = body.text.format if body.text else None
        form: dict[str, Any] = {"type": text_format.type if text_format else "text"}
        if text_format and text_format.type == "json_schema":
            form |= {"name": text_format.name, "schema": text_format.schema_, "strict": True, "description": None}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.generation.created,
            "completed_at": self.generation.created if stored else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": None,
            "metadata": body.metadata or {},
            "model": self.generation.started.model,
            "output": items,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": True,
            "temperature": body.temperature if body.temperature is not None else 1.0,
            "text": {"format": form},
            "tool_choice": body.tool_choice if isinstance(body.tool_choice, str) else describe_choice(body.tool_choice),
            "tools": [describe_tool(tool) for tool in body.tools or () if tool.type == "function"],
            "top_logprobs": 0,
            "top_p": body.top_p if body.top_p is not None else 1.0,
            "truncation": "disabled",
            "usage": None if finished is None else build_usage(finished),
            "user": None,
        }

    def build_items(self, stored: Stored) -> list[dict[str, Any]]:
        """Return the output of a complete answer."""
        status = "incomplete" if stored.finish_reason == "length" else "completed"
        calls = find_calls(self.answer_format, stored.text)
        if not calls:
            return [self.build_message(stored.text, status)]
        return [
            self.build_call(number, id, call.name, call.arguments, status)
            for number, (id, call) in enumerate(zip(list_call_ids(stored, calls), calls, strict=True))
        ]

    def build_message(self, text: str, status: str) -> dict[str, Any]:
        content = [] if status == "in_progress" else [build_part(text)]
        return {
            "id": f"msg_{self.generation.id}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def build_call(self, number: int, call_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
        id = f"fc_{self.generation.id}_{number}"
        return {
            "id": id,
            "type": "function_call",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
            "status": status,
        }

    def build_event(self, kind: str, **values: Any) -> str:
        frame = {"type": kind, "sequence_number": self.sequence_number, **values}
        self.sequence_number += 1
        return f"event: {kind}\ndata: {to_event_data(frame)}\n\n"

    async def write(self) -> AsyncGenerator[str]:
        """Yield the events in the order that clients rely on."""
        yield self.build_event("response.created", response=self.build_response(None, None, []))
        yield self.build_event("response.in_progress", response=self.build_response(None, None, []))
        text, is_open, stored = "", False, None
        async with aclosing(self.generation.events) as events:
            async for event in events:
                match event:
                    case Text():
                        text += event.text
                        if self.answer_format.functions and text.startswith("{"):
                            continue  # it may be a call, which is sent when it is complete
                        if not is_open:
                            for each in self.open_message():
                                yield each
                        is_open = True
                        yield self.build_text_event("response.output_text.delta", delta=event.text, logprobs=[])
                    case Stored():
                        stored = event
                        for each in self.write_items(event, is_open):
                            yield each
                    case Finished():
                        assert stored is not None
                        items = self.build_items(stored)
                        kind = "response.incomplete" if stored.finish_reason == "length" else "response.completed"
                        yield self.build_event(kind, response=self.build_response(stored, event, items))

    def build_text_event(self, kind: str, **values: Any) -> str:
        return self.build_event(kind, item_id=f"msg_{self.generation.id}", output_index=0, content_index=0, **values)

    def open_message(self) -> list[str]:
        item = self.build_message("", "in_progress")
        return [
            self.build_event("response.output_item.added", output_index=0, item=item),
            self.build_text_event("response.content_part.added", part=build_part("")),
        ]

    def write_items(self, stored: Stored, is_open: bool) -> list[str]:
        """Return the events that complete the output."""
        items, events = self.build_items(stored), list[str]()
        if items[0]["type"] == "message":
            if not is_open:
                events += self.open_message()
                if stored.text:
                    events.append(self.build_text_event("response.output_text.delta", delta=stored.text, logprobs=[]))
            events += [
                self.build_text_event("response.output_text.done", text=stored.text, logprobs=[]),
                self.build_text_event("response.content_part.done", part=build_part(stored.text)),
            ]
            return [*events, self.build_event("response.output_item.done", output_index=0, item=items[0])]
        for index, item in enumerate(items):
            place, arguments = {"item_id": item["id"], "output_index": index}, item["arguments"]
            begun = {**item, "arguments": "", "status": "in_progress"}
            events += [
                self.build_event("response.output_item.added", output_index=index, item=begun),
                self.build_event("response.function_call_arguments.delta", delta=arguments, **place),
                self.build_event(
                    "response.function_call_arguments.done", arguments=arguments, name=item["name"], **place
                ),
                self.build_event("response.output_item.done", output_index=index, item=item),
            ]
        return events


def build_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def describe_choice(choice: FlatToolChoice | None) -> Any:
    if choice is None:
        return "auto"
    return {"type": choice.type, "name": choice.name} if choice.type == "function" else choice.mode


def describe_tool(tool: FlatTool) -> Mapping[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or {},
        "strict": tool.strict if tool.strict is not None else True,
    }


def build_usage(finished: Finished) -> dict[str, Any]:
    return {
        "input_tokens": finished.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": finished.num_cached_tokens, "cache_write_tokens": 0},
        "output_tokens": finished.num_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": finished.num_prompt_tokens + finished.num_tokens,
    }
