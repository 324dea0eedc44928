"""`genloom access`: the keys and accounts of the server."""

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from genloom.cli.console import Console
from genloom.cli.options.numbers import int_range
from genloom.cli.options.serving import ServingOptions
from genloom.cli.options.workspace import CommonOptions
from genloom.cli.unused_options import refuse_unused_options
from genloom.errors import GenloomError
from genloom.text_format import format_table

if TYPE_CHECKING:
    from genloom.server.keys import KeyStore

Action = Literal["list", "new", "revoke", "add", "remove"]
ScopeName = Literal["generate", "read", "rate", "train", "admin"]


def run(
    action: Action = "list",
    name: str | None = None,
    /,
    *,
    scopes: tuple[ScopeName, ...] = (),
    user: str = "local",
    days: Annotated[int | None, int_range(1, 3650)] = None,
    email: str = "",
    keys: Path | None = None,
    common: CommonOptions = CommonOptions(),
) -> None:
    """List, create and revoke keys for programs, and add and remove accounts of people.

    Parameters
    ----------
    action
        list, new NAME (a key), revoke ID (a key), add NAME (an account), or remove NAME (an account).
    name
        Name of a new key or of an account, or id of a key.
    scopes
        Allowed actions: generate, read, rate, train, admin. [default: all but admin; of keys, all but train and admin]
    user
        Account that a new key belongs to. [default: you, who see everything]
    days
        Days until a new key expires. [default: never]
    email
        Address of a new account, for which the provider of --oidc-issuer vouches; without a password.
    keys
        File of keys and accounts. [default: server/keys.toml in the workspace]
    """
    refuse_unused_options(
        action,
        {
            "--scopes": (bool(scopes), "new, add"),
            "--user": (user != "local", "new"),
            "--days": (days is not None, "new"),
            "--email": (bool(email), "add"),
        },
    )
    workspace, console = common.open()
    config = ServingOptions(keys=keys).build_config()
    from genloom.server.keys import ACCOUNT_SCOPES, DEFAULT_SCOPES
    from genloom.server.sessions import open_access

    store, sessions = open_access(workspace, config)
    if (action == "list") != (name is None):
        raise GenloomError("server.access_usage")
    match action, name:
        case "new", str():
            id, text = store.create_key(name, user, scopes or DEFAULT_SCOPES, days or 0)
            console.print_line(f"{text}")
            console.print_hint(f"This is the only time that the key is shown. To revoke it: genloom access revoke {id}")
            console.print_result({"id": id, "key": text})
        case "revoke", str():
            key = store.revoke_key(name)
            console.print_line(f"The key {name} ({key.name}) is revoked.")
            console.print_result({"id": name, "revoked": True})
        case "add", str():
            store.add_account(name, "" if email else read_password(name), scopes or ACCOUNT_SCOPES, email=email)
            sessions.close_sessions_of(name)
            console.print_line(f"{name} can sign in now.")
            console.print_result({"account": name})
        case "remove", str():
            store.remove_account(name)
            sessions.close_sessions_of(name)
            console.print_line(f"{name} can no longer sign in; what {name} made stays.")
            console.print_result({"account": name, "removed": True})
        case _:
            list_access(store, console)


def list_access(store: "KeyStore", console: Console) -> None:
    """Print the keys and accounts."""
    keys = [(id, key.name, key.user, ", ".join(key.scopes), key.expires or "never") for id, key in store.keys.items()]
    accounts = [(name, account.email or "-", ", ".join(account.scopes)) for name, account in store.accounts.items()]
    if keys:
        console.print_lines(format_table([("key", "name", "user", "scopes", "expires"), *keys]))
    if accounts:
        console.print_lines(format_table([("account", "address", "scopes"), *accounts]))
    if not keys and not accounts:
        console.print_hint("There are no keys and no accounts yet. Create a key: genloom access new NAME")
    console.print_result(
        {
            "keys": [
                {"id": id, "name": key.name, "user": key.user, "scopes": key.scopes, "expires": key.expires}
                for id, key in store.keys.items()
            ],
            "accounts": [{"name": name, "scopes": account.scopes} for name, account in store.accounts.items()],
        }
    )


def read_password(name: str) -> str:
    """Ask for a new password on the terminal, or read it from the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Again: ") != password:
        raise GenloomError("server.passwords_differ")
    return password
