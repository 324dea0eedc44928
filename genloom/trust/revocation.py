"""Revoked keys: stolen or lost ones, which prove nothing from then on, except for what this workspace signed itself.

    keys/revoked/<id>.toml   a revoked key: its kind, who signed with it, the day, the reason, and its certificate
    keys/signed.txt          the digests of the files that this workspace signed, a line each, with digits that check it

A signature holds no proof of its time, and who has stolen a key can date it back. So the list of digests tells which
signatures of a revoked key are those of this workspace.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genloom.errors import GenloomError
from genloom.store import files
from genloom.store.clock import get_now

MAX_REASON_CHARS = 1000
_MAX_BYTES = 1 << 20
_ID = re.compile(r"[0-9a-f]{16}|\d{4}-\d\d-\d\d-[0-9a-f]{8}")
_DIGEST_LINE = re.compile(r"[0-9a-f]{64}( [0-9a-f]{8})?")
_DIGEST = "digest"  # of the lines before it
_KINDS = ("marking", "signing", "trusted")
_SECRET_MODE, _FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True)
class RevokedKey:
    """A key that proves nothing any more."""

    id: str
    kind: str  # "marking", "signing", or "trusted" for the authority of somebody else
    revoked: str  # when, ISO 8601 in UTC
    name: str = ""  # of who signed with it
    reason: str = ""
    created: str = ""
    expires: str = ""
    certificate: str = ""  # PEM; "" of a marking key


def list_revoked(root: Path) -> list[RevokedKey]:
    """List the revoked keys of a workspace, oldest first.

    Raises GenloomError (trust.damaged_revocation): without it, a stolen key would be trusted again.
    """
    found = [_read_revoked(path) for path in sorted((root / "keys" / "revoked").glob("*.toml"))]
    return sorted(found, key=lambda key: (key.revoked, key.id))


def find_revoked(root: Path, id: str) -> RevokedKey | None:
    """Return a revoked key; None if that key is not revoked."""
    path = root / "keys" / "revoked" / f"{id}.toml"
    return _read_revoked(path) if _ID.fullmatch(id) and path.is_file() else None


def record_revocation(root: Path, key: RevokedKey) -> None:
    """Write that a key is revoked."""
    folder = root / "keys" / "revoked"
    with files.translate_errors(folder):
        for each in (root / "keys", folder):
            each.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    lines = [f"{name} = {_to_toml(value)}\n" for name, value in vars(key).items() if name != "id" and value]
    lines.append(f'{_DIGEST} = "{_hash_lines(lines)}"\n')
    files.write_atomic(folder / f"{key.id}.toml", "".join(lines), _SECRET_MODE)


def get_timestamp() -> str:
    """Return the present time as revocations tell it."""
    return get_now().isoformat(timespec="seconds")


def _to_toml(text: str) -> str:
    """Return a text as a basic string of TOML, whose escapes are those of JSON."""
    shown = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return json.dumps(shown, ensure_ascii=False)


def _hash_lines(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read_revoked(path: Path) -> RevokedKey:
    try:
        text = files.read_beginning(path, _MAX_BYTES).decode("utf-8")
        table = tomllib.loads(text)
        *lines, last = text.splitlines(keepends=True) or [""]
        # Earlier versions of Genloom wrote no digest.
        if table.pop(_DIGEST, "") and last != f'{_DIGEST} = "{_hash_lines(lines)}"\n':
            raise ValueError("its content was changed")
        if not all(isinstance(field, str) for field in table.values()):
            raise ValueError("not texts")
        key = RevokedKey(path.stem, **table)
        if key.kind not in _KINDS or not _ID.fullmatch(key.id) or (key.kind == "marking") == bool(key.certificate):
            raise ValueError("not a revoked key")
    except (OSError, ValueError, TypeError) as error:  # TOMLDecodeError, UnicodeDecodeError are ValueErrors
        raise GenloomError("trust.damaged_revocation", path=path) from error
    return key


def record_signature(root: Path, signed: bytes) -> None:
    """Note the digest of a file with its manifest, or of the manifest beside a file, as signed by this workspace.

    A file leaves as well if that cannot be written.
    """
    record_signed_digest(root, hashlib.sha256(signed).hexdigest())


def record_signed_digest(root: Path, digest: str) -> None:
    """Note the SHA-256 of a file with its manifest as signed by this workspace; see `record_signature`."""
    line = f"\n{digest} {_check_digest(digest)}".encode()  # in one piece, after whatever a crash has left
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        descriptor = os.open(root / "keys" / "signed.txt", flags, _SECRET_MODE)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def has_signed(root: Path, digest: str) -> bool:
    """Return whether this workspace signed the file, or wrote the manifest, with this SHA-256."""
    with suppress(OSError), (root / "keys" / "signed.txt").open("rb") as file:
        return any(line.split()[:1] == [digest.encode()] for line in file)
    return False


def has_changed_signatures(root: Path) -> bool:
    """Return whether a line of the list of signed files is not as it was written; one that is gone leaves no trace."""
    with suppress(OSError), (root / "keys" / "signed.txt").open("rb") as file:
        return any(not _is_written_line(line.decode("ascii", "replace").strip()) for line in file)
    return False


def _is_written_line(line: str) -> bool:
    """Return whether a line is as `record_signature`, or an earlier version of Genloom, writes it."""
    digest, _, check = line.partition(" ")
    return not line or (bool(_DIGEST_LINE.fullmatch(line)) and check in ("", _check_digest(digest)))


def _check_digest(digest: str) -> str:
    """Return a few digits that show whether a digest was changed."""
    return hashlib.sha256(digest.encode()).hexdigest()[:8]
