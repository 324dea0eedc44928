"""Speech: texts that a voice speaks, sentence by sentence; stored, and spoken again from their records."""

import tempfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom.api.output_kinds import OutputKind
from genloom.api.outputs import Output
from genloom.api.policy import apply_policy
from genloom.api.voices import OwnSpeaker, PretrainedSpeaker, Speaker, can_speak_itself, open_speaker
from genloom.errors import GenloomError, format_message
from genloom.store.files import expand_home, hash_file, temp_folder
from genloom.store.keys import MarkingKeys, derive_noise_key

if TYPE_CHECKING:
    import numpy as np

    from genloom.api.models import Model
    from genloom.api.signing import Note
    from genloom.api.workspace import Workspace
    from genloom.speech.narration import Passage
    from genloom.speech.spectral_mark import SpectralMark
    from genloom.store.keys import MarkingKey
    from genloom.trust.copies import TrainingData

MAX_CHARACTERS = 5_000_000  # of a text; a voice speaks them in three days
MEDIUM, SUFFIX = "audio", ".flac"
_MAX_PROMPT_CHARACTERS = 2_000  # in the record of an output; a longer text is kept beside it


@dataclass(frozen=True)
class SpeechProgress:
    """A passage that was spoken, or a pause."""

    levels: "np.ndarray"  # samples in 16 bits
    rate: int
    done: float  # share of the text
    seconds: float  # of speech so far
    voice: str = ""


def speak(
    workspace: "Workspace",
    text: str | Path,
    *,
    voice: str = "",
    rate: float = 1.0,
    model: "Model | str" = "",
    refuse_copies: bool = False,
    out: str | Path | None = None,
    note: "Note | None" = None,
    progress: "bool | Callable[[float, str], None] | None" = None,
) -> Output:
    """Speak a text with a voice; the sound is stored, and marked as synthetic in its metadata and its spectrum.

    Parameters
    ----------
    text
        Text, or the path of a document (a Path). [pause 1s] and <break time="500ms"/> are pauses, and
        [Kokoro](/kˈOkəɹO/) is a word with its phonemes.
    voice
        Voice, e.g. af_heart or bm_george, or a model that was trained on recordings; `list_voices` lists them. "":
        af_heart.
    rate
        Speed, from 0.5 to 2.
    model
        Model that speaks. "": the newest one.
    refuse_copies
        Whether speech that shares more with the recordings of its voice than chance explains is neither stored
        nor returned. Raises api.copies_without_data if they are not in the workspace, as those of an imported voice.
    out
        File for the sound: .wav, .mp3, .flac, .ogg or .opus. None: it is only stored.
    note
        Function that gets the reason if the file cannot be signed. None: a Python warning.
    progress
        Whether a bar is shown on standard error (None: in notebooks only), or a function of the share done and the
        next step.

    Raises
    ------
    GenloomError
        speech.no_model: no model that speaks is imported; speech.unknown_voice, speech.bad_rate,
        speech.nothing_to_speak, speech.text_too_long, speech.bad_save_suffix, speech.copied: of `refuse_copies`.
    """
    target = None if out is None else resolve_speech_path(expand_home(out))
    with workspace.open_callback("Speaking", progress) as report:
        output = speak_text(workspace, text, voice, rate, model, refuse_copies, report)
    if target is not None:
        save_speech(output, target, note)
    return output


def speak_text(
    workspace: "Workspace",
    text: str | Path,
    voice: str,
    rate: float,
    model: "Model | str",
    refuse_copies: bool,
    report: Callable[[float, str], object],
) -> Output:
    """Return the stored output of a text that is spoken."""
    for event in iter_spoken(workspace, text, voice, rate, model, refuse_copies=refuse_copies):
        if isinstance(event, Output):
            return event
        report(event.done, f"{event.seconds:.0f} s of speech")
    raise AssertionError("speech ends with its output")


def iter_speech(
    workspace: "Workspace",
    text: str | Path,
    *,
    voice: str = "",
    rate: float = 1.0,
    model: "Model | str" = "",
    refuse_copies: bool = False,
) -> Generator[SpeechProgress | Output]:
    """Yield each passage as it is spoken, and last the stored output; takes the arguments of `speak`.

    With `refuse_copies`, the passages have no samples.
    """
    return iter_spoken(workspace, text, voice, rate, model, refuse_copies=refuse_copies)


