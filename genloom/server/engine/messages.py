"""Messages between the server and the engine's process: requests and events, as JSON behind a length of 4 bytes."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.server.remote_error import RemoteError
from genloom.types import Message

MAX_FRAME_BYTES = 1 << 30


def make_request_id() -> str:
    return f"gen-{secrets.token_hex(12)}"


@dataclass(frozen=True)
class GenerationRequest:
    """Outputs to generate: as `Model.generate` takes it, or the answer to a conversation.

    A file is a `Path` that the server resolved: a text where a file is expected is refused, whoever sent it.
    """

    model: str
    prompts: tuple[str, ...] = ("",)
    messages: tuple[Message, ...] = ()  # a conversation to answer; then there are no prompts
    prompt_ids: tuple[tuple[int, ...], ...] = ()  # prompts as tokens of the model
    n: int = 1  # outputs of each prompt
    seed: int | None = None
    skip_nonces: tuple[int, ...] = ()  # outputs that are there already, when a job is made again
    stop: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)  # of the sampler, and editing options of the medium
    given: tuple[Mapping[str, Any], ...] = ()  # the values of conditions; several: outputs for each
    presets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    precision: str = "auto"
    is_chat: bool | None = None  # whether prompts are questions; None: if the model was tuned on conversations
    continue_from: str = ""  # an output to continue
    interpolate: int = 0
    is_marked: bool = True  # whether the workspace's key marks the outputs
    refuse_copies: bool = False  # whether outputs that copy training data are withheld; a text is then not streamed
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    grammar: str = ""  # see genloom.generate.grammar
    num_logprobs: int | None = None  # most likely tokens to report for each token; None: no log-probabilities
    should_score_prompt: bool = False  # whether the prompt's tokens are reported with their log-probabilities, too
    should_truncate: bool = False  # whether the beginning of a long prompt is left unread, instead of an error
    keeps_partial: bool = False  # whether what was written of a cancelled text is stored
    num_previews: int = 0  # of a value while it forms
    owner: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)  # further fields of the records
    id: str = field(default_factory=make_request_id)


@dataclass(frozen=True)
class TokenLogprob:
    """A token with its log-probability, None for the first token of a prompt, and the most likely ones in its place."""

    token: str
    bytes: list[int]
    logprob: float | None
    top: list["TokenLogprob"] = field(default_factory=list)


@dataclass(frozen=True)
class EngineEvent:
    """An event in the life of a request; the last one is Finished."""


@dataclass(frozen=True)
class Started(EngineEvent):
    """The request is valid and begins; its outputs will be stored under these ids."""

    output_ids: list[str]
    model: str  # the version, e.g. notes/3
    medium: str
    fingerprint: str  # of the model and the program: equal requests with equal seeds give equal bytes
    num_prompt_tokens: int
    prompts: list[str]  # the texts that outputs continue
    prompt_logprobs: list[list[TokenLogprob]] = field(default_factory=list)  # by prompt, if they were asked for
    num_steps: int = 1


@dataclass(frozen=True)
class Text(EngineEvent):
    """New characters of an output."""

    index: int
    text: str
    logprobs: list[TokenLogprob] = field(default_factory=list)


@dataclass(frozen=True)
class Progress(EngineEvent):
    step: int
    total: int
    note: str


@dataclass(frozen=True)
class Preview(EngineEvent):
    """An output as it looks so far."""

    index: int
    number: int
    mime: str
    data: bytes


@dataclass(frozen=True)
class Stored(EngineEvent):
    """An output is complete and on disk; or it was withheld, as it copies training data, and is nowhere."""

    index: int
    output_id: str  # "" of one that was withheld
    finish_reason: str  # stop, length, loop, cancelled or withheld
    text: str
    num_tokens: int
    stop_text: str = ""  # the stop string that ended it
    num_reasoning_tokens: int = 0  # of a text that begins with reasoning: those up to its end

    @property
    def is_withheld(self) -> bool:
        return not self.output_id


@dataclass(frozen=True)
class Finished(EngineEvent):
    num_prompt_tokens: int
    num_cached_tokens: int  # of the prompts, which had been read for earlier requests
    num_tokens: int
    num_reasoning_tokens: int = 0


_EVENTS: Mapping[str, Any] = {cls.__name__: cls for cls in (Started, Text, Progress, Preview, Stored, Finished)}


def pack_request(request: GenerationRequest) -> dict[str, Any]:
    """Return a request as JSON data, with its paths apart from everything that came from outside."""
    table = {f.name: getattr(request, f.name) for f in fields(request)}
    given = [{k: v for k, v in row.items() if not isinstance(v, Path)} for row in request.given]
    paths = [{k: str(v) for k, v in row.items() if isinstance(v, Path)} for row in (request.params, *request.given)]
    params = {k: v for k, v in request.params.items() if not isinstance(v, Path)}
    return {
        **table,
        "messages": [asdict(message) for message in request.messages],
        "logit_bias": list(request.logit_bias.items()),
        "params": params,
        "given": given,
        "paths": paths,
    }


def unpack_request(table: Mapping[str, Any]) -> GenerationRequest:
    """Return the request that `pack_request` packed."""
    values = dict(table)
    param_paths, *given_paths = values.pop("paths")
    values["params"] = {**values["params"], **{k: Path(v) for k, v in param_paths.items()}}
    values["given"] = tuple(
        {**row, **{k: Path(v) for k, v in paths.items()}}
        for row, paths in zip(values["given"], given_paths, strict=True)
    )
    values["messages"] = tuple(Message(**message) for message in values["messages"])
    values["logit_bias"] = {int(token): float(bias) for token, bias in values["logit_bias"]}
    values["prompt_ids"] = tuple(map(tuple, values["prompt_ids"]))
    for name in ("prompts", "skip_nonces", "stop", "presets", "adapters"):
        values[name] = tuple(values[name])
    return GenerationRequest(**values)


def pack_event(event: EngineEvent) -> dict[str, Any]:
    values = {f.name: getattr(event, f.name) for f in fields(event)}
    if isinstance(event, Preview):
        values["data"] = base64.b64encode(event.data).decode()
    for name in ("logprobs", "prompt_logprobs"):
        if values.get(name):
            values[name] = asdict(event)[name]
    return {"event": type(event).__name__, **values}


def unpack_event(table: Mapping[str, Any]) -> EngineEvent:
    values = {name: value for name, value in table.items() if name not in ("event", "id")}
    if "data" in values:
        values["data"] = base64.b64decode(values["data"])
    if values.get("logprobs"):
        values["logprobs"] = list(map(_unpack_logprob, values["logprobs"]))
    if values.get("prompt_logprobs"):
        values["prompt_logprobs"] = [list(map(_unpack_logprob, row)) for row in values["prompt_logprobs"]]
    return _EVENTS[table["event"]](**values)


def _unpack_logprob(table: Mapping[str, Any]) -> TokenLogprob:
    top = [_unpack_logprob(each) for each in table["top"]]
    return TokenLogprob(table["token"], table["bytes"], table["logprob"], top)


def pack_error(error: GenloomError) -> dict[str, Any]:
    """Return an error as JSON data; values that JSON lacks become texts."""
    plain = {k: v if isinstance(v, int | float | bool | str | None) else str(v) for k, v in error.fields.items()}
    return {"event": "error", "code": error.code, "fields": plain, "message": str(error)}


def unpack_error(table: Mapping[str, Any]) -> GenloomError:
    """Return the error that `pack_error` packed, with the same text."""
    return RemoteError(table["code"], table["message"], table["fields"])


def to_frame(table: Mapping[str, Any] | list[dict[str, Any]]) -> bytes:
    """Return a message as it travels: its length in 4 bytes, and its JSON."""
    data = json.dumps(table, ensure_ascii=True, separators=(",", ":")).encode()
    return len(data).to_bytes(4, "little") + data
