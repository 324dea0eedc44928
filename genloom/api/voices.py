"""Speakers: a voice of a pretrained model, or a model of the workspace that was trained on recordings of one."""

import tomllib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genloom.errors import GenloomError
from genloom.processors import count_processors
from genloom.store.model_folder import ModelFolder

if TYPE_CHECKING:
    import numpy as np

    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.speech.kokoro import Kokoro

RUNTIME, PRETRAINED = "kokoro", "kokoro"
OWN_VOICE = "trained here"  # instead of an accent
SPEECH_CONDITION = "speech"  # the conditioner of models that speak: genloom/conditioners/speech.py
STEPS, GUIDANCE_SCALE = 10, 1.5  # of the sampler of a voice of one's own
_NONCE = 1  # of its noise, the same for every passage, so that the voice keeps its colour


class Speaker(Protocol):
    """A voice that speaks phonemes."""

    @property
    def folder(self) -> ModelFolder: ...

    @property
    def voice(self) -> str: ...

    @property
    def rate(self) -> int:
        """Samples per second."""
        ...

    @property
    def max_phonemes(self) -> int:
        """How many are spoken at once."""
        ...

    def phonemize(self, text: str) -> str: ...

    def synthesize(self, phonemes: str, speed: float) -> "np.ndarray":
        """Return samples (N,) from -1 to 1."""
        ...

    def describe_runtime(self) -> dict[str, str]:
        """Return what the samples and the bytes of a file depend on besides the model."""
        ...


class PretrainedSpeaker:
    """A voice of Kokoro."""

    def __init__(self, folder: ModelFolder, voice: str):
        from genloom.speech.kokoro import DEFAULT_VOICE, MAX_PHONEMES, RATE, check_voice

        self.folder, self.rate, self.max_phonemes = folder, RATE, MAX_PHONEMES
        self.voice = check_voice(folder.runtime_folder, voice or DEFAULT_VOICE)

    @cached_property
    def _kokoro(self) -> "Kokoro":
        return open_kokoro(self.folder.runtime_folder)

    def phonemize(self, text: str) -> str:
        from genloom.speech.english_phonemes import open_phonemizer
        from genloom.speech.kokoro import is_british

        return open_phonemizer(self.folder.runtime_folder, is_british(self.voice)).phonemize(text)

    def synthesize(self, phonemes: str, speed: float) -> "np.ndarray":
        return self._kokoro.synthesize(phonemes, self.voice, speed)

    def describe_runtime(self) -> dict[str, str]:
        from genloom.processors import describe_processor
        from genloom.speech.libraries import load_library

        onnxruntime = load_library("onnxruntime")
        return {
            "onnxruntime": str(onnxruntime.__version__),
            "libsndfile": read_file_library(),
            "kind": describe_processor(),
        }


class OwnSpeaker:
    """The voice of a model that was trained here."""

    def __init__(self, model: "Model"):
        self.model, self.folder, self.voice = model, model.folder, model.folder.name

    @cached_property
    def _condition(self) -> tuple[str, Any]:
        """The name and the conditioner of what is spoken."""
        from genloom.conditioners.speech import SpeechConditioner

        found = self.model.load().conditioners.items()
        return next((name, each) for name, each in found if isinstance(each, SpeechConditioner))

    @property
    def rate(self) -> int:
        return self._condition[1].config.rate

    @property
    def max_phonemes(self) -> int:
        return self._condition[1].max_phonemes

    def phonemize(self, text: str) -> str:
        from genloom.speech.dictionaries import pronounce_text

        return pronounce_text(text)

    def synthesize(self, phonemes: str, speed: float) -> "np.ndarray":
        from genloom.generate.engine import Request, run_request
        from genloom.generate.sampling_params import list_request_params
        from genloom.media.audio.processing import change_rate, mix_to_mono

        model, (name, conditioner) = self.model.load(), self._condition
        utterance = conditioner.predict(phonemes, speed)
        wanted = {"size": [sum(utterance.frames)], "steps": STEPS, "guidance_scale": GUIDANCE_SCALE}
        known = list_request_params(model)
        params = {option: value for option, value in wanted.items() if option in known}
        request = Request(("",), (_NONCE,), params=params, given=({name: utterance},))
        sound = run_request(model, request).values[0]
        return change_rate(mix_to_mono(sound), self.rate).samples[0]

    def describe_runtime(self) -> dict[str, str]:
        from genloom.model import describe_machine

        facts = {name: str(value) for name, value in describe_machine().items()}
        return {**facts, "libsndfile": read_file_library()}


