"""Summaries of documents of any length: each piece is summarised, then the summaries, until one fits (map-reduce)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genloom.assistant.tasks.pieces import CountTokens, split_document
from genloom.assistant.tasks.sentences import split_sentences
from genloom.errors import GenloomError, format_suggestion

# Sentences of a summary by its name, and the tokens that it may take.
LENGTHS = {"line": (1, 60), "short": (3, 160), "medium": (6, 320), "long": (12, 640)}
MAX_ROUNDS = 6  # each makes the text shorter by a factor of four at least
MAX_PIECES = 512  # of a document; more would take hours
MIN_ROOM = 96  # tokens of a piece: with less, a context holds no text to summarise

# Writes one text for each prompt, within a number of tokens: the text and its output.
WriteTexts = Callable[[Sequence[str], int], Sequence[tuple[str, Any]]]


@dataclass(frozen=True)
class MapReduce:
    """A summary, its output, and how it came about."""

    text: str
    output: Any
    num_pieces: int  # of the document
    num_rounds: int  # of summaries of summaries; 0: the document fits


def find_length(name: str) -> tuple[int, int]:
    """Return the sentences and tokens of a length; raise GenloomError (tasks.unknown_length) for another name."""
    if name not in LENGTHS:
        raise GenloomError(
            "tasks.unknown_length", name=name, known=", ".join(LENGTHS), hint=format_suggestion(name, LENGTHS)
        )
    return LENGTHS[name]


def build_summary_prompt(text: str, num_sentences: int, language: str = "") -> str:
    """Return the question that asks for a summary; `language` is the English name of the one to write in."""
    amount = "one sentence" if num_sentences == 1 else f"at most {num_sentences} sentences"
    tongue = f" in {language}" if language else ""
    return (
        f"Summarize the following text{tongue} in {amount}. Use only what the text says, and write only the summary."
        f"\n\n{text}"
    )


def summarize_document(
    text: str, length: str, context_length: int, count_tokens: CountTokens, write: WriteTexts, language: str = ""
) -> MapReduce:
    """Return the summary of a text: written at once if it fits in the context, else from summaries of its pieces."""
    num_sentences, max_tokens = find_length(length)
    max_tokens = min(max_tokens, context_length // 3)
    room = context_length - max_tokens - count_tokens(build_summary_prompt("", num_sentences, language)) - 64
    if room < MIN_ROOM:
        raise GenloomError("tasks.context_too_short", context_length=context_length)
    num_pieces = 0
    for num_rounds in range(MAX_ROUNDS):
        parts = _pack_pieces(text, count_tokens, room)
        num_pieces = num_pieces or len(parts)
        if len(parts) > MAX_PIECES:
            raise GenloomError("tasks.too_many_pieces", count=len(parts), limit=MAX_PIECES)
        is_last = len(parts) == 1
        part_sentences, part_tokens = (num_sentences, max_tokens) if is_last else _fit_part(room, len(parts))
        prompts = [build_summary_prompt(part, part_sentences, language) for part in parts]
        written = [(trim_sentences(answer, part_sentences), output) for answer, output in write(prompts, part_tokens)]
        if is_last:
            return MapReduce(written[0][0], written[0][1], num_pieces, num_rounds)
        text = "\n\n".join(answer for answer, _ in written if answer)
        if not text:
            return MapReduce("", written[-1][1], num_pieces, num_rounds)
    raise GenloomError("tasks.summary_too_long", rounds=MAX_ROUNDS)


def trim_sentences(text: str, count: int) -> str:
    """Return the first sentences of an answer, without one at its end that was cut, if others are left."""
    sentences = split_sentences(text)
    if len(sentences) > 1 and not sentences[-1].endswith((".", "!", "?", "…", '"', "”", "»", ")", "。")):
        sentences = sentences[:-1]
    return " ".join(sentences[:count])


def _fit_part(room: int, num_parts: int) -> tuple[int, int]:
    """Return sentences and tokens of the summary of a part: so many that the next round is a quarter or less."""
    max_tokens = max(min(room // 4, 160, max(room // num_parts, 40)), 40)
    return max(max_tokens // 40, 1), max_tokens


def _pack_pieces(text: str, count_tokens: CountTokens, room: int) -> list[str]:
    """Return the text in parts of at most `room` tokens, cut between paragraphs where that is possible."""
    split = split_document(text, count_tokens, room)
    parts, current, size = list[str](), "", 0
    for piece in split.pieces:
        added = count_tokens(piece.before + piece.text)
        if current and size + added > room:
            parts.append(current.strip())
            current, size = "", 0
        current, size = current + piece.before + piece.text, size + added
    if current.strip():
        parts.append(current.strip())
    return parts or [text.strip()]