def iter_spoken(
    workspace: "Workspace",
    text: str | Path,
    voice: str,
    rate: float,
    model: "Model | str",
    metadata: Mapping[str, Any] | None = None,
    reserved: str = "",
    refuse_copies: bool = False,
) -> Generator[SpeechProgress | Output]:
    """Yield each passage as it is spoken, and last the stored output, with `metadata` in its record.

    Its id is the one that was reserved, or a new one. With `refuse_copies`, no passage has samples, and speech that
    copies the training data is an error (speech.copied).
    """
    from genloom.api.copies import find_searchable_data
    from genloom.speech.kokoro import MAX_SPEED, MIN_SPEED

    if not MIN_SPEED <= rate <= MAX_SPEED:
        raise GenloomError("speech.bad_rate", rate=rate, minimum=MIN_SPEED, maximum=MAX_SPEED)
    speaker, content = open_speaker(workspace, voice, model), read_spoken_text(text)
    apply_policy(workspace, [content], speaker.folder.ref)
    training_data = find_searchable_data(workspace, speaker.folder.ref) if refuse_copies else None
    key = MarkingKeys(workspace.folder).get_active()
    mark = _build_mark(key, speaker, content, float(rate))
    with temp_folder(workspace.folder / "outputs") as draft:
        path = draft / f"speech{SUFFIX}"
        passages = _write_speech(speaker, content, float(rate), path, mark)
        seconds = yield from passages if training_data is None else _hide_samples(passages)
        if training_data is not None:
            _refuse_copy(path, training_data, speaker.folder.ref)
        record = _build_record(workspace, speaker, content, float(rate), seconds, key.id)
        output_id = workspace.store.save_output(path, SUFFIX, {**(metadata or {}), **record}, reserved)
    yield workspace.output(output_id)


def _hide_samples(passages: Generator[SpeechProgress, None, float]) -> Generator[SpeechProgress, None, float]:
    """Yield the passages without their samples, of which some may turn out as copies; return what the others do."""
    while True:
        try:
            passage = next(passages)
        except StopIteration as end:
            return float(end.value)
        yield replace(passage, levels=passage.levels[:0])


def _refuse_copy(path: Path, training_data: "TrainingData", ref: str) -> None:
    """Raise GenloomError (speech.copied) if a sound shares more with the training data than chance explains."""
    from genloom import plugins
    from genloom.api.copies import find_copied_rows

    if find_copied_rows(training_data, [plugins.find_part("medium", MEDIUM).open(path).value]):
        raise GenloomError("speech.copied", model=ref)


def _build_mark(key: "MarkingKey", speaker: Speaker, text: str, rate: float) -> "SpectralMark":
    """Return the mark of a text, which is always the same under a key, so that speech can be repeated."""
    from genloom.speech.spectral_mark import SpectralMark, choose_pool_index

    return SpectralMark(derive_noise_key(key.secret, MEDIUM), choose_pool_index(text, speaker.voice, str(rate)))


def _write_speech(
    speaker: Speaker, text: str, rate: float, path: Path, mark: "SpectralMark | None"
) -> Generator[SpeechProgress, None, float]:
    """Write the speech to a file, yield each passage, and return how many seconds it lasts."""
    from genloom.speech.sound_stream import SoundWriter

    num_frames = 0
    with SoundWriter(path, speaker.rate, build_tags(speaker.folder.ref, speaker.voice)) as writer:
        for levels, done in iter_levels(speaker, text, rate, mark):
            writer.write(levels)
            num_frames += len(levels)
            yield SpeechProgress(levels, speaker.rate, done, num_frames / speaker.rate, speaker.voice)
    return num_frames / speaker.rate


def iter_levels(
    speaker: Speaker, text: str, rate: float = 1.0, mark: "SpectralMark | None" = None
) -> "Generator[tuple[np.ndarray, float]]":
    """Yield the samples of each passage in 16 bits, and the share of the text that is spoken then."""
    import numpy as np

    from genloom.speech.markup import Pause
    from genloom.speech.narration import iter_passages
    from genloom.speech.sound_stream import round_samples
    from genloom.speech.spectral_mark import add_spectral_mark

    passages: list[Passage | Pause] = list(iter_passages(text, speaker.phonemize, speaker.max_phonemes))
    total = sum(len(part.phonemes) for part in passages if not isinstance(part, Pause))
    if not total:
        raise GenloomError("speech.nothing_to_speak", text=" ".join(text.split())[:60])
    num_spoken = num_samples = 0
    for part in passages:
        if isinstance(part, Pause):
            levels = np.zeros(round(part.seconds * speaker.rate), np.int16)
        else:
            num_spoken += len(part.phonemes)
            samples = speaker.synthesize(part.phonemes, rate)
            levels = round_samples(add_spectral_mark(samples, speaker.rate, num_samples, mark) if mark else samples)
        num_samples += len(levels)
        yield levels, num_spoken / total


def read_spoken_text(text: str | Path) -> str:
    """Return a text, or that of a document; GenloomError for one that is empty or too long."""
    from genloom import plugins
    from genloom.media.opening import open_limited

    if isinstance(text, Path):
        text = str(open_limited(plugins.find_part("medium", "text").open, expand_home(text)).value)
    if not text.strip():
        raise GenloomError("speech.nothing_to_speak", text="")
    if len(text) > MAX_CHARACTERS:
        raise GenloomError("speech.text_too_long", count=len(text), maximum=MAX_CHARACTERS)
    return text


