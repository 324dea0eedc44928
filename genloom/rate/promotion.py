"""The version of a model in use: promotion by the gate or a person, and rollback, all recorded in the ledger."""

from collections.abc import Mapping
from typing import Any, Literal

from genloom.errors import GenloomError
from genloom.store import active_version, built_in, files, recycle_bin
from genloom.store.ledger import Event, Ledger
from genloom.store.lineage import find_withdrawn_versions
from genloom.store.model_folder import ModelFolder
from genloom.store.names import validate_name
from genloom.store.workspace import Workspace

PromotedBy = Literal["gate", "person"]


def promote_version(
    workspace: Workspace,
    ledger: Ledger,
    name: str,
    version: int,
    by: PromotedBy,
    reason: str = "",
    receipt: str = "",
    allow_withdrawn: bool = False,
) -> Event:
    """Make a version the one that `name` alone refers to. `receipt` is the digest of the proof that it is better.

    If it is in use already, as after a command that was killed, nothing is recorded, and its last promotion is
    returned. Raises GenloomError for a missing version, and, unless `allow_withdrawn`, if a person promotes one that
    was trained on ratings or documents that are withdrawn.
    """
    folder = workspace.get_model(f"{validate_name(name, 'model')}/{version}")
    if by == "person" and not allow_withdrawn:
        require_nothing_withdrawn(workspace, ledger, folder)
    previous_version = sync_active_version(workspace, ledger, folder.name)
    if previous_version == version:
        return ledger.get_event(_read_activations(ledger, folder.name)[-1][1])
    details = {"by": by, "reason": reason, "receipt": receipt}
    if previous_version is None:  # the newest, to which a rollback then returns
        newest_version = workspace.get_model(name).version
        previous_version = newest_version if newest_version != version else 0
    return _activate_version(workspace, ledger, folder, previous_version, details)


def pin_active_version(workspace: Workspace, ledger: Ledger, name: str) -> ModelFolder:
    """Return the version in use, promoting it if none was: a challenger that is saved later does not replace it."""
    sync_active_version(workspace, ledger, name)
    folder = workspace.get_model(name)
    if not _read_activations(ledger, folder.name):
        details = {"by": "gate", "reason": "in use before the first challenger", "receipt": ""}
        _activate_version(workspace, ledger, folder, 0, details)
    return folder


def roll_back_version(
    workspace: Workspace, ledger: Ledger, name: str, by: PromotedBy = "person", reason: str = ""
) -> Event:
    """Return to the version that was in use before; called again, to the one before that. Removed ones are skipped."""
    activations = _read_present_activations(workspace, ledger, validate_name(name, "model"))
    if len(activations) < 2:
        current = workspace.get_model(name)
        raise GenloomError("rate.no_earlier_promotion", name=current.name, version=current.ref)
    (version, _), (current_version, _) = activations[-2:]
    folder = workspace.get_model(f"{name}/{version}")
    require_nothing_withdrawn(workspace, ledger, folder)
    return _activate_version(
        workspace, ledger, folder, current_version, {"by": by, "reason": reason, "receipt": "", "rollback": True}
    )


def find_previous_version(ledger: Ledger, name: str) -> int | None:
    """Return the version that a rollback returns to; None if there is none."""
    activations = _read_activations(ledger, validate_name(name, "model"))
    return activations[-2][0] if len(activations) > 1 else None


def require_nothing_withdrawn(workspace: Workspace, ledger: Ledger, folder: ModelFolder) -> None:
    """Raise GenloomError if the version was trained on ratings or documents that are withdrawn."""
    if folder.ref in find_withdrawn_versions(workspace, ledger):
        raise GenloomError("rate.trained_on_withdrawn", version=folder.ref, name=folder.name, number=folder.version)


def sync_active_version(workspace: Workspace, ledger: Ledger, name: str) -> int | None:
    """Write the version in use from the ledger to the model's file, which a killed command may not have done.

    If it was removed, that is the one before it. Returns that version; None if none was ever promoted, or none is left.
    """
    folder = workspace.root / "models" / validate_name(name, "model")
    is_known = folder.is_dir() or built_in.get_model_folder_path(folder.name).is_dir()
    if not is_known or not _read_activations(ledger, folder.name):
        return None
    with files.lock_folder(folder):
        # Read under the lock, so that the file never goes back to an older entry.
        version, event = find_active_version(workspace, ledger, folder.name)
        active_version.write_active_version(folder, version, event)
    return version


def find_active_version(workspace: Workspace, ledger: Ledger, name: str) -> tuple[int | None, str]:
    """Return the version in use and the event since which it is, by the ledger; None and "" if none ever was."""
    activations = _read_present_activations(workspace, ledger, name)
    return activations[-1] if activations else (None, "")


def _activate_version(
    workspace: Workspace, ledger: Ledger, folder: ModelFolder, previous_version: int, details: Mapping[str, Any]
) -> Event:
    folder.verify()
    body = {
        "model": folder.name,
        "version": folder.version,
        "digest": folder.digest,
        "champion_before": previous_version,
    }
    event = ledger.append("promotion", {**body, **details})
    sync_active_version(workspace, ledger, folder.name)
    return event


def _read_activations(ledger: Ledger, name: str) -> list[tuple[int, str]]:
    """Return the versions that rollbacks go back through, the one in use last, each with its event."""
    activations: list[tuple[int, str]] = []
    for event in ledger.iter_entries(["promotion"]):
        if event.body["model"] != name:
            continue
        version, version_before = event.body["version"], event.body["champion_before"]
        if not activations and version_before:
            activations.append((version_before, event.id))
        if event.body.get("rollback"):  # also past versions that were removed
            earlier = [number for number, (each, _) in enumerate(activations[:-1]) if each == version]
            del activations[earlier[-1] if earlier else len(activations) :]
        activations.append((version, event.id))
    return activations


def _read_present_activations(workspace: Workspace, ledger: Ledger, name: str) -> list[tuple[int, str]]:
    """Return the activations of `_read_activations` whose version was not removed, each version once in a row."""
    folder = workspace.root / "models" / name
    removed_versions = recycle_bin.list_removed_versions(workspace.root, name)
    gone_versions = {version for version in removed_versions if not (folder / str(version)).is_dir()}
    activations: list[tuple[int, str]] = []
    for version, event in _read_activations(ledger, name):
        if version in gone_versions:
            continue
        if activations and activations[-1][0] == version:
            activations.pop()
        activations.append((version, event))
    return activations
