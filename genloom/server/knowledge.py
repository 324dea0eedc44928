"""Knowledge of a workspace on the server: who may use it, and the folder of documents that came by an upload.

knowledge/NAME/index.sqlite   the passages; its facts name the owner, if that is not the person at the machine
knowledge/NAME/NAME/…         documents that were sent to the studio; places in them are cited as NAME/FILE
"""

from pathlib import Path
from typing import Any

from genloom.api import knowledge as knowing
from genloom.api.knowledge import Knowledge
from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.access import LOCAL_USER_ID, User, build_unknown_id_error
from genloom.server.errors import APIError
from genloom.store.names import validate_name
from genloom.store.recycle_bin import BinEntry


def get_documents_folder(workspace: Workspace, name: str) -> Path:
    """Return the folder of documents that were sent to the studio."""
    return workspace.folder / knowing.FOLDER / name / name


def read_owner(knowledge: Knowledge) -> str:
    """Return the user whose documents these are."""
    return str(knowledge.index.read_facts().get("owner") or LOCAL_USER_ID)


def list_knowledge(workspace: Workspace, user: User) -> list[dict[str, Any]]:
    """Return the knowledge that a user may use, without the paths that it was read from."""
    rows = []
    for each in workspace.knowledge:
        with each:
            if user.owns(read_owner(each)):
                rows.append(describe_knowledge(workspace, each))
    return rows


def find_removed(workspace: Workspace, name: str, user: User) -> BinEntry:
    """Return the newest entry of the bin with knowledge of this name; 404 if there is none, or it is another's."""
    for entry in reversed(workspace.bin):
        if entry.kind == "knowledge" and entry.name == name and owns_removed(workspace, entry, user):
            return entry
    raise build_unknown_id_error("knowledge", name)


def owns_removed(workspace: Workspace, entry: BinEntry, user: User) -> bool:
    """Return whether knowledge in the bin is this user's."""
    from genloom.assistant.knowledge.index import open_index

    if user.is_local:
        return True
    try:
        with Knowledge(workspace, entry.name, open_index(workspace.folder / "bin" / entry.id / "0")) as removed:
            return user.owns(read_owner(removed))
    except GenloomError:  # it is damaged
        return False


def describe_knowledge(workspace: Workspace, knowledge: Knowledge) -> dict[str, Any]:
    record = knowledge.to_record()
    row = {name: record[name] for name in ("files", "passages", "bytes", "changed")}
    can_grow = get_documents_folder(workspace, knowledge.name).is_dir()
    return {"name": knowledge.name, **row, "can_grow": can_grow}


def check_knowledge(workspace: Workspace, name: str, user: User) -> None:
    """Answer 404 for knowledge that does not exist or is another user's; "" is none."""
    if not name:
        return
    if not knowing.is_known(workspace, name):
        raise build_unknown_id_error("knowledge", name)
    with workspace.open_knowledge(name, update=False) as found:
        user.check_owner(read_owner(found), "knowledge", name)


def check_new_documents(workspace: Workspace, name: str, user: User) -> None:
    """Refuse a name that is no name of a folder, and that of knowledge from elsewhere or of another user."""
    validate_name(name, "knowledge")
    if not knowing.is_known(workspace, name):
        return
    try:
        check_knowledge(workspace, name, user)
        is_free = get_documents_folder(workspace, name).is_dir()
    except GenloomError as error:
        if error.code != "server.unknown_id":
            raise
        is_free = False
    if not is_free:
        raise APIError("studio.knowledge_taken", status=409, param="params.name", name=name)
