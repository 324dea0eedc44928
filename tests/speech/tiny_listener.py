"""A model folder as `genloom import whisper` makes it, and a library that hears loud stretches as words."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genloom.exchange.runtime_catalog import RUNTIME_MODELS
from genloom.exchange.runtime_importer import build_runtime_card
from genloom.settings import to_toml
from genloom.speech.recording import RATE
from genloom.speech.whisper import Whisper
from genloom.store.model_folder import RUNTIME_FOLDER, ModelFolder
from genloom.store.workspace import Workspace


class TinyListener:
    """Stands for a WhisperModel of faster-whisper: each second that is not silent is a segment of two words."""

    supported_languages = ("en", "de")
    model = SimpleNamespace(is_multilingual=True)

    def transcribe(self, samples: np.ndarray, **options: Any) -> tuple[list[Any], Any]:
        found = []
        for second in range(-(-len(samples) // RATE)):
            if np.square(samples[second * RATE : (second + 1) * RATE]).mean() < 0.01:
                continue
            names = (" Good", " morning.") if options["task"] == "transcribe" else (" Translated", " words.")
            words = [
                SimpleNamespace(word=name, start=second + 0.5 * n, end=second + 0.5 * n + 0.4, probability=0.9)
                for n, name in enumerate(names)
            ]
            text = "".join(names)
            has_words = options["word_timestamps"]
            found.append(SimpleNamespace(text=text, start=second, end=second + 0.9, words=words if has_words else None))
        return found, SimpleNamespace(language=options["language"] or "en", language_probability=0.75)


class EnglishListener(TinyListener):
    """Stands for a model that knows English only."""

    supported_languages = ("en",)
    model = SimpleNamespace(is_multilingual=False)


def add_listening_model(workspace: Workspace, patch: pytest.MonkeyPatch, is_english: bool = False) -> ModelFolder:
    """Add the model to a workspace, and let the tiny library run it."""
    entry = RUNTIME_MODELS["whisper"]
    staged = workspace.create_model("whisper")
    with staged as folder:
        (folder / RUNTIME_FOLDER).mkdir()
        (folder / RUNTIME_FOLDER / "model.bin").write_bytes(b"weights")
        (folder / "job.toml").write_text(
            to_toml({"name": "whisper", "medium": "audio", "runtime": {"name": "whisper"}})
        )
        (folder / "card.json").write_text(json.dumps(build_runtime_card("whisper", entry)))
    patch.setattr(Whisper, "_model", EnglishListener() if is_english else TinyListener())
    return staged.result