def build_tags(ref: str, voice: str) -> dict[str, str]:
    """Return the tags of a file of speech, which tell that it is synthetic."""
    import genloom

    return {
        "title": "Synthetic speech",
        "comment": format_message("speech.synthetic", model=ref, voice=voice),
        "software": f"Genloom {genloom.__version__}",
    }


def _build_record(
    workspace: "Workspace", speaker: Speaker, text: str, rate: float, seconds: float, marking_key: str
) -> dict[str, Any]:
    from genloom.speech.english_text import count_unread_letters

    is_long = len(text) > _MAX_PROMPT_CHARACTERS
    text_digest = workspace.store.save_original(text.encode("utf-8", "surrogatepass"), ".txt") if is_long else ""
    prompt = f"{text[:_MAX_PROMPT_CHARACTERS]}…" if is_long else text
    num_unread = count_unread_letters(text)
    return {
        "model": speaker.folder.ref,
        "medium": MEDIUM,
        "model_digest": speaker.folder.digest,
        "prompt": prompt,
        "row": 0,
        "speech": {
            "voice": speaker.voice,
            "rate": rate,
            "seconds": round(seconds, 3),
            "marking_key": marking_key,
            **({"text": text_digest} if is_long else {}),
            **({"unread_letters": num_unread} if num_unread else {}),
        },
        "machine": speaker.describe_runtime(),
    }


def replay_speech(output: Output) -> Path:
    """Speak an output again from its record, and return its file; GenloomError if the new bytes differ."""
    workspace, record = output.workspace, output.record
    output.verify()
    model, speech = workspace.model(str(record["model"])), record["speech"]
    if model.folder.digest != record["model_digest"]:
        raise GenloomError("generate.model_changed", model=model.ref, output=output.id)
    is_own = can_speak_itself(model.folder)
    speaker = OwnSpeaker(model) if is_own else PretrainedSpeaker(model.folder, str(speech["voice"]))
    text, rate, mark = read_recorded_text(output), float(speech["rate"]), None
    if speech.get("marking_key"):  # that of an earlier version has none
        mark = _build_mark(MarkingKeys(workspace.folder).get(str(speech["marking_key"])), speaker, text, rate)
    with tempfile.TemporaryDirectory(prefix="genloom-") as temporary:
        path = Path(temporary) / output.path.name
        for _ in _write_speech(speaker, text, rate, path, mark):
            pass
        if hash_file(path) != record["sha256"]:
            raise build_replay_error(output, speaker.describe_runtime())
    return output.path


def read_recorded_text(output: Output) -> str:
    """Return the whole text of an output of speech."""
    if digest := output.record["speech"].get("text"):
        return output.workspace.store.load_original(str(digest)).decode("utf-8", "surrogatepass")
    return output.prompt


def build_replay_error(output: Output, machine: Mapping[str, Any]) -> GenloomError:
    """Return the error of a replay whose bytes differ, with what has changed on this machine."""
    saved = output.record.get("machine") or {}
    changes = [
        f"{name}: {saved.get(name, 'not recorded')} → {now}" for name, now in machine.items() if saved.get(name) != now
    ]
    if changes:
        return GenloomError("generate.replay_differs_by_machine", output=output.id, changes="; ".join(changes))
    return GenloomError("generate.replay_differs", output=output.id)


def can_save_speech(path: Path) -> bool:
    """Return whether the suffix of a path is that of a format that speech is written in."""
    from genloom.speech.sound_stream import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def resolve_speech_path(path: Path) -> Path:
    """Return the path of a file of speech; GenloomError for a suffix of no format that it is written in."""
    if not can_save_speech(path):
        from genloom.speech.sound_stream import SUFFIXES

        raise GenloomError("speech.bad_save_suffix", suffix=path.suffix or "such", suffixes=", ".join(SUFFIXES))
    return path


def save_speech(output: Output, path: Path, note: "Note | None" = None) -> Path:
    """Write an output of speech to a path in the format of its suffix, with its tags and its signature.

    No more than a block of it is in memory, besides its signing.
    """
    from genloom.api.signing import write_signed_file
    from genloom.speech.sound_stream import convert_sound

    output.verify()
    if path.suffix.lower() == output.path.suffix:
        write_signed_file(output, output.path, path, note)
        return path
    tags = build_tags(output.model, str(output.record["speech"]["voice"]))
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        converted = Path(folder) / f"speech{path.suffix.lower()}"
        convert_sound(output.path, converted, tags)
        write_signed_file(output, converted, path, note)
    return path


KIND = OutputKind(replay_speech, can_save_speech, save_speech)  # with the tags that it is synthetic, of any length
