"""POST /v1/audio/speech, /transcriptions and /translations: texts that are spoken, and recordings written down.

With `stream_format: "audio"`, speech is sent sentence by sentence as it is made. Such a stream says in its tags that it
is synthetic; only a whole file is signed.
"""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from genloom.api.models import Model
from genloom.api.outputs import Output
from genloom.api.speech import build_tags, iter_spoken, save_speech, speak_text
from genloom.api.transcription import Transcription, can_transcribe, transcribe_recording
from genloom.api.voices import can_speak, can_speak_itself
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.errors import APIError
from genloom.server.openai.generating import OUTPUT_HEADER, get_owner, resolve_model
from genloom.server.openai.shapes import Shape
from genloom.server.openai.unavailable import build_refusal
from genloom.speech.sound_chunks import FORMATS as STREAMED_FORMATS
from genloom.speech.sound_chunks import build_encoder
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
_busy = Lock()  # one passage or recording at a time: each takes all processors


class SpeechRequest(Shape):
    """The fields of /v1/audio/speech."""

    model: Annotated[str, Field(max_length=512)] = ""
    input: Annotated[str, Field(max_length=MAX_CHARACTERS)] = ""
    voice: Annotated[str, Field(max_length=100)] | None = None
    response_format: Literal["mp3", "wav", "flac", "opus", "pcm"] | None = None
    speed: Annotated[float, Field(ge=0.25, le=4, allow_inf_nan=False)] | None = None
    stream_format: Literal["audio"] | None = None


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
    is_stream = body.stream_format is not None and get_format(body) in STREAMED_FORMATS
    answer = stream_speech if is_stream else answer_speech
    return await run_in_threadpool(answer, workspace, model, body, get_owner(request))


def get_format(body: SpeechRequest) -> str:
    return body.response_format or "mp3"


def get_speed(body: SpeechRequest) -> float:
    return 1.0 if body.speed is None else min(max(body.speed, 0.5), 2.0)


def choose_voice(model: Model, body: SpeechRequest) -> str:
    """Return the voice of the model that is meant: clients must name one, and a model trained here has one."""
    voice = body.voice or ""
    return "" if can_speak_itself(model.folder) else VOICES.get(voice.lower(), voice)


def answer_speech(workspace: Workspace, model: Model, body: SpeechRequest, owner: str) -> Response:
    """Speak the text of a request, and return the file in its format."""
    name, voice = get_format(body), choose_voice(model, body)
    with _busy:
        output = speak_text(workspace, body.input, voice, get_speed(body), model, describe_owner(owner))
    with tempfile.TemporaryDirectory(prefix="genloom-speech-") as folder:
        path = Path(folder) / f"speech.{'wav' if name == 'pcm' else name}"
        save_speech(output, path, note=lambda problem: None)  # which `genloom doctor` tells
        data = strip_header(path) if name == "pcm" else path.read_bytes()
    return Response(data, media_type=MIME_BY_FORMAT[name], headers={OUTPUT_HEADER: output.id})


def stream_speech(workspace: Workspace, model: Model, body: SpeechRequest, owner: str) -> Response:
    """Return a stream of the speech, whose first passage is already spoken, so that errors are answered as usual."""
    output_id = workspace.store.reserve_output()
    chunks = iter_chunks(workspace, model, body, owner, output_id)
    first = next(chunks)
    headers = {OUTPUT_HEADER: output_id}
    return StreamingResponse(send_chunks(first, chunks), media_type=MIME_BY_FORMAT[get_format(body)], headers=headers)


def iter_chunks(
    workspace: Workspace, model: Model, body: SpeechRequest, owner: str, output_id: str
) -> Generator[bytes, None, None]:
    """Yield the bytes of each passage as it is spoken; the output is stored at the end, under its reserved id."""
    voice, is_stored, encoder = choose_voice(model, body), False, None
    events = iter_spoken(
        workspace, body.input, voice, get_speed(body), model, describe_owner(owner), reserved=output_id
    )
    try:
        while True:
            with _busy:  # and not while a client reads
                event = next(events)
            if isinstance(event, Output):
                is_stored = True
                break
            start = b""
            if encoder is None:
                encoder = build_encoder(get_format(body), event.rate, build_tags(model.ref, event.voice))
                start = encoder.begin()
            yield start + encoder.encode(event.levels)
        assert encoder is not None, "speech has a passage"
        yield encoder.finish()
    finally:
        events.close()
        if not is_stored:
            workspace.store.release_output(output_id)


async def send_chunks(first: bytes, chunks: Generator[bytes, None, None]) -> AsyncGenerator[bytes]:
    """Yield the chunks; a client that leaves ends the speech."""
    try:
        yield first
        while (chunk := await run_in_threadpool(get_next, chunks)) is not None:
            yield chunk
    finally:
        chunks.close()


def get_next(chunks: Generator[bytes, None, None]) -> bytes | None:
    """Return the next chunk; None at the end."""
    return next(chunks, None)


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
            return await run_in_threadpool(
                answer_transcription, workspace, model, path, body, to_english, upload.filename, get_owner(request)
            )
        finally:
            await run_in_threadpool(shutil.rmtree, folder, True)


def answer_transcription(
    workspace: Workspace,
    model: Model,
    path: Path,
    body: TranscriptionRequest,
    to_english: bool,
    name: str | None,
    owner: str,
) -> Response:
    """Transcribe a recording, and return the transcript in the format of the request."""
    has_words = body.response_format in ("verbose_json", "srt", "vtt")
    try:
        with _busy:
            transcription = transcribe_recording(
                workspace,
                path,
                language=body.language or "",
                model=model,
                has_words=has_words,
                to_english=to_english,
                uploaded_name=clean_name(name or ""),
                metadata=describe_owner(owner),
            )
    except GenloomError as error:
        if error.code != "speech.bad_recording":
            raise
        raise APIError("server.bad_recording", param="file", reason=error.fields["reason"]) from None
    headers = {OUTPUT_HEADER: transcription.output.id}
    match body.response_format or "json":
        case "json":
            return JSONResponse({"text": transcription.text}, headers=headers)
        case "verbose_json":
            return JSONResponse(describe_transcription(transcription, to_english), headers=headers)
        case name:
            return PlainTextResponse(transcription.render("txt" if name == "text" else name), headers=headers)


def clean_name(name: str) -> str:
    """Return the name of an uploaded file for a record: without folders and characters that do not print."""
    printable = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return printable[:MAX_NAME_CHARACTERS]


def describe_transcription(transcription: Transcription, to_english: bool) -> dict[str, Any]:
    """Return a transcript with its times, as clients read it."""
    segments = transcription.segments
    return {
        "task": "translate" if to_english else "transcribe",
        "language": transcription.language,
        "duration": transcription.seconds,
        "text": transcription.text,
        "segments": [
            {"id": number, "start": each.start, "end": each.end, "text": each.text}
            for number, each in enumerate(segments)
        ],
        "words": [
            {"word": word.text.strip(), "start": word.start, "end": word.end}
            for each in segments
            for word in each.words
        ],
    }


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
