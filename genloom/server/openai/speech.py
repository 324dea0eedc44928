"""POST /v1/audio/speech, /transcriptions and /translations: texts that are spoken, and recordings written down."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from genloom.api.models import Model
from genloom.api.speech import RUNTIME as SPEAKER
from genloom.api.speech import save_speech, speak_text
from genloom.api.transcription import RUNTIME as LISTENER
from genloom.api.transcription import Transcription, transcribe_recording
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import require_scope
from genloom.server.errors import APIError
from genloom.server.openai.generating import OUTPUT_HEADER, get_owner, resolve_model
from genloom.server.openai.shapes import Shape
from genloom.server.openai.unavailable import build_refusal

router = APIRouter()

MAX_CHARACTERS = 20_000  # of one request
MAX_UPLOAD_BYTES = 200_000_000
# The voices of OpenAI that no voice of the model is named after, and those that are nearest to them.
VOICES: Mapping[str, str] = {
    "shimmer": "af_bella", "ash": "am_adam", "coral": "af_jessica", "sage": "af_sarah", "ballad": "bm_george",
    "verse": "am_michael", "marin": "af_heart", "cedar": "am_fenrir",
}  # fmt: skip
MIME_BY_FORMAT = {
    "mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "opus": "audio/ogg", "pcm": "audio/pcm",
}  # fmt: skip
_busy = Lock()  # one request at a time: each takes all processors


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
    model = await run_in_threadpool(find_model, workspace, resolve_model(request, body.model), SPEAKER)
    if not body.input.strip():
        raise APIError("server.text_missing", param="input")
    return await run_in_threadpool(answer_speech, workspace, model, body, get_owner(request))


def answer_speech(workspace: Workspace, model: Model, body: SpeechRequest, owner: str) -> Response:
    """Speak the text of a request, and return the file in its format."""
    voice = body.voice or ""
    name = body.response_format or "mp3"
    rate = 1.0 if body.speed is None else min(max(body.speed, 0.5), 2.0)
    with _busy:
        output = speak_text(workspace, body.input, VOICES.get(voice.lower(), voice), rate, model, describe_owner(owner))
    with tempfile.TemporaryDirectory(prefix="genloom-speech-") as folder:
        path = Path(folder) / f"speech.{'wav' if name == 'pcm' else name}"
        save_speech(output, path, note=lambda problem: None)  # which `genloom doctor` tells
        data = strip_header(path) if name == "pcm" else path.read_bytes()
    return Response(data, media_type=MIME_BY_FORMAT[name], headers={OUTPUT_HEADER: output.id})


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
        model = await run_in_threadpool(find_model, workspace, resolve_model(request, body.model), LISTENER)
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise APIError("server.recording_missing", param="file")
        folder = Path(await run_in_threadpool(lambda: tempfile.mkdtemp(prefix="genloom-recording-")))
        try:
            path = folder / f"recording{Path(upload.filename or '').suffix[:10]}"
            with path.open("wb") as file:
                await run_in_threadpool(shutil.copyfileobj, upload.file, file)
            return await run_in_threadpool(
                answer_transcription, workspace, model, path, body, to_english, get_owner(request)
            )
        finally:
            await run_in_threadpool(shutil.rmtree, folder, True)


def answer_transcription(
    workspace: Workspace, model: Model, path: Path, body: TranscriptionRequest, to_english: bool, owner: str
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


def find_model(workspace: Workspace, name: str, runtime: str) -> Model:
    """Return the model of a request; APIError for one that is not there, or does something else."""
    try:
        model = workspace.model(name) if name else None
    except GenloomError:
        model = None
    if model is None or model.folder.runtime != runtime:
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
