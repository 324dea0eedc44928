"""The words of a recording, with their times: as text, SRT and WebVTT subtitles, and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

FORMATS = ("txt", "srt", "vtt", "json")
MAX_LINE_CHARACTERS, MAX_LINES = 42, 2  # of a subtitle, as broadcasters recommend
MAX_CAPTION_SECONDS = 7.0


@dataclass(frozen=True)
class Word:
    """A word as it was heard, with the punctuation after it."""

    text: str
    start: float  # seconds
    end: float
    probability: float


@dataclass(frozen=True)
class Segment:
    """A sentence or a part of one."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()

    def shift(self, seconds: float) -> "Segment":
        """Return the segment later by these seconds."""
        words = tuple(
            replace(word, start=_round_time(word.start + seconds), end=_round_time(word.end + seconds))
            for word in self.words
        )
        return replace(self, start=_round_time(self.start + seconds), end=_round_time(self.end + seconds), words=words)


@dataclass(frozen=True)
class Transcript:
    """The words of a recording."""

    segments: tuple[Segment, ...]
    language: str  # ISO 639-1
    language_probability: float
    seconds: float  # of the recording

    @property
    def text(self) -> str:
        """The words, as one paragraph."""
        return " ".join(segment.text for segment in self.segments)

    def to_record(self) -> dict[str, Any]:
        """Return the transcript for JSON."""
        return {
            "text": self.text,
            "language": self.language,
            "language_probability": self.language_probability,
            "seconds": self.seconds,
            "segments": [asdict(segment) for segment in self.segments],
        }

    def render(self, format: str) -> str:
        """Return the transcript as txt, srt, vtt or json."""
        match format:
            case "srt":
                return render_srt(self.segments)
            case "vtt":
                return render_vtt(self.segments)
            case "json":
                return json.dumps(self.to_record(), indent=1, ensure_ascii=False) + "\n"
        return "\n".join(segment.text for segment in self.segments) + "\n"


def parse_transcript(record: Mapping[str, Any]) -> Transcript:
    """Return the transcript that `to_record` describes."""
    segments = tuple(
        Segment(each["text"], each["start"], each["end"], tuple(Word(**word) for word in each.get("words") or ()))
        for each in record["segments"]
    )
    return Transcript(segments, record["language"], record["language_probability"], record["seconds"])


def render_srt(segments: Sequence[Segment]) -> str:
    """Return subtitles as SubRip."""
    captions = build_captions(segments)
    blocks = [
        f"{number}\n{format_time(each.start, ',')} --> {format_time(each.end, ',')}\n{wrap_caption(each.text)}\n"
        for number, each in enumerate(captions, start=1)
    ]
    return "\n".join(blocks)


def render_vtt(segments: Sequence[Segment]) -> str:
    """Return subtitles as WebVTT."""
    blocks = [
        f"{format_time(each.start, '.')} --> {format_time(each.end, '.')}\n{escape_caption(wrap_caption(each.text))}\n"
        for each in build_captions(segments)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def build_captions(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments that fit on a screen: long ones are divided between words whose times are known."""
    return [caption for segment in segments for caption in _divide_segment(segment)]


def _divide_segment(segment: Segment) -> list[Segment]:
    captions: list[Segment] = []
    waiting: list[Word] = []
    for word in segment.words:
        text = "".join(each.text for each in [*waiting, word]).strip()
        is_long = len(text) > MAX_LINE_CHARACTERS * MAX_LINES
        if waiting and (is_long or word.end - waiting[0].start > MAX_CAPTION_SECONDS):
            captions.append(_join_words(waiting))
            waiting = []
        waiting.append(word)
    if not captions:
        return [segment]
    return [*captions, _join_words(waiting)]


def _join_words(words: Sequence[Word]) -> Segment:
    return Segment("".join(word.text for word in words).strip(), words[0].start, words[-1].end, tuple(words))


def wrap_caption(text: str) -> str:
    """Return a caption on at most two lines of about equal length."""
    if len(text) <= MAX_LINE_CHARACTERS:
        return text
    spaces = [index for index, character in enumerate(text) if character == " "]
    if not spaces:
        return text
    cut = min(spaces, key=lambda index: abs(index - len(text) / 2))
    return f"{text[:cut]}\n{text[cut + 1 :]}"


def escape_caption(text: str) -> str:
    """Return a text in which WebVTT sees no tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")


def format_time(seconds: float, point: str) -> str:
    """Return a time as 00:01:02,500."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _round_time(seconds: float) -> float:
    return round(seconds, 3)
