"""Keys of the workspace: the secrets that mark its outputs, readable by their owner only.

    keys/marking/<id>.key   32 random bytes
    keys/marking/active     the id of the key of new outputs

A marking key is made when the first output needs it. Rotation adds one; the old keys stay, because they recognise and
replay what was made with them. An id begins with the day, and ends with a part of the key's digest.
"""

import hashlib
import hmac
import os
import re
import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from genloom.errors import GenloomError
from genloom.store import files
from genloom.store.clock import get_now

SECRET_BYTES = 32
_ID = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{8}")


@dataclass(frozen=True)
class MarkingKey:
    """A secret that marks outputs, and the id that their records name."""

    id: str
    secret: bytes = field(repr=False)
    created: datetime


@dataclass(frozen=True)
class MarkingKeys:
    """The marking keys of a workspace at `root`."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "keys" / "marking"

    def get_active(self) -> MarkingKey:
        """Return the key of new outputs; make it if there is none."""
        if (active := self.find_active()) is not None:
            return active
        with self._lock():
            return self.find_active() or self._add()

    def find_active(self) -> MarkingKey | None:
        """Return the key of new outputs; None if no output was marked yet."""
        path = self.folder / "active"
        return self.get(path.read_text(encoding="ascii", errors="replace").strip()) if path.is_file() else None

    def get(self, id: str) -> MarkingKey:
        """Return the key with this id. Raise GenloomError (store.marking_key_gone, store.damaged_marking_key)."""
        path = self.folder / f"{id}.key"
        if not _ID.fullmatch(id) or not path.is_file():
            raise GenloomError("store.marking_key_gone", id=id[:80], path=path if _ID.fullmatch(id) else self.folder)
        with files.translate_errors(path):
            secret = path.read_bytes()
        if len(secret) != SECRET_BYTES or _digest_secret(secret) != id[11:]:
            raise GenloomError("store.damaged_marking_key", path=path)
        return MarkingKey(id, secret, datetime.fromtimestamp(path.stat().st_mtime, UTC))

    def list_keys(self) -> list[MarkingKey]:
        """List all keys, oldest first."""
        found = [self.get(path.stem) for path in self.folder.glob("*.key") if _ID.fullmatch(path.stem)]
        return sorted(found, key=lambda key: (key.id[:10], key.created, key.id))

    def rotate(self) -> MarkingKey:
        """Add a key, which marks new outputs from now on; the others stay for what was made with them."""
        with self._lock():
            return self._add()

    def _lock(self) -> AbstractContextManager[None]:
        _make_private(self.root / "keys")
        _make_private(self.folder)
        return files.lock_folder(self.folder)

    def _add(self) -> MarkingKey:
        secret, moment = draw_secret(), get_now()
        id = f"{moment:%Y-%m-%d}-{_digest_secret(secret)}"
        files.write_atomic(self.folder / f"{id}.key", secret, 0o600)
        files.write_atomic(self.folder / "active", id, 0o600)
        return self.get(id)


def list_exposed(root: Path) -> list[Path]:
    """List the files and folders with keys of a workspace that others than their owner can open."""
    folder = root / "keys"
    paths = [folder, *folder.rglob("*")] if folder.is_dir() else []
    return [path for path in sorted(paths) if not path.is_symlink() and path.stat().st_mode & 0o077]


def draw_secret() -> bytes:
    """Return a new secret of random bytes."""
    return secrets.token_bytes(SECRET_BYTES)


def derive_noise_key(secret: bytes, medium: str) -> int:
    """Return the 64 bits that key the noise of a medium: HKDF-SHA256 (RFC 5869), with the medium as its info."""
    extracted = hmac.digest(b"genloom noise", secret, hashlib.sha256)
    return int.from_bytes(hmac.digest(extracted, medium.encode() + b"\x01", hashlib.sha256)[:8], "big")


def _digest_secret(secret: bytes) -> str:
    return hashlib.sha256(b"genloom marking key\0" + secret).hexdigest()[:8]


def _make_private(folder: Path) -> None:
    """Create a folder that only its owner can open."""
    with files.translate_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid == os.getuid():
            folder.chmod(0o700)
