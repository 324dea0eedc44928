"""Random secrets such as `gl-1f0c92ab-…`: an id that may be shown, and 256 random bits that are stored as a hash."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Container, Mapping
from typing import Protocol

_SECRET = re.compile(r"(?:gl-)?([0-9a-f]{8})-[\w-]{43}", re.ASCII)


class Hashed(Protocol):
    """Something that a secret opens, with the hash of the secret."""

    @property
    def hash(self) -> str: ...


def find_secret(text: str, entries: Mapping[str, Hashed]) -> str | None:
    """Return the id of the entry that a text is the secret of; None if it is that of no entry."""
    id = get_secret_id(text) or ""
    entry = entries.get(id)
    return id if entry is not None and is_secret(text, entry.hash) else None


def make_secret(taken_ids: Container[str], prefix: str = "") -> tuple[str, str, str]:
    """Return the id, the text and the hash of a new secret."""
    while (id := secrets.token_hex(4)) in taken_ids:
        pass
    text = f"{prefix}{id}-{secrets.token_urlsafe(32)}"
    return id, text, hash_secret(text)


def get_secret_id(text: str) -> str | None:
    """Return the id within a text that has the form of a secret; None otherwise."""
    match = _SECRET.fullmatch(text)
    return match and match[1]


def hash_secret(text: str) -> str:
    """Return the hash of a secret; with its 256 random bits, a fast hash is enough."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_secret(text: str, hash: str) -> bool:
    """Return whether this is the text of the hash, in a time that does not depend on where they differ."""
    return hmac.compare_digest(hash_secret(text), hash)
