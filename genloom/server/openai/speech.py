"""POST /v1/audio/speech, /transcriptions and /translations: texts that are spoken, and recordings written down.

With `stream_format: "audio"`, speech is sent sentence by sentence as it is made. Such a stream says in its tags that it
is synthetic; only a whole file is signed.
"""

import base64
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from genloom.api.models import Model
from genloom.api.transcription import can_transcribe
from genloom.api.voices import can_speak, can_speak_itself
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.errors import APIError
from genloom.server.openai.generating import OUTPUT_HEADER, get_owner, resolve_model, wait_unless_left
from genloom.server.openai.shapes import Shape
from genloom.server.openai.unavailable import build_refusal
from genloom.server.streams import ClosedStream, keep_going
from genloom.server.worker.client import Worker
from genloom.speech.sound_chunks import FORMATS as STREAMED_FORMATS
from genloom.store.model_folder import ModelFolder

router = APIRouter()

MAX_CHARACTERS = 20_000  # of one request
MAX_UPLOAD_BYTES = 200_000_000
MAX_NAME_CHARACTERS = 200  # of an uploaded file, in the record of its transcript
# The voices of OpenAI that no voice of the model is named after, and those that are nearest to them.
VOICES: Mapping[str, str] = {
    "shimmer": "af_bella", "ash": "am_adam", "coral": "af_jessica", "sage": "af_sarah", "ballad": "bm_george",
    "verse": "am_michael", "marin": "af_heart", "cedar": "am_fenrir",
}  # fmt: skip
MIME_BY_FORMAT = {
    "mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "opus": "audio/ogg", "pcm": "audio/pcm",
}  # fmt: skip
PASSAGE_SECONDS = 600.0  # in which one is spoken, also while the process starts and those of others come first
RECORDING_SECONDS = 24 * 3600.0


class SpeechRequest(Shape):
    """The fields of /v1/audio/speech."""

    model: Annotated[str, Field(max_length=512)] = ""
    input: Annotated[str, Field(max_length=MAX_CHARACTERS)] = ""
    voice: Annotated[str, Field(max_length=100)] | None = None
    response_format: Literal["mp3", "wav", "flac", "opus", "pcm"] | None = None
    speed: Annotated[float, Field(ge=0.25, le=4, allow_inf_nan=False)] | None = None
    stream_format: Literal["audio"] | None = None
    refuse_copies: bool = False  # whether speech that copies the recordings of its voice is withheld


class TranscriptionRequest(Shape):
    """The fields of the form of /v1/audio/transcriptions and /translations, beside the file."""

    model: Annotated[str, Field(max_length=512)] = ""
    language: Annotated[str, Field(max_length=20)] | None = None
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] | None = None


@router.post("/v1/audio/speech")
@require_scope("generate")
async def create_speech(request: Request, body: SpeechRequest) -> Response:
    """Speak a text; the file says that it is synthetic."""
    workspace = request.app.state.workspace
    model = await run_in_threadpool(find_model, workspace, resolve_model(request, body.model), can_speak)
    if not body.input.strip():
        raise APIError("server.text_missing", param="input")
    is_stream = body.stream_format is not None and get_format(body) in STREAMED_FORMATS and not body.refuse_copies
    output = await run_in_threadpool(workspace.store.reserve_output)
    speaking = SpokenText(request.app.state.jobs.speaker, workspace, output)
    try:
        await speaking.start(
            text=body.input,
            voice=choose_voice(model, body),
            rate=get_speed(body),
            model=model.ref,
            metadata=describe_owner(get_owner(request)),
            stream_format=get_format(body) if is_stream else "",
            refuse_copies=body.refuse_copies,
        )
        first = await wait_unless_left(request, speaking.speak_passage())
        while not is_stream and not speaking.is_done:
            await wait_unless_left(request, speaking.speak_passage())
    except BaseException as error:
        await speaking.close()
        if getattr(error, "code", "") == "speech.copied":
            raise APIError(
                "server.only_copies", param="refuse_copies", public_code="content_filter", model=model.ref
            ) from error
        raise
    mime, headers = MIME_BY_FORMAT[get_format(body)], {OUTPUT_HEADER: output}
    if is_stream:
        return SpeechStream(first, speaking, mime, headers)
    return Response(await speaking.read_file(get_format(body)), media_type=mime, headers=headers)


class SpokenText:
    """A text that the process for speech speaks, one passage after the other; between them come those of others."""

    def __init__(self, speaker: Worker, workspace: Workspace, output: str) -> None:
        self.speaker, self.workspace, self.output, self.is_done = speaker, workspace, output, False

    async def start(self, **values: Any) -> None:
        await self._ask("start_speech", **values)

    async def speak_passage(self) -> bytes:
        """Speak the next passage, and return its bytes in the format of the stream."""
        answer = await self._ask("speak_passage")
        self.is_done = answer["is_done"]
        return base64.b64decode(answer["chunk"])

    async def read_file(self, name: str) -> bytes:
        """Return the output as a file of a format."""
        with tempfile.TemporaryDirectory(prefix="genloom-speech-") as folder:
            path = Path(folder) / f"speech.{'wav' if name == 'pcm' else name}"
            await self._ask("save_speech_file", path=str(path))
            return await run_in_threadpool(lambda: strip_header(path) if name == "pcm" else path.read_bytes())

    async def close(self) -> None:
        """Give up a text that is not spoken to its end, also after the client has left."""
        if not self.is_done:
            self.is_done = True
            await keep_going(self._give_up())

    async def _give_up(self) -> None:
        with contextlib.suppress(GenloomError):
            await self._ask("stop_speech")
        await run_in_threadpool(self.workspace.store.release_output, self.output)

    async def _ask(self, question: str, **values: Any) -> Any:
        return await keep_going(self.speaker.ask(question, seconds=PASSAGE_SECONDS, output=self.output, **values))