def open_speaker(workspace: "Workspace", voice: str = "", model: "Model | str" = "") -> Speaker:
    """Return the speaker of a voice: one of a pretrained model, or a model that was trained on recordings.

    Raise GenloomError, with the cure, for a model that does not speak, and for an unknown voice.
    """
    if model:
        found = workspace.model(model)
        if can_speak_itself(found.folder):
            if voice not in ("", found.folder.name):
                raise GenloomError("speech.one_voice", model=found.ref, voice=voice)
            return OwnSpeaker(found)
    elif voice and voice in list_own_voices(workspace):
        return OwnSpeaker(workspace.model(voice))
    return PretrainedSpeaker(find_runtime_model(workspace, RUNTIME, PRETRAINED, model).folder, voice)


def find_runtime_model(workspace: "Workspace", runtime: str, pretrained: str, model: "Model | str" = "") -> "Model":
    """Return the model of this name, or the newest that a runtime runs; GenloomError, with the cure, without one."""
    if model:
        found = workspace.model(model)
        if found.folder.runtime != runtime:
            raise GenloomError("speech.other_model", model=found.ref, runtime=runtime, source=pretrained)
        return found
    folders = [folder for folder in workspace.store.list_active_models() if folder.runtime == runtime]
    if not folders:
        raise GenloomError("speech.no_model", runtime=runtime, source=pretrained)
    exact = [folder for folder in folders if folder.name == pretrained]
    return workspace.model(max(exact or folders, key=lambda folder: folder.created).ref)


def can_speak(folder: ModelFolder) -> bool:
    """Return whether a model speaks texts: by a runtime, or because it was trained on recordings with their texts."""
    return folder.runtime == RUNTIME or can_speak_itself(folder)


def can_speak_itself(folder: ModelFolder) -> bool:
    """Return whether a model was trained on recordings with their texts."""
    return not folder.runtime and _has_speech_condition(folder.folder / "job.toml")


@lru_cache(512)  # a version never changes
def _has_speech_condition(path: Path) -> bool:
    try:
        conditions = tomllib.loads(path.read_text(encoding="utf-8")).get("conditions", {})
    except (OSError, ValueError):
        return False  # damaged, which `genloom doctor` reports
    tables = conditions.values() if isinstance(conditions, Mapping) else ()
    return any(isinstance(table, Mapping) and table.get("name") == SPEECH_CONDITION for table in tables)


def list_own_voices(workspace: "Workspace") -> list[str]:
    """Return the names of the models that were trained on recordings with their texts, sorted."""
    return sorted(folder.name for folder in workspace.store.list_active_models() if can_speak_itself(folder))


def list_pretrained_voices(workspace: "Workspace") -> dict[str, dict[str, str]]:
    """Return the voices of each pretrained model, with their accents."""
    folders = [folder for folder in workspace.store.list_active_models() if folder.runtime == RUNTIME]
    return {folder.name: _describe_voices(folder) for folder in folders}


def _describe_voices(folder: ModelFolder) -> dict[str, str]:
    from genloom.speech.kokoro import describe_voice, list_voices

    return {voice: describe_voice(voice) for voice in list_voices(folder.runtime_folder)}


def list_voices(workspace: "Workspace", model: "Model | str" = "") -> dict[str, str]:
    """Return the voices by name, with their accents: those that were trained here, and those of a pretrained model.

    With a model, return its voices only.
    """
    if model and can_speak_itself(workspace.model(model).folder):
        return {workspace.model(model).folder.name: OWN_VOICE}
    own = {} if model else dict.fromkeys(list_own_voices(workspace), OWN_VOICE)
    if own and not list_pretrained_voices(workspace):
        return own
    return {**own, **_describe_voices(find_runtime_model(workspace, RUNTIME, PRETRAINED, model).folder)}


@lru_cache(1)
def open_kokoro(folder: Path) -> "Kokoro":
    """Return the model in a folder, which is loaded once."""
    from genloom.speech.kokoro import Kokoro
    from genloom.speech.libraries import load_library

    load_library("onnxruntime")
    return Kokoro(folder, count_processors())


def read_file_library() -> str:
    """Return the version of the library that writes files of sounds."""
    from genloom.speech.libraries import load_library

    return str(load_library("soundfile").__libsndfile_version__)
