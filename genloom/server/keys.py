"""The keys and accounts of a server: a TOML file of hashes, which commands may change while the server runs."""

import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from genloom.errors import GenloomError
from genloom.server.access import LOCAL_USER_ID, SCOPES, Scope, User
from genloom.server.secret_texts import find_secret, make_secret
from genloom.server.watched_file import WatchedFile
from genloom.settings import to_toml
from genloom.store.names import unknown_name_error, validate_name

if TYPE_CHECKING:
    from argon2 import PasswordHasher

DEFAULT_SCOPES: tuple[Scope, ...] = ("generate", "read", "rate")
ACCOUNT_SCOPES: tuple[Scope, ...] = ("generate", "read", "rate", "train")
MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1000
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}")


@dataclass(frozen=True)
class Key:
    """A key for programs; the file has only the hash of its random secret."""

    name: str
    user: str
    scopes: tuple[Scope, ...]
    hash: str
    created: str
    expires: str = ""


@dataclass(frozen=True)
class Account:
    """A person of the team, who signs in with a name and a password, or with a provider of identities."""

    scopes: tuple[Scope, ...]
    password_hash: str  # "": there is no password
    created: str
    email: str = ""  # that the provider vouches for


@dataclass(frozen=True)
class _Content:
    keys: dict[str, Key] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)


class KeyStore:
    """The keys and accounts in one file."""

    def __init__(self, path: Path):
        self.file = WatchedFile(path, self._parse, lambda content: to_toml(asdict(content)))

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys by id."""
        return self.file.read().keys

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts by name."""
        return self.file.read().accounts

    def authenticate(self, text: str) -> User | None:
        """Return the user of a key; None if it is unknown, revoked or expired."""
        id = find_secret(text, self.keys)
        return None if id is None else self.get_key_user(id)

    def get_key_user(self, id: str) -> User | None:
        """Return the user that a key stands for now; None if it is revoked or expired, or its account removed."""
        key = self.keys.get(id)
        return None if key is None else self.limit_user(key.user, key.scopes, key.expires, f"key {id}")

    def limit_user(self, name: str, scopes: Iterable[Scope], expires: str, credential: str) -> User | None:
        """Return the user of an account with these scopes at most; None if that ended, or there is no such account."""
        owner = self.get_account_user(name)
        if owner is None or is_past(expires):
            return None
        return User(owner.id, owner.name, owner.scopes & frozenset(scopes), credential)

    def get_account_user(self, name: str) -> User | None:
        """Return the user of an account, or the person at the machine; None if there is no such account."""
        if name == LOCAL_USER_ID:
            return User(LOCAL_USER_ID, "", frozenset(SCOPES))
        account = self.accounts.get(name)
        return User(name, name, frozenset(account.scopes)) if account else None

    def check_password(self, name: str, password: str) -> bool:
        """Return whether an account has this password; takes as long for an unknown name. Slow: call it in a thread."""
        from argon2.exceptions import VerificationError

        account = self.accounts.get(name)
        known_hash = account.password_hash if account else ""
        try:
            _get_hasher().verify(known_hash or _hash_unknown_password(), password)
        except VerificationError:
            return False
        return bool(known_hash)

    def find_account(self, email: str) -> str | None:
        """Return the name of the account with this address; None if there is none, or several."""
        wanted = _fold_case(email)
        found = [name for name, each in self.accounts.items() if each.email and _fold_case(each.email) == wanted]
        return found[0] if len(found) == 1 else None

    def create_key(
        self, name: str, user: str = LOCAL_USER_ID, scopes: Iterable[Scope] = DEFAULT_SCOPES, days: int = 0
    ) -> tuple[str, str]:
        """Create a key and return its id and its text, which is stored nowhere. `days` 0: it does not expire."""
        name = validate_name(name, "key")
        now = datetime.now(UTC)
        with self.file.open_for_change() as content:
            if user != LOCAL_USER_ID and user not in content.accounts:
                raise _build_unknown_account_error(user, content.accounts)
            id, text, hash = make_secret(content.keys, "gl-")
            expires = format_time(now + timedelta(days=days)) if days else ""
            content.keys[id] = Key(name, user, sort_scopes(scopes), hash, format_time(now), expires)
        return id, text

    def revoke_key(self, id: str) -> Key:
        """Remove a key; what is open with it ends within a second."""
        with self.file.open_for_change() as content:
            if id not in content.keys:
                raise unknown_name_error("key", id, content.keys, "Create one: genloom access new NAME")
            return content.keys.pop(id)

    def add_account(
        self, name: str, password: str, scopes: Iterable[Scope] = ACCOUNT_SCOPES, *, email: str = ""
    ) -> None:
        """Add an account, or give the one of this name another password and other scopes.

        With an address, which a provider vouches for, the password may be "": there is none.
        """
        name = validate_name(name, "account")
        if name == LOCAL_USER_ID:
            raise GenloomError("server.local_account", name=name)
        if email and not _EMAIL.fullmatch(email):
            raise GenloomError("server.bad_email", value=email)
        if not (email and not password) and not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
            raise GenloomError("server.bad_password", minimum=MIN_PASSWORD_CHARS, maximum=MAX_PASSWORD_CHARS)
        hash = _get_hasher().hash(password) if password else ""
        account = Account(sort_scopes(scopes), hash, format_time(datetime.now(UTC)), email)
        with self.file.open_for_change() as content:
            content.accounts[name] = account

    def remove_account(self, name: str) -> None:
        """Remove an account and its keys; what the person made stays."""
        with self.file.open_for_change() as content:
            if name not in content.accounts:
                raise _build_unknown_account_error(name, content.accounts)
            del content.accounts[name]
            for id in [id for id, key in content.keys.items() if key.user == name]:
                del content.keys[id]

    def _parse(self, text: bytes) -> _Content:
        try:
            return TypeAdapter(_Content).validate_python(tomllib.loads(text.decode()))
        except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            reason = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else str(error)
            raise GenloomError("server.bad_keys_file", path=self.file.path, reason=reason) from error


def sort_scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes in their usual order; refuse unknown ones, and an empty list."""
    wanted = set(scopes)
    unknown = sorted(wanted.difference(SCOPES))
    if unknown or not wanted:
        raise GenloomError("server.unknown_scope", scope=unknown[0] if unknown else "", known=", ".join(SCOPES))
    return tuple(scope for scope in SCOPES if scope in wanted)


def format_time(moment: datetime) -> str:
    """Return a moment as ISO 8601."""
    return moment.isoformat(timespec="seconds")


def is_past(time_text: str) -> bool:
    """Return whether a stored moment has passed; "" never does."""
    return bool(time_text) and datetime.fromisoformat(time_text) <= datetime.now(UTC)


def _build_unknown_account_error(name: str, accounts: Iterable[str]) -> GenloomError:
    return unknown_name_error("account", name, accounts, "Add one: genloom access add NAME")


def _fold_case(email: str) -> str:
    """Return an address without capitals; letters that only look alike outside ASCII stay apart."""
    return email.lower() if email.isascii() else email


@cache
def _get_hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _hash_unknown_password() -> str:
    """Return the hash of a password that nobody has."""
    return _get_hasher().hash(secrets.token_hex())
