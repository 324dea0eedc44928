"""Kokoro (hexgrad 2025), a text-to-speech model of 82 million weights, run by onnxruntime.

Shape letters: N samples.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenloomError, find_nearest, format_message
from genloom.speech.libraries import load_library

RATE = 24_000  # samples per second
DEFAULT_VOICE = "af_heart"
MAX_PHONEMES = 480  # that the model reads at once; the table of a voice has 510 rows
MIN_SPEED, MAX_SPEED = 0.5, 2.0
WEIGHTS, VOCABULARY, VOICES = "model.onnx", "vocab.json", "voices"
_STYLE_WIDTH = 256
_KINDS = {"af": "American, female", "am": "American, male", "bf": "British, female", "bm": "British, male"}


class Kokoro:
    """The model in a folder, with its voices. It computes the same samples with any number of threads."""

    rate = RATE

    def __init__(self, folder: Path, threads: int = 1):
        self.folder, self.threads = folder, threads
        self.vocabulary: dict[str, int] = json.loads((folder / VOCABULARY).read_text("utf-8"))["vocab"]
        self._styles: dict[str, np.ndarray] = {}

    @cached_property
    def _session(self) -> Any:
        runtime: Any = load_library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        return runtime.InferenceSession(
            str(self.folder / WEIGHTS), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def synthesize(self, phonemes: str, voice: str, speed: float = 1.0) -> np.ndarray:
        """Return the samples (N,) of phonemes that a voice speaks; phonemes that the model does not know are left out.

        At most MAX_PHONEMES phonemes are read, and there must be one.
        """
        tokens = [self.vocabulary[phoneme] for phoneme in phonemes if phoneme in self.vocabulary]
        assert 0 < len(tokens) <= MAX_PHONEMES, len(tokens)
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": self._load_style(voice)[len(tokens)],
            "speed": np.array([speed], np.float32),
        }
        return self._session.run(None, inputs)[0].ravel()

    def _load_style(self, voice: str) -> np.ndarray:
        """Return the vectors of a voice, one for each number of tokens."""
        if voice not in self._styles:
            path = self.folder / VOICES / f"{voice}.bin"
            self._styles[voice] = np.fromfile(path, np.float32).reshape(-1, 1, _STYLE_WIDTH)
        return self._styles[voice]


def list_voices(folder: Path) -> list[str]:
    """Return the names of the voices in a model's folder, sorted."""
    return sorted(path.stem for path in (folder / VOICES).glob("*.bin"))


def check_voice(folder: Path, voice: str) -> str:
    """Return the name of a voice; the GenloomError for an unknown one suggests the nearest."""
    known = list_voices(folder)
    name = voice.strip().lower()
    if name in known:
        return name
    matches = [each for each in known if each.partition("_")[2] == name]  # "heart" is af_heart
    if len(matches) == 1:
        return matches[0]
    close = find_nearest(name, known) or find_nearest(name, [each.partition("_")[2] for each in known])
    nearest = next((each for each in known if close and each.endswith(close)), "")
    if nearest:
        hint = format_message("core.did_you_mean", nearest=nearest)
    else:
        hint = format_message("core.available", names=", ".join(known))
    raise GenloomError("speech.unknown_voice", voice=voice, hint=hint)


def is_british(voice: str) -> bool:
    """Return whether a voice has the British accent."""
    return voice.startswith("b")


def describe_voice(voice: str) -> str:
    """Return the accent and the kind of a voice, which its name begins with."""
    return _KINDS.get(voice.partition("_")[0], "")
