"""`genloom transcribe`: the words of a recording, with their times."""

from pathlib import Path
from typing import Literal

from genloom.api.transcription import resolve_format, transcribe
from genloom.cli.descriptions import describe_like
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.text_format import format_duration


@describe_like(transcribe)
def run(
    recording: Path,
    /,
    *,
    to: Literal["txt", "srt", "vtt", "json"] | None = None,
    language: str = "",
    model: str = "",
    to_english: bool = False,
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Write down what is said in a recording, as text, subtitles or JSON with the time of each word.

    Needs a model: genloom import whisper, for 99 languages, or whisper-tiny, for English only and faster.

    Parameters
    ----------
    recording
        File with sound: .wav, .mp3, .flac, .ogg, .m4a, or a video.
    to
        Format: txt, srt, vtt or json. [default: that of --out, else txt]
    language
        Code of the language, e.g. en. [default: found out]
    model
        Model that transcribes. [default: whisper, or the newest]
    to_english
        Translate speech in another language to English.
    out
        File for the transcript. [default: printed]
    """
    workspace, console = common.open()
    target = None if out is None else resolve_output_file(out, f"{recording.stem}.{to or 'txt'}")
    format = resolve_format(to or "", target)
    with console.show_progress("Transcribing", 1.0) as bar:
        transcription = workspace.transcribe(
            recording,
            language=language,
            model=model,
            has_words=format != "txt",
            to_english=to_english,
            progress=bar.update,
        )
    if target is not None:
        transcription.save(target, to=format, note=console.print_note_once)
        console.print_line(f"Written to {target}.")
    else:
        console.print_text(transcription.render(format))
    if not transcription.segments:
        console.print_note("No speech was found in it.")
    facts = f"{format_duration(transcription.seconds)}, language {transcription.language or 'unknown'}"
    console.print_note(f"{facts}; by {transcription.output.model}, stored as {transcription.output.id}")
    console.print_result({**transcription.to_record(), **({"out": str(target)} if target else {})})
