"""`genloom speak`: a text, spoken by a pretrained voice, or by one that was trained here."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genloom.api.outputs import Output
from genloom.api.speech import MAX_CHARACTERS, resolve_speech_path, save_speech, speak
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.numbers import finite_float
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_file
from genloom.errors import GenloomError
from genloom.text_format import format_count, format_duration, format_table

if TYPE_CHECKING:
    from genloom.api.speech import SpeechProgress
    from genloom.speech.sound_stream import Player

Rate = Annotated[float, finite_float(lambda x: 0.5 <= x <= 2, "a number from 0.5 to 2")]


@describe_like(speak)
def run(
    text: str | None = None,
    /,
    *,
    file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    voice: str = "",
    rate: Rate = 1.0,
    model: str = "",
    refuse_copies: bool = False,
    list_voices: bool = False,
    play: bool = False,
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> None:
    """Speak a text, sentence by sentence; the file says that it is synthetic.

    Needs a voice: genloom import kokoro, or a model that was trained on recordings of a voice.

    Parameters
    ----------
    text
        Text. [pause 1s] and <break time="500ms"/> are pauses.
    file
        Document that is read instead: text, Markdown, PDF, Word and the like; "-" for standard input.
    voice
        Voice, e.g. af_heart or bm_george, or a model that was trained on recordings. [default: af_heart]
    model
        Model that speaks. [default: the newest]
    refuse_copies
        Withhold speech that copies the recordings of its voice.
    list_voices
        Show the voices.
    play
        Play the speech while it is made.
    out
        File for the speech: .wav, .mp3, .flac, .ogg or .opus. [default: only stored]
    """
    workspace, console = common.open()
    if list_voices:
        print_voices(workspace.list_voices(model), console)
        return
    if play and refuse_copies:
        raise GenloomError("speech.no_sound_to_play")
    source = read_source(text, file)
    target = None if out is None else resolve_speech_path(resolve_output_file(out, "speech.wav"))
    output: Output | None = None
    with open_player(play) as player, console.show_progress("Speaking", 1.0) as bar:
        events = workspace.iter_speech(source, voice=voice, rate=rate, model=model, refuse_copies=refuse_copies)
        for event in events:
            if isinstance(event, Output):
                output = event
                continue
            bar.update(event.done, format_duration(event.seconds))
            if player is not None:
                player.play(event)
    assert output is not None, "speech ends with its output"
    if target is not None:
        save_speech(output, target, console.print_note_once)
        console.print_line(f"Written to {target}.")
    seconds, num_unread = output.record["speech"]["seconds"], output.record["speech"].get("unread_letters", 0)
    if num_unread:
        console.print_note(
            f"{format_count(num_unread, 'letter')} of other scripts were left out: the voices read English."
        )
    console.print_note(f"{format_duration(seconds)} of speech by {output.model}, stored as {output.id}")
    where = {"out": str(target)} if target else {}
    console.print_result({**output.to_record(), "speech": dict(output.record["speech"]), **where})


def read_source(text: str | None, file: Path | None) -> str | Path:
    """Return the text, or the document that holds it; GenloomError unless there is exactly one of them."""
    if (text is None) == (file is None):
        raise GenloomError("speech.one_text")
    if file is None:
        return str(text)
    return sys.stdin.read(MAX_CHARACTERS + 1) if str(file) == "-" else file


@contextmanager
def open_player(is_wanted: bool) -> "Generator[LatePlayer | None]":
    """Yield a player of speech, and wait at the end until it has played all; None if it is not wanted."""
    if not is_wanted:
        yield None
        return
    player = LatePlayer()
    yield player
    player.finish()


class LatePlayer:
    """A player of speech that starts with the first passage, which knows the rate of the voice."""

    def __init__(self) -> None:
        self._player: Player | None = None

    def play(self, event: "SpeechProgress") -> None:
        """Play a passage; waits while there is enough to play."""
        from genloom.speech.sound_stream import Player

        if self._player is None:
            self._player = Player(event.rate)
        self._player.play(event.levels)

    def finish(self) -> None:
        """Wait until all is played."""
        if self._player is not None:
            self._player.finish()


def print_voices(voices: dict[str, str], console: Console) -> None:
    """Print the names of the voices, with their accents."""
    console.print_lines(format_table([*voices.items()]))
    console.print_result({"voices": voices})
