"""Extraction of the text of notebooks, subtitles and e-mails."""

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.errors import GenloomError
from genloom.media.text import bounded, encoding, extract
from genloom.media.text.bounded import ExtractedText

if TYPE_CHECKING:  # email takes a fortieth of a second to import
    from email.message import MIMEPart

_TIMING = re.compile(r"^\s*(\d+:)?\d{1,2}:\d{2}[,.]\d{1,3}\s*(-->|,\d+:\d{2}:\d{2}\.\d{3}\s*$)")
_MAIL_START = re.compile(rb"(?:\A|\n\n)From [^\n]*\d:\d\d:\d\d[^\n]*\n")
_CUE_MARKUP = re.compile(r"</?[a-zA-Z][^<>\n]*>|</?\d[\d:.]*>|\{\\[^{}\n]*\}")


def extract_notebook(markup: str) -> ExtractedText:
    """Extract the cells of a Jupyter notebook in order: text as it is, code in fences; outputs are left out."""
    try:
        notebook = json.loads(markup)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        info = notebook.get("metadata", {}).get("kernelspec", {})
        language = str(info.get("language", "python"))[:20]
        pieces = []
        for cell in cells:
            source = cell.get("source", cell.get("input", ""))
            text = "".join(map(str, source)) if isinstance(source, list) else str(source)
            is_code = cell.get("cell_type") == "code" and text.strip()
            pieces.append(f"```{language}\n{text}\n```" if is_code else text)
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise GenloomError("media.not_notebook", reason=str(error)[:80]) from error
    return ExtractedText(bounded.join_bounded(pieces))


def extract_subtitles(markup: str) -> ExtractedText:
    """Extract what is said in subtitles (.srt, .vtt or .sbv), a line that the next cue repeats once."""
    lines = markup.removeprefix("\ufeff").strip().split("\n")
    timings = [number for number, line in enumerate(lines) if _TIMING.match(line)]
    if not timings:
        raise GenloomError("media.not_subtitles")
    is_webvtt = lines[0].startswith("WEBVTT")
    spoken: list[str] = []
    for start, end in pairwise([*timings, len(lines)]):
        cue = lines[start + 1 : end]
        if end < len(lines) and cue and _is_cue_name(cue):
            cue.pop()  # of the next cue
        for line in cue:
            if is_webvtt and not line.strip():  # what follows up to the next cue is a style or a comment
                break
            text = " ".join(_CUE_MARKUP.sub("", line).split())
            if is_webvtt:
                text = " ".join(unescape(text).split())
            if text and (not spoken or spoken[-1] != text):
                spoken.append(text)
    return ExtractedText("\n".join(spoken))


def _is_cue_name(lines: Sequence[str]) -> bool:
    """Return whether the last line before a time is the number or the name of its cue, and is not spoken."""
    return lines[-1].strip().isdecimal() or (bool(lines[-1].strip()) and len(lines) > 1 and not lines[-2].strip())


def extract_email(path: Path) -> ExtractedText:
    """Extract the subject and the text of an e-mail; attachments are not read, which a note says."""
    bounded.check_file_size(path)
    return _join_emails([path.read_bytes()])


def extract_mailbox(path: Path) -> ExtractedText:
    """Extract the subjects and texts of the e-mails in a mailbox (.mbox), each of which begins with a line "From "."""
    bounded.check_file_size(path)
    before, *messages = _MAIL_START.split(path.read_bytes().replace(b"\r\n", b"\n"))
    if before.strip() or not messages:
        raise GenloomError("media.not_mailbox")
    return _join_emails([message.replace(b"\n>From ", b"\nFrom ") for message in messages])


def _join_emails(contents: Iterable[bytes]) -> ExtractedText:
    texts, num_attachments = zip(*map(_read_email, contents), strict=True)
    problems = (GenloomError("media.unread_attachments", count=sum(num_attachments)),) if any(num_attachments) else ()
    return ExtractedText(bounded.join_bounded([part for text in texts for part in text]), problems=problems)


def _read_email(content: bytes) -> tuple[list[str], int]:
    """Return the subject and the text of an e-mail, and the number of its attachments."""
    from email import message_from_bytes, policy

    message = message_from_bytes(content, policy=policy.default)
    if not {"from", "to", "subject", "date", "message-id"} & {name.lower() for name in message}:
        raise GenloomError("media.not_email")
    body = message.get_body(("plain", "html"))
    text = "" if body is None else _decode_body(body)
    if body is not None and body.get_content_subtype() == "html":
        text = extract.extract_visible_text(text)
    num_attachments = sum(1 for _ in message.iter_attachments()) if message.is_multipart() else 0
    subject = str(message.get("subject", "")).translate(encoding.CONTROLS_OF_LATIN_1)
    return [subject, text.strip()], num_attachments


def _decode_body(body: "MIMEPart") -> str:
    """Return the text of a part: in the character set that it names, or that its bytes fit."""
    data = body.get_payload(decode=True)
    assert isinstance(data, bytes)
    try:
        name = codecs.lookup(body.get_content_charset("utf-8")).name
        return data.decode(encoding.SUPERSETS.get(name, name))
    except (LookupError, UnicodeDecodeError):
        return data.decode(encoding.detect_encoding(data[: encoding.HEAD_BYTES]) or "utf-8", "replace")
