"""Whisper (Radford et al. 2022), speech recognition, run by faster-whisper."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError, format_suggestion
from genloom.speech.libraries import load_library
from genloom.speech.recording import RATE, Piece
from genloom.speech.transcript import Segment, Transcript, Word

BEAM_SIZE = 5
_SEED = 0  # of the samples that are drawn where the most likely words repeat themselves
_CONTEXT_CHARACTERS = 200  # of the text before a piece that the model reads

Report = Callable[[float, str], object]  # the seconds that are done, and the newest words


class Whisper:
    """The model in a folder; the same recording gives the same words."""

    def __init__(self, folder: Path, threads: int = 1):
        self.folder, self.threads = folder, threads

    @cached_property
    def _model(self) -> Any:
        load_library("onnxruntime")  # finds where there is speech
        library: Any = load_library("faster_whisper")
        return library.WhisperModel(
            str(self.folder), device="cpu", compute_type="int8", cpu_threads=self.threads, local_files_only=True
        )

    @property
    def is_multilingual(self) -> bool:
        """Whether the model knows other languages than English."""
        return bool(self._model.model.is_multilingual)

    def check_language(self, language: str) -> str:
        """Return the code of a language that the model knows; GenloomError for another."""
        known = list(self._model.supported_languages)
        if language and language not in known:
            hint = format_suggestion(language, known)
            raise GenloomError("speech.unknown_language", language=language, known=", ".join(known), hint=hint)
        return language

    def transcribe(
        self,
        pieces: Iterator[Piece],
        language: str = "",
        has_words: bool = True,
        to_english: bool = False,
        report: Report = lambda seconds, text: None,
    ) -> Transcript:
        """Return what is said in the pieces of a recording; its language is found in the first with speech."""
        random: Any = load_library("ctranslate2")
        segments: list[Segment] = []
        probability, seconds = (1.0 if language else 0.0), 0.0
        for piece in pieces:
            random.set_random_seed(_SEED)
            found, info = self._model.transcribe(
                piece.samples,
                language=language or None,
                task="translate" if to_english else "transcribe",
                beam_size=BEAM_SIZE,
                word_timestamps=has_words,
                vad_filter=True,
                initial_prompt=" ".join(each.text for each in segments[-8:])[-_CONTEXT_CHARACTERS:] or None,
            )
            for each in found:
                if segment := _build_segment(each):
                    segments.append(segment.shift(piece.start))
                    report(segments[-1].end, segment.text)
            seconds = piece.start + len(piece.samples) / RATE
            if segments and not language:
                language, probability = info.language, float(info.language_probability)
            report(seconds, "")
        return Transcript(tuple(segments), language, round(probability, 3), round(seconds, 3))


def _build_segment(found: Any) -> Segment | None:
    """Return a segment as the library gives it; None if it has no words."""
    text = found.text.strip()
    if not text:
        return None
    words = tuple(
        Word(word.word, round(float(word.start), 3), round(float(word.end), 3), round(float(word.probability), 3))
        for word in found.words or ()
    )
    return Segment(text, float(found.start), float(found.end), words)
