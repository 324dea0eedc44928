"""Which server runs on a workspace: only one does, and a command asks it for a link to sign in with."""

import json
from collections.abc import Generator
from contextlib import contextmanager

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import LOCAL_USER_ID, SCOPES
from genloom.server.config import Config
from genloom.server.keys import ACCOUNT_SCOPES
from genloom.server.sessions import open_access
from genloom.store.files import lock_folder, write_atomic


@contextmanager
def hold_workspace(workspace: Workspace) -> Generator[None]:
    """Be the only server of a workspace while the block runs."""
    folder = workspace.folder / "server" / "running"
    busy_error = GenloomError("server.already_running", url=", ".join(_read_urls(workspace)) or "another address")
    with lock_folder(folder, busy_error):
        try:
            yield
        finally:
            (folder / "urls.json").unlink(missing_ok=True)


def publish_urls(workspace: Workspace, config: Config) -> None:
    """Write where the server of this workspace is, for `find_running_urls`."""
    write_atomic(workspace.folder / "server" / "running" / "urls.json", json.dumps(config.list_urls()))


def find_running_urls(workspace: Workspace) -> list[str]:
    """Return the addresses of the server that runs on a workspace; none if there is no such server."""
    folder = workspace.folder / "server" / "running"
    if not folder.is_dir():
        return []
    try:
        with lock_folder(folder, GenloomError("server.already_running", url="")):
            return []
    except GenloomError as error:
        if error.code != "server.already_running":
            raise
        return _read_urls(workspace)


def create_links(workspace: Workspace, config: Config, urls: list[str]) -> list[str]:
    """Return a link for each address, the first of which is this machine's own.

    The first signs in the person at the machine with every scope; the others are for another device, which may not
    manage keys and accounts.
    """
    _, sessions = open_access(workspace, config)
    links = [f"{urls[0]}/#token={sessions.create_link(LOCAL_USER_ID, SCOPES)}"]
    if urls[1:]:
        token = sessions.create_link(LOCAL_USER_ID, ACCOUNT_SCOPES)
        links += [f"{url}/#token={token}" for url in urls[1:]]
    return links


def _read_urls(workspace: Workspace) -> list[str]:
    try:
        return json.loads((workspace.folder / "server" / "running" / "urls.json").read_text())
    except (OSError, ValueError):
        return []
