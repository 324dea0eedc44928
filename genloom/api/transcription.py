"""Transcription: recordings of any length as text with times, by a pretrained model; stored, and repeated."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.output_kinds import OutputKind
from genloom.api.outputs import Output
from genloom.api.policy import apply_policy
from genloom.api.signing import Note, save_signed
from genloom.api.speech import build_replay_error
from genloom.api.voices import find_runtime_model
from genloom.errors import GenloomError
from genloom.processors import count_processors
from genloom.store.files import expand_home, hash_file

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.speech.transcript import Segment, Transcript
    from genloom.speech.whisper import Whisper
    from genloom.store.model_folder import ModelFolder

RUNTIME, PRETRAINED = "whisper", "whisper"
MEDIUM, SUFFIX = "text", ".txt"
ENGLISH = "en"


@dataclass(frozen=True)
class Transcription:
    """The words of a recording, with their times."""

    transcript: "Transcript"
    output: Output

    @property
    def text(self) -> str:
        """The words, as one paragraph."""
        return self.transcript.text

    @property
    def language(self) -> str:
        """The code of the language, e.g. en."""
        return self.transcript.language

    @property
    def seconds(self) -> float:
        """How long the recording lasts."""
        return self.transcript.seconds

    @property
    def segments(self) -> "tuple[Segment, ...]":
        """Sentences or parts of them, with their times and words."""
        return self.transcript.segments

    def render(self, to: str = "txt") -> str:
        """Return the transcript as txt, srt, vtt or json."""
        return self.transcript.render(check_format(to))

    def save(self, path: str | Path, *, to: str = "", note: Note | None = None) -> Path:
        """Write the transcript to a path with its signature, in the format of its suffix or of `to`."""
        target = expand_home(path)
        data = self.render(resolve_format(to, target)).encode()
        target.parent.mkdir(parents=True, exist_ok=True)
        facts = {"output": self.output.id, "model": self.output.model, "sha256": self.output.record["sha256"]}
        save_signed(self.output.workspace, target, data, facts, note)
        return target

    def to_record(self) -> dict[str, Any]:
        """Return the transcript for JSON, with the output and the model."""
        return {"output": self.output.id, "model": self.output.model, **self.transcript.to_record()}

    def __str__(self) -> str:
        return self.text


def transcribe(
    workspace: "Workspace",
    recording: str | Path,
    *,
    language: str = "",
    model: "Model | str" = "",
    has_words: bool = True,
    to_english: bool = False,
    progress: "bool | Callable[[float, str], None] | None" = None,
) -> Transcription:
    """Write down what is said in a recording, with times; long ones in pieces, which are cut where it is quiet.

    Parameters
    ----------
    recording
        File with sound: .wav, .mp3, .flac, .ogg, .m4a, or a video.
    language
        Code of the language, e.g. en. "": found out.
    model
        Model that transcribes. "": whisper, or the newest one.
    has_words
        Whether the time of each word is found, which takes a little longer.
    to_english
        Whether speech in another language is translated to English.
    progress
        Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and the
        newest words.

    Raises
    ------
    GenloomError
        speech.no_model: no model that transcribes is imported; speech.no_recording, speech.bad_recording,
        speech.recording_too_long; speech.unknown_language, speech.english_only.
    """
    with workspace.open_callback("Transcribing", progress) as report:
        return transcribe_recording(
            workspace,
            expand_home(recording),
            language=language,
            model=model,
            has_words=has_words,
            to_english=to_english,
            report=report,
        )


def transcribe_recording(
    workspace: "Workspace",
    path: Path,
    *,
    language: str,
    model: "Model | str",
    has_words: bool,
    to_english: bool,
    uploaded_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    report: Callable[[float, str], object] = lambda share, text: None,
) -> Transcription:
    """Return the transcript of a file, whose output is stored with `metadata` in its record.

    The record of a file that was uploaded, and is not kept, has the name that it had there.
    """
    if not path.is_file():
        raise GenloomError("speech.no_recording", path=path)
    folder = find_runtime_model(workspace, RUNTIME, PRETRAINED, model).folder
    whisper = open_whisper(folder.runtime_folder)
    language = choose_language(whisper, folder.ref, language, to_english)
    settings = {"language": language, "has_words": has_words, "to_english": to_english}
    transcript = _run_whisper(whisper, path, settings, report)
    apply_policy(workspace, [transcript.text], folder.ref, "output")
    digest = workspace.store.save_original(json.dumps(transcript.to_record()).encode(), ".json")
    text = transcript.render("txt")
    record = {
        **(metadata or {}),
        "model": folder.ref,
        "medium": MEDIUM,
        "model_digest": folder.digest,
        "prompt": "",
        "written": text,
        "row": 0,
        "transcript": {
            "recording": str(path.absolute()) if uploaded_name is None else uploaded_name,
            **({} if uploaded_name is None else {"is_uploaded": True}),
            "sha256": hash_file(path),
            "seconds": transcript.seconds,
            "found_language": transcript.language,
            **settings,
            "content": digest,
        },
        "machine": describe_machine(),
    }
    return Transcription(transcript, workspace.output(workspace.store.save_output(text, SUFFIX, record)))


def _run_whisper(
    whisper: "Whisper", path: Path, settings: Mapping[str, Any], report: Callable[[float, str], object]
) -> "Transcript":
    from genloom.speech.recording import iter_pieces, measure_seconds

    total = measure_seconds(path)

    def report_share(seconds: float, text: str) -> None:
        report(min(seconds / total, 1.0) if total else 0.0, text)

    return whisper.transcribe(iter_pieces(path), **settings, report=report_share)


def choose_language(whisper: "Whisper", ref: str, language: str, to_english: bool) -> str:
    """Return the language that a model is told, "" if it finds it out; GenloomError for one that it does not know."""
    if whisper.is_multilingual:
        return whisper.check_language(language.strip().lower())
    if language.strip().lower() not in ("", ENGLISH) or to_english:
        raise GenloomError("speech.english_only", model=ref, language=language or "other languages")
    return ENGLISH


def can_transcribe(folder: "ModelFolder") -> bool:
    """Return whether a model writes down what is said in recordings."""
    return folder.runtime == RUNTIME


@lru_cache(1)
def open_whisper(folder: Path) -> "Whisper":
    """Return the model in a folder, which is loaded once."""
    from genloom.speech.libraries import load_library
    from genloom.speech.whisper import Whisper

    load_library("faster_whisper")
    return Whisper(folder, count_processors())


def describe_machine() -> dict[str, str]:
    """Return what the words depend on besides the model and the recording."""
    from genloom.processors import describe_processor
    from genloom.speech.libraries import load_library

    names = ("ctranslate2", "faster_whisper", "av")
    return {**{name: str(load_library(name).__version__) for name in names}, "kind": describe_processor()}


def read_transcription(output: Output) -> Transcription:
    """Return the transcription that a stored output holds, with its times."""
    from genloom.speech.transcript import parse_transcript

    content = output.workspace.store.load_original(str(output.record["transcript"]["content"]))
    return Transcription(parse_transcript(json.loads(content)), output)


def replay_transcription(output: Output) -> str:
    """Transcribe the recording of an output again, and return the text; GenloomError if it differs."""
    record = output.record
    output.verify()
    facts: Mapping[str, Any] = record["transcript"]
    folder = output.workspace.model(str(record["model"])).folder
    if folder.digest != record["model_digest"]:
        raise GenloomError("generate.model_changed", model=folder.ref, output=output.id)
    path = Path(str(facts["recording"]))
    if facts.get("is_uploaded"):
        raise GenloomError("speech.source_uploaded", output=output.id, name=facts["recording"] or "recording")
    if not path.is_file() or hash_file(path) != facts["sha256"]:
        raise GenloomError("speech.source_changed", output=output.id, path=path)
    settings = {name: facts[name] for name in ("language", "has_words", "to_english")}
    transcript = _run_whisper(open_whisper(folder.runtime_folder), path, settings, lambda share, text: None)
    if transcript != read_transcription(output).transcript:
        raise build_replay_error(output, describe_machine())
    return str(record["written"])


def check_format(name: str) -> str:
    """Return the name of a format of transcripts; GenloomError for another."""
    from genloom.speech.transcript import FORMATS

    if name not in FORMATS:
        raise GenloomError("speech.unknown_format", format=name, known=", ".join(FORMATS))
    return name


def resolve_format(name: str, path: Path | None) -> str:
    """Return the format that is named, or else that of a path's suffix; GenloomError if they contradict."""
    suffix = "" if path is None else path.suffix.lower().removeprefix(".")
    if name and suffix and suffix != check_format(name):
        raise GenloomError("speech.bad_transcript_suffix", suffix=f".{suffix}", format=name)
    return check_format(name or suffix or "txt")


KIND = OutputKind(replay_transcription)
