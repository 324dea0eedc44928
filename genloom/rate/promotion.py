"""Which version of a model is in use: promoted by the gate or a person, rolled back, all of it in the ledger."""

from collections.abc import Mapping
from typing import Any, Literal

from genloom.store import active_version, built_in, files
from genloom.store.ledger import Event, Ledger
from genloom.store.model_folder import ModelFolder
from genloom.store.names import validate_name
from genloom.store.workspace import Workspace

PromotedBy = Literal["gate", "person"]


def promote(
    workspace: Workspace, ledger: Ledger, name: str, version: int, by: PromotedBy, reason: str = "", receipt: str = ""
) -> Event:
    """Put a version into use: `name` alone means it from now on. `receipt` is the digest of what proved it better.

    Raises ValueError for a version that is not there and for the one that was promoted last.
    """
    folder = workspace.get_model(f"{validate_name(name, 'model')}/{version}")
    previous_version = sync_active_version(workspace, ledger, folder.name)
    if previous_version == version:
        raise ValueError(f"{folder.ref} is in use already. Promote another one, or go back: genloom rollback {name}")
    return _activate(workspace, ledger, folder, previous_version or 0, {"by": by, "reason": reason, "receipt": receipt})


def pin_active_version(workspace: Workspace, ledger: Ledger, name: str) -> ModelFolder:
    """The version in use, made so by name if nobody did: a challenger written after it does not take its place."""
    sync_active_version(workspace, ledger, name)
    folder = workspace.get_model(name)
    if not _read_activations(ledger, folder.name):
        details = {"by": "gate", "reason": "in use before the first challenger", "receipt": ""}
        _activate(workspace, ledger, folder, 0, details)
    return folder


def rollback(workspace: Workspace, ledger: Ledger, name: str, by: PromotedBy = "person", reason: str = "") -> Event:
    """Put the version back into use that was before; again, the one before that. ValueError where there is none."""
    activations = _read_activations(ledger, validate_name(name, "model"))
    if len(activations) < 2:
        current = workspace.get_model(name)
        raise ValueError(
            f"No version of {current.name!r} was promoted before {current.ref}, so there is nothing to go back to. "
            f"Choose one yourself: genloom promote {name} --to N"
        )
    (version, _), (current_version, _) = activations[-2:]
    folder = workspace.get_model(f"{name}/{version}")
    return _activate(
        workspace, ledger, folder, current_version, {"by": by, "reason": reason, "receipt": "", "rollback": True}
    )


def sync_active_version(workspace: Workspace, ledger: Ledger, name: str) -> int | None:
    """Make the model's file say what the ledger says, which a killed command may have left undone.

    Returns the version in use; None where none was ever promoted.
    """
    folder = workspace.root / "models" / validate_name(name, "model")
    is_known = folder.is_dir() or built_in.model_folder_path(folder.name).is_dir()
    if not is_known or not _read_activations(ledger, folder.name):
        return None
    with files.lock_folder(folder):
        version, event = _read_activations(ledger, folder.name)[
            -1
        ]  # read under the lock: the file never goes back in time
        active_version.write_active_version(folder, version, event)
    return version


def _activate(
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
    """The versions that rollbacks go back through, the one in use last, each with the event that put it there."""
    activations: list[tuple[int, str]] = []
    for event in ledger.iter_events(["promotion"]):
        if event.body["model"] != name:
            continue
        version = event.body["version"]
        if event.body.get("rollback") and len(activations) > 1 and activations[-2][0] == version:
            del activations[-2:]
        activations.append((version, event.id))
    return activations
