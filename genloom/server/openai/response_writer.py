"""The object `response` of POST /v1/responses, whole or as the events that build it up."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from genloom.server.engine import Finished, Stored, Text
from genloom.server.openai.chat import list_call_ids
from genloom.server.openai.formats import AnswerFormat, find_calls
from genloom.server.openai.generating import Generation, to_event_data
from genloom.server.reasoning import Piece, ReasoningParser, split_reasoning

if TYPE_CHECKING:
    from genloom.server.openai.responses import FlatTool, FlatToolChoice, ResponseRequest

# The names of events about the text of an item, by its type.
_TEXTS = {"reasoning": "reasoning_text", "message": "output_text"}


def find_cut_reason(stored: Stored | None) -> str:
    """Return why an answer is incomplete; "" if it is not, or not there yet."""
    if stored is None:
        return ""
    return "content_filter" if stored.is_withheld else "max_output_tokens" if stored.finish_reason == "length" else ""


class ResponseWriter:
    """Writes the object `response`, whole or as the events that build it up."""

    def __init__(self, generation: Generation, body: "ResponseRequest", answer_format: AnswerFormat):
        self.generation, self.body, self.answer_format = generation, body, answer_format
        self.id, self.sequence_number = f"resp_{generation.id}", 0
        self.texts: dict[str, str] = {}  # the text so far, by the type of the item; the last one is open

    def build_response(
        self, stored: Stored | None, finished: Finished | None, items: list[dict[str, Any]]
    ) -> dict[str, Any]:
        body, cut_reason = self.body, find_cut_reason(stored)
        status = "in_progress" if stored is None else "incomplete" if cut_reason else "completed"
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
            "incomplete_details": {"reason": cut_reason} if cut_reason else None,
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
        """Return the output of a complete answer: reasoning, and a message; or calls."""
        status = "incomplete" if find_cut_reason(stored) else "completed"
        calls = find_calls(self.answer_format, stored.text)
        if calls:
            return [
                self.build_call(number, id, call.name, call.arguments, status)
                for number, (id, call) in enumerate(zip(list_call_ids(stored, calls), calls, strict=True))
            ]
        reasoning, text = split_reasoning(stored.text)
        items = [self.build_item("reasoning", reasoning, "completed" if text else status)] if reasoning else []
        return [*items, self.build_item("message", text, status)] if text or not items else items

    def build_item(self, kind: str, text: str, status: str) -> dict[str, Any]:
        """Return the item "reasoning" or "message"; it has no content while it is in progress."""
        content = [] if status == "in_progress" else [build_part(kind, text)]
        more = {"summary": []} if kind == "reasoning" else {"role": "assistant"}
        return {"id": self.get_item_id(kind), "type": kind, **more, "status": status, "content": content}

    def get_item_id(self, kind: str) -> str:
        return f"{'rs' if kind == 'reasoning' else 'msg'}_{self.generation.id}"

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
        text, parser, stored = "", ReasoningParser(), None
        async with aclosing(self.generation.events) as events:
            async for event in events:
                match event:
                    case Text():
                        text += event.text
                        if self.answer_format.functions and text.startswith("{"):
                            continue  # it may be a call, which is sent when it is complete
                        for each in self.write_pieces(parser.feed(event.text)):
                            yield each
                    case Stored():
                        stored = event
                        for each in [*self.write_pieces(parser.finish()), *self.write_items(event)]:
                            yield each
                    case Finished():
                        assert stored is not None
                        items = self.build_items(stored)
                        kind = "response.incomplete" if find_cut_reason(stored) else "response.completed"
                        yield self.build_event(kind, response=self.build_response(stored, event, items))

    def write_pieces(self, pieces: Sequence[Piece]) -> list[str]:
        """Return the events of new text; reasoning is complete when the first piece of the answer comes."""
        events = list[str]()
        for piece in pieces:
            kind = "reasoning" if piece.is_reasoning else "message"
            if kind not in self.texts:
                if self.texts:
                    events += self.close_item(self.build_item("reasoning", self.texts["reasoning"], "completed"))
                events += self.open_item(kind)
            self.texts[kind] += piece.text
            more = {"logprobs": []} if kind == "message" else {}
            events.append(self.build_text_event(kind, f"{_TEXTS[kind]}.delta", delta=piece.text, **more))
        return events

    def build_text_event(self, kind: str, name: str, **values: Any) -> str:
        """Return an event about the text of the open item."""
        place = {"item_id": self.get_item_id(kind), "output_index": len(self.texts) - 1, "content_index": 0}
        return self.build_event(f"response.{name}", **place, **values)

    def open_item(self, kind: str) -> list[str]:
        self.texts[kind] = ""
        index, item = len(self.texts) - 1, self.build_item(kind, "", "in_progress")
        return [
            self.build_event("response.output_item.added", output_index=index, item=item),
            self.build_text_event(kind, "content_part.added", part=build_part(kind, "")),
        ]

    def close_item(self, item: dict[str, Any]) -> list[str]:
        """Return the events that complete the open item."""
        kind, (part,) = item["type"], item["content"]
        more = {"logprobs": []} if kind == "message" else {}
        return [
            self.build_text_event(kind, f"{_TEXTS[kind]}.done", text=part["text"], **more),
            self.build_text_event(kind, "content_part.done", part=part),
            self.build_event("response.output_item.done", output_index=len(self.texts) - 1, item=item),
        ]

    def write_items(self, stored: Stored) -> list[str]:
        """Return the events that complete the output."""
        items, events = self.build_items(stored), list[str]()
        if items[-1]["type"] in _TEXTS:
            if items[-1]["type"] not in self.texts:  # nothing of it was sent, as it looked like a call
                _, text = split_reasoning(stored.text)
                events += self.write_pieces([Piece(text, is_reasoning=False)]) if text else self.open_item("message")
            return [*events, *self.close_item(items[-1])]
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


def build_part(kind: str, text: str) -> dict[str, Any]:
    """Return the content of an item with text."""
    more = {"annotations": [], "logprobs": []} if kind == "message" else {}
    return {"type": _TEXTS[kind], "text": text, **more}


def describe_choice(choice: "FlatToolChoice | None") -> Any:
    if choice is None:
        return "auto"
    return {"type": choice.type, "name": choice.name} if choice.type == "function" else choice.mode


def describe_tool(tool: "FlatTool") -> Mapping[str, Any]:
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
        "output_tokens_details": {"reasoning_tokens": finished.num_reasoning_tokens},
        "total_tokens": finished.num_prompt_tokens + finished.num_tokens,
    }
