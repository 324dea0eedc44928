"""Attachments: the text of a file beside a question, whole or those passages that are most like the question."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genloom.assistant.prompts.likeness import rank_texts
from genloom.assistant.prompts.template import clean_value
from genloom.errors import GenloomError
from genloom.limited_process import LimitExceeded, read_limited
from genloom.store.files import expand_home

MAX_FILE_BYTES = 100_000_000
MAX_CHARS = 1_000_000  # of an attachment; what is behind them is not read, which a note says
MAX_ATTACHMENTS = 16
_PASSAGE_CHARS = 400  # about, of a passage
_SHORT_CHARS = 80  # of a paragraph that belongs to the next
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class Attachment:
    """The text of a file."""

    name: str
    text: str
    is_cut: bool = False  # whether the file has more than `MAX_CHARS` characters


@dataclass(frozen=True)
class Excerpt:
    """The part of an attachment that a model reads."""

    name: str
    text: str
    num_tokens: int
    num_total: int  # tokens of the whole attachment

    @property
    def is_whole(self) -> bool:
        return self.num_tokens >= self.num_total

    def to_record(self) -> dict[str, str | int]:
        return {"name": self.name, "tokens": self.num_tokens, "of": self.num_total}


def read_attachment(path: str | Path) -> Attachment:
    """Read the text of a file of any kind that `genloom collect` reads, within bounds.

    Raises
    ------
    GenloomError
        media.unreadable_file, media.unreadable: it can't be read; assistant.attachment_too_large;
        assistant.attachment_hangs: reading it takes too long or too much memory; assistant.attachment_empty.
    """
    path = expand_home(path)
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1_000_000
        raise GenloomError("assistant.attachment_too_large", path=path, limit=limit)
    if not path.is_file():
        raise GenloomError("assistant.attachment_missing", path=path)
    try:
        text = read_limited(read_file, path)
    except LimitExceeded:
        raise GenloomError("assistant.attachment_hangs", path=path) from None
    text = str(clean_value(text)).strip()
    if not text:
        raise GenloomError("assistant.attachment_empty", path=path)
    return Attachment(path.name, text[:MAX_CHARS], len(text) > MAX_CHARS)


def read_file(path: Path) -> str:
    """Return the text of a file."""
    from genloom.media import text

    return str(text.open(path).value)


def excerpt_attachments(
    attachments: Sequence[Attachment], question: str, limit: int, count_tokens: CountTokens
) -> list[Excerpt]:
    """Return what is read of each attachment within `limit` tokens together: all, or the passages like the question.

    Attachments that are short leave their share to the others.
    """
    totals = [count_tokens(attachment.text) for attachment in attachments]
    excerpts: dict[int, Excerpt] = {}
    left, waiting = max(limit, 0), len(attachments)
    for i in sorted(range(len(attachments)), key=lambda i: totals[i]):
        share = left // waiting
        attachment = attachments[i]
        text = attachment.text
        if totals[i] > share:
            text = choose_passages(attachment.text, question, share, count_tokens)
        num_tokens = totals[i] if text == attachment.text else count_tokens(text)
        excerpts[i] = Excerpt(attachment.name, text, num_tokens, totals[i])
        left, waiting = left - num_tokens, waiting - 1
    return [excerpts[i] for i in range(len(attachments))]


def choose_passages(text: str, question: str, limit: int, count_tokens: CountTokens) -> str:
    """Return the passages of a text that are most like a question, in the order of the text, within `limit` tokens."""
    passages = split_passages(text)
    chosen: list[int] = []
    left = limit
    for i in rank_texts(question, passages):
        num_tokens = count_tokens(passages[i]) + 2  # and the mark of what is left out
        if num_tokens <= left:
            chosen.append(i)
            left -= num_tokens
    parts = []
    for n, i in enumerate(sorted(chosen)):
        is_next = n > 0 and i == sorted(chosen)[n - 1] + 1
        parts.append(("\n" if is_next else "\n…\n" if n else "") + passages[i])
    return "".join(parts)


def split_passages(text: str) -> list[str]:
    """Split a text into passages: paragraphs, long ones at the ends of sentences, and short ones with the next."""
    passages: list[str] = []
    is_open = False  # whether the last passage is a short paragraph, such as a heading
    for paragraph in re.split(r"\n\s*\n", text):
        pieces = _split_paragraph(paragraph.strip())
        if is_open and pieces:
            passages[-1] += f"\n{pieces.pop(0)}"
        passages += pieces
        is_open = bool(passages) and len(passages[-1]) < _SHORT_CHARS
    return passages


def _split_paragraph(paragraph: str) -> list[str]:
    pieces: list[str] = []
    for sentence in filter(None, _SENTENCE_END.split(paragraph)):
        for start in range(0, len(sentence), 2 * _PASSAGE_CHARS):
            piece = sentence[start : start + 2 * _PASSAGE_CHARS]
            if pieces and len(pieces[-1]) + len(piece) < _PASSAGE_CHARS:
                pieces[-1] += f" {piece}"
            else:
                pieces.append(piece)
    return pieces


def quote_excerpts(excerpts: Sequence[Excerpt], question: str) -> str:
    """Return a question with the excerpts before it, each with the name of its file."""
    blocks = [f"Text of {excerpt.name}:\n{excerpt.text}" for excerpt in excerpts if excerpt.text]
    return "\n\n".join([*blocks, question])
