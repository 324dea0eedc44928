"""Questions about speech: texts that are spoken passage by passage, and recordings that are written down."""

import base64
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genloom.api.outputs import Output
from genloom.api.speech import SpeechProgress, build_tags, iter_spoken, save_speech
from genloom.api.transcription import Transcription, transcribe_recording
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError


@dataclass
class _Speech:
    """A text that is being spoken, and the format of the chunks that a client reads meanwhile; "" for none."""

    events: Generator[SpeechProgress | Output]
    model: str
    stream_format: str
    encoder: Any = None

    def encode(self, event: SpeechProgress) -> bytes:
        from genloom.speech.sound_chunks import build_encoder

        if not self.stream_format:
            return b""
        start = b""
        if self.encoder is None:
            self.encoder = build_encoder(self.stream_format, event.rate, build_tags(self.model, event.voice))
            start = self.encoder.begin()
        return start + self.encoder.encode(event.levels)

    def finish(self) -> bytes:
        return b"" if self.encoder is None else self.encoder.finish()


_speeches: dict[str, _Speech] = {}  # by the reserved id of the output


def start_speech(
    workspace: Workspace,
    output: str,
    text: str,
    voice: str,
    rate: float,
    model: str,
    metadata: Mapping[str, Any],
    stream_format: str,
    refuse_copies: bool,
) -> None:
    """Begin to speak a text, whose output gets an id that the server has reserved."""
    events = iter_spoken(workspace, text, voice, rate, model, metadata, output, refuse_copies)
    _speeches[output] = _Speech(events, model, stream_format)


def speak_passage(workspace: Workspace, output: str) -> dict[str, Any]:
    """Speak the next passage; return its chunk in base64, and whether the output is stored now."""
    speech = _speeches.get(output)
    if speech is None:  # of a process that died
        raise GenloomError("studio.worker_died")
    try:
        event = next(speech.events)
    except BaseException:
        del _speeches[output]
        raise
    is_done = isinstance(event, Output)
    if is_done:
        del _speeches[output]
    chunk = speech.finish() if isinstance(event, Output) else speech.encode(event)
    return {"chunk": base64.b64encode(chunk).decode(), "is_done": is_done}


def stop_speech(workspace: Workspace, output: str) -> None:
    """Give up a text that nobody listens to any more."""
    if (speech := _speeches.pop(output, None)) is not None:
        speech.events.close()


def save_speech_file(workspace: Workspace, output: str, path: str) -> None:
    """Write an output of speech as a file in the format of its suffix."""
    save_speech(workspace.output(output), Path(path), note=lambda problem: None)  # which `genloom doctor` tells


def write_down(
    workspace: Workspace,
    path: str,
    model: str,
    language: str,
    to_english: bool,
    format: str,
    name: str,
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the output and the transcript of a recording in a format of OpenAI, or why it cannot be read."""
    try:
        transcription = transcribe_recording(
            workspace,
            Path(path),
            language=language,
            model=model,
            has_words=format in ("verbose_json", "srt", "vtt"),
            to_english=to_english,
            uploaded_name=name,
            metadata=metadata,
        )
    except GenloomError as error:
        if error.code != "speech.bad_recording":
            raise
        return {"problem": str(error.fields["reason"])}
    return {"output": transcription.output.id, "transcript": render_transcription(transcription, to_english, format)}


def render_transcription(transcription: Transcription, to_english: bool, format: str) -> Any:
    """Return a transcript in a format of OpenAI: a table for JSON, or a text."""
    match format:
        case "json":
            return {"text": transcription.text}
        case "verbose_json":
            return describe_transcription(transcription, to_english)
        case _:
            return transcription.render("txt" if format == "text" else format)


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


QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "start_speech": start_speech,
    "speak_passage": speak_passage,
    "stop_speech": stop_speech,
    "save_speech_file": save_speech_file,
    "write_down": write_down,
}