def get_format(body: SpeechRequest) -> str:
    return body.response_format or "mp3"


def get_speed(body: SpeechRequest) -> float:
    return 1.0 if body.speed is None else min(max(body.speed, 0.5), 2.0)


def choose_voice(model: Model, body: SpeechRequest) -> str:
    """Return the voice of the model that is meant: clients must name one, and a model trained here has one."""
    voice = body.voice or ""
    return "" if can_speak_itself(model.folder) else VOICES.get(voice.lower(), voice)


class SpeechStream(ClosedStream):
    """The chunks of a text; a client that leaves ends the speech, also before the first."""

    def __init__(self, first: bytes, speaking: SpokenText, mime: str, headers: Mapping[str, str]) -> None:
        super().__init__(send_chunks(first, speaking), mime, headers)
        self.speaking = speaking

    async def close(self) -> None:
        await super().close()
        await self.speaking.close()


async def send_chunks(first: bytes, speaking: SpokenText) -> AsyncGenerator[bytes]:
    yield first
    while not speaking.is_done:
        yield await speaking.speak_passage()


def strip_header(path: Path) -> bytes:
    """Return the samples of a WAV file in 16 bits, without a header."""
    import wave

    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


@router.post("/v1/audio/transcriptions")
@require_scope("generate", body="multipart", max_bytes=MAX_UPLOAD_BYTES)
async def create_transcription(request: Request) -> Response:
    """Write down what is said in a recording."""
    return await answer_upload(request, False)


@router.post("/v1/audio/translations")
@require_scope("generate", body="multipart", max_bytes=MAX_UPLOAD_BYTES)
async def create_translation(request: Request) -> Response:
    """Write down in English what is said in a recording."""
    return await answer_upload(request, True)


async def answer_upload(request: Request, to_english: bool) -> Response:
    """Transcribe an uploaded recording, which is removed afterwards."""
    workspace = request.app.state.workspace
    async with request.form(max_files=2, max_fields=50) as form:
        body = read_form(form)
        model = await run_in_threadpool(find_model, workspace, resolve_model(request, body.model), can_transcribe)
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise APIError("server.recording_missing", param="file")
        folder = Path(await run_in_threadpool(lambda: tempfile.mkdtemp(prefix="genloom-recording-")))
        try:
            path = folder / f"recording{Path(upload.filename or '').suffix[:10]}"
            with path.open("wb") as file:
                await run_in_threadpool(shutil.copyfileobj, upload.file, file)
            answer = request.app.state.jobs.listener.ask(
                "write_down",
                seconds=RECORDING_SECONDS,
                path=str(path),
                model=model.ref,
                language=body.language or "",
                to_english=to_english,
                format=body.response_format or "json",
                name=clean_name(upload.filename or ""),
                metadata=describe_owner(get_owner(request)),
            )
            return build_transcript_response(await wait_unless_left(request, answer))
        finally:
            await run_in_threadpool(shutil.rmtree, folder, True)


def build_transcript_response(answer: dict[str, Any]) -> Response:
    """Return the answer with a transcript; APIError for a recording that cannot be read."""
    if "problem" in answer:
        raise APIError("server.bad_recording", param="file", reason=answer["problem"])
    headers, transcript = {OUTPUT_HEADER: answer["output"]}, answer["transcript"]
    build = PlainTextResponse if isinstance(transcript, str) else JSONResponse
    return build(transcript, headers=headers)


def clean_name(name: str) -> str:
    """Return the name of an uploaded file for a record: without folders and characters that do not print."""
    printable = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return printable[:MAX_NAME_CHARACTERS]


def describe_owner(owner: str) -> dict[str, Any]:
    """Return what the record of an output says about who asked for it."""
    return {"owner": owner} if owner else {}


def find_model(workspace: Workspace, name: str, is_able: Callable[[ModelFolder], bool]) -> Model:
    """Return the model of a request; APIError for one that is not there, or does something else."""
    try:
        model = workspace.model(name) if name else None
    except GenloomError:
        model = None
    if model is None or not is_able(model.folder):
        raise build_refusal(workspace, name)
    return model


def read_form(form: FormData) -> TranscriptionRequest:
    """Return the fields of a form; APIError names the first one at fault."""
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        return TranscriptionRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        param = str(first["loc"][0])
        raise APIError("server.bad_value", param=param, place=param, reason=str(first["msg"])) from None
