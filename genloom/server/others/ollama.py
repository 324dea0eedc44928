"""The five addresses of Ollama that programs without another way need; off unless asked for, on a port of their own."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

import genloom
from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.engine import Finished, GenerationRequest, Stored, Text
from genloom.server.errors import build_error_response
from genloom.server.openai.chat import add_instructions
from genloom.server.openai.formats import AnswerFormat, Tool, build_format, find_calls
from genloom.server.openai.generating import (
    EventStream,
    Generation,
    collect,
    find_medium,
    get_owner,
    start_generation,
    translate_error,
)
from genloom.server.openai.messages import MAX_MESSAGES, ChatMessage, Function, ToolCall, read_messages
from genloom.server.openai.shapes import Name, Shape
from genloom.server.openai.shapes import Text as TextValue
from genloom.server.reasoning import Piece, ReasoningParser, split_reasoning

router = APIRouter()

PARAMS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "num_predict": "max_tokens",
}


class OllamaFunction(Shape):
    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict)


class OllamaToolCall(Shape):
    function: OllamaFunction


class OllamaMessage(Shape):
    role: Annotated[str, Field(pattern="^(system|user|assistant|tool)$")]
    content: TextValue = ""
    tool_calls: Annotated[list[OllamaToolCall], Field(max_length=128)] | None = None
    tool_name: Annotated[str, Field(max_length=200)] = ""


class OllamaChat(Shape):
    model: Name
    messages: Annotated[list[OllamaMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = True
    format: Any = None
    options: dict[str, Any] = Field(default_factory=dict)
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None


class ShowRequest(Shape):
    model: Annotated[str, Field(max_length=512)] = ""
    name: Annotated[str, Field(max_length=512)] = ""


@router.get("/")
@require_scope(None)
async def greet_client() -> Response:
    """Answer what programs look for."""
    return PlainTextResponse("Ollama is running")


@router.get("/api/version")
@require_scope(None)
async def get_version() -> dict[str, str]:
    """Return a version of numbers, which clients compare."""
    return {"version": ".".join(part for part in genloom.__version__.split(".")[:3] if part.isdigit()) or "0.0.0"}


@router.get("/api/tags")
@require_scope("read")
def list_tags(request: Request) -> dict[str, Any]:
    """List the language models."""
    workspace = request.app.state.workspace
    models = {model.name: model for model in [*workspace.models, *workspace.built_in_models] if model.is_active}
    chosen = {name: model for name, model in models.items() if find_medium(model) == "text"}
    return {
        "models": [
            {
                "name": name,
                "model": name,
                "modified_at": str(model.card.get("created") or datetime.fromtimestamp(0, UTC).isoformat()),
                "size": sum(path.stat().st_size for path in model.folder.folder.rglob("*") if path.is_file()),
                "digest": model.digest,
                "details": describe_details(),
            }
            for name, model in chosen.items()
        ]
    }


def describe_details() -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": "genloom",
        "families": ["genloom"],
        "parameter_size": "",
        "quantization_level": "",
    }


@router.post("/api/show")
@require_scope("read")
async def show_model(request: Request, body: ShowRequest) -> Response:
    """Describe a model, with what it can do."""
    name = body.model or body.name
    try:
        facts = await request.app.state.engine.describe(strip_tag(name))
    except GenloomError as error:
        raise translate_error(request.app.state.workspace, error, name, "model") from None
    capabilities = ["completion", *(["tools"] if facts["can_chat"] else [])]
    info = {
        "general.architecture": "genloom",
        "genloom.context_length": facts["context_length"],
        "tokenizer.ggml.model": "",
    }
    return JSONResponse(
        {
            "modelfile": "",
            "parameters": "",
            "template": "",
            "details": describe_details(),
            "model_info": info,
            "capabilities": capabilities,
        }
    )


@router.post("/api/chat")
@require_scope("generate")
async def create_chat(request: Request, body: OllamaChat) -> Response:
    """Answer a conversation, streamed as lines of JSON unless asked otherwise."""
    schema = {"type": "object"} if body.format == "json" else body.format if isinstance(body.format, dict) else None
    answer_format = await run_in_threadpool(build_format, schema, body.tools, None, True, "format")
    generation = await start_generation(request, build_generation(request, body, answer_format), "messages")
    if body.stream:
        stream = EventStream(write_lines(generation, answer_format), generation, "", to_error_line)
        stream.headers["content-type"] = "application/x-ndjson"
        return stream
    started_at = time.monotonic_ns()
    (choice,), finished = await collect(request, generation, 1)
    assert choice.stored is not None
    message = build_message(answer_format, choice.stored)
    return JSONResponse(
        build_line(generation, message) | describe_end(choice.stored, finished, started_at), headers=generation.headers
    )


def build_generation(request: Request, body: OllamaChat, answer_format: AnswerFormat) -> GenerationRequest:
    options = body.options
    params = {ours: options[theirs] for theirs, ours in PARAMS.items() if isinstance(options.get(theirs), int | float)}
    if int(params.get("max_tokens", 1)) < 1:  # -1 and -2 mean: no limit
        del params["max_tokens"]
    stop, seed = options.get("stop") or [], options.get("seed")
    stops = [stop] if isinstance(stop, str) else [each for each in stop if isinstance(each, str) and each][:16]
    messages = read_messages([to_chat_message(message) for message in body.messages])
    return GenerationRequest(
        strip_tag(body.model),
        messages=tuple(add_instructions(messages, answer_format.instructions)),
        seed=seed % 2**63 if isinstance(seed, int) and not isinstance(seed, bool) else None,
        stop=tuple(stops),
        params=params,
        grammar=answer_format.grammar,
        owner=get_owner(request),
    )


def to_chat_message(message: OllamaMessage) -> ChatMessage:
    calls = [
        ToolCall(function=Function(name=call.function.name, arguments=call.function.arguments))
        for call in message.tool_calls or ()
    ]
    return ChatMessage.model_validate(
        {
            "role": message.role,
            "content": message.content,
            "name": message.tool_name or None,
            "tool_calls": calls or None,
        }
    )


def strip_tag(name: str) -> str:
    """Return a name without the tag that clients of Ollama add."""
    return name.removesuffix(":latest")


def build_text_error(error: GenloomError) -> Response:
    """Return the answer for an error as Ollama sends it: a text."""
    response = build_error_response(error)
    message = json.loads(bytes(response.body))["error"]["message"]
    headers = {name: response.headers[name] for name in ("retry-after", "x-should-retry") if name in response.headers}
    return JSONResponse({"error": message}, response.status_code, headers)


def to_error_line(error: GenloomError) -> str:
    return bytes(build_text_error(error).body).decode() + "\n"


def build_message(answer_format: AnswerFormat, stored: Stored) -> dict[str, Any]:
    calls = find_calls(answer_format, stored.text)
    if not calls:
        reasoning, text = split_reasoning(stored.text)
        return {"role": "assistant", "content": text, **({"thinking": reasoning} if reasoning else {})}
    found = [{"function": {"name": call.name, "arguments": json.loads(call.arguments)}} for call in calls]
    return {"role": "assistant", "content": "", "tool_calls": found}


def build_piece(piece: Piece) -> dict[str, Any]:
    """Return a piece of an answer, or of the reasoning before it, as a message."""
    if piece.is_reasoning:
        return {"role": "assistant", "content": "", "thinking": piece.text}
    return {"role": "assistant", "content": piece.text}


def build_line(generation: Generation, message: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"model": generation.started.model, "created_at": now, "message": message, "done": False}


def describe_end(stored: Stored, finished: Finished, started_at: int) -> dict[str, Any]:
    duration = time.monotonic_ns() - started_at
    return {
        "done": True,
        "done_reason": "length" if stored.finish_reason == "length" else "stop",
        "total_duration": duration,
        "load_duration": 0,
        "prompt_eval_count": finished.num_prompt_tokens,
        "prompt_eval_duration": 0,
        "eval_count": finished.num_tokens,
        "eval_duration": duration,
    }


async def write_lines(generation: Generation, answer_format: AnswerFormat) -> AsyncGenerator[str]:
    """Yield a line of JSON for each piece, and one at the end."""
    text, stored, started_at, parser = "", None, time.monotonic_ns(), ReasoningParser()

    def to_line(table: dict[str, Any]) -> str:
        return json.dumps(table, ensure_ascii=False) + "\n"

    async with aclosing(generation.events) as events:
        async for event in events:
            match event:
                case Text():
                    text += event.text
                    if not (answer_format.functions and text.startswith("{")):
                        for piece in parser.feed(event.text):
                            yield to_line(build_line(generation, build_piece(piece)))
                case Stored():
                    stored = event
                    for piece in parser.finish():
                        yield to_line(build_line(generation, build_piece(piece)))
                    if answer_format.functions and text.startswith("{"):
                        yield to_line(build_line(generation, build_message(answer_format, event)))
                case Finished():
                    assert stored is not None
                    last = build_line(generation, {"role": "assistant", "content": ""})
                    yield to_line(last | describe_end(stored, event, started_at))
