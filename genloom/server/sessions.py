"""Sessions of browsers, and the links with a one-time token that open them; a private file of hashes."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from genloom.api.workspace import Workspace
from genloom.server.access import SCOPES, Scope, User
from genloom.server.config import Config
from genloom.server.keys import KeyStore, format_time, is_past, sort_scopes
from genloom.server.secret_texts import find_secret, get_secret_id, is_secret, make_secret
from genloom.server.watched_file import WatchedFile

SESSION_DAYS = 30
LINK_MINUTES = 30
_MAX_SESSIONS = 1000


@dataclass(frozen=True)
class Session:
    """A browser that is signed in, or a link that signs one in."""

    user: str
    scopes: tuple[Scope, ...]
    hash: str
    expires: str


@dataclass(frozen=True)
class _Content:
    sessions: dict[str, Session] = field(default_factory=dict)
    links: dict[str, Session] = field(default_factory=dict)


class Sessions:
    """The sessions of a server; a command can add a link to the file while the server runs."""

    def __init__(self, path: Path, keys: KeyStore):
        self.keys = keys
        self.file = WatchedFile(path, _parse, _write_content)

    def create_link(self, user: str, scopes: Iterable[Scope] = SCOPES, minutes: int = LINK_MINUTES) -> str:
        """Return the token of a link that signs one browser in as this user."""
        with self.file.open_for_change() as content:
            return _add_session(content.links, user, scopes, timedelta(minutes=minutes))

    def redeem_link(self, token: str) -> str | None:
        """Return the cookie of a new session; None if the token is unknown, expired or used."""
        id = get_secret_id(token) or ""
        if id not in self.file.read().links:
            return None
        with self.file.open_for_change() as content:
            link = content.links.get(id)
            if link is None or not is_secret(token, link.hash) or is_past(link.expires):
                return None
            del content.links[id]
            return _add_session(content.sessions, link.user, link.scopes, timedelta(days=SESSION_DAYS))

    def open_session(self, user: User) -> str:
        """Return the cookie of a new session of a user whose password was checked."""
        with self.file.open_for_change() as content:
            return _add_session(content.sessions, user.id, user.scopes, timedelta(days=SESSION_DAYS))

    def close_session(self, id: str) -> None:
        """End a session; what is open with it ends within a second."""
        with self.file.open_for_change() as content:
            content.sessions.pop(id, None)

    def close_sessions_of(self, user: str) -> None:
        """End all sessions and links of a user, as after a change of the password."""
        with self.file.open_for_change() as content:
            for sessions in (content.sessions, content.links):
                for id in [id for id, session in sessions.items() if session.user == user]:
                    del sessions[id]

    def authenticate(self, cookie: str) -> User | None:
        """Return the user of a cookie; None if it is unknown, ended or expired."""
        id = find_secret(cookie, self.file.read().sessions)
        return None if id is None else self.get_session_user(id)

    def get_session_user(self, id: str) -> User | None:
        """Return the user that a session stands for now; None if it ended, or the account was removed."""
        session = self.file.read().sessions.get(id)
        if session is None:
            return None
        return self.keys.limit_user(session.user, session.scopes, session.expires, f"session {id}")


def open_access(workspace: Workspace, config: Config) -> tuple[KeyStore, Sessions]:
    """Return the keys and accounts, and the sessions, which are in the workspace unless the configuration says else."""
    folder = workspace.folder / "server"
    keys = KeyStore(config.keys or folder / "keys.toml")
    return keys, Sessions(folder / "sessions.json", keys)


def _add_session(sessions: dict[str, Session], user: str, scopes: Iterable[Scope], lifetime: timedelta) -> str:
    for id in [id for id, session in sessions.items() if is_past(session.expires)]:
        del sessions[id]
    for id in list(sessions)[: 1 - _MAX_SESSIONS]:  # the oldest
        del sessions[id]
    id, text, hash = make_secret(sessions)
    sessions[id] = Session(user, sort_scopes(scopes), hash, format_time(datetime.now(UTC) + lifetime))
    return text


def _parse(text: bytes) -> _Content:
    try:
        return TypeAdapter(_Content).validate_json(text)
    except ValidationError:  # a damaged file costs a sign-in, not the server
        return _Content()


def _write_content(content: _Content) -> str:
    return json.dumps(asdict(content))
