"""Which version of a model is in use: promoted by the gate or a person, rolled back, all of it in the ledger."""

from collections.abc import Mapping
from typing import Any, Literal

from genloom.store import built_in, champion, files
from genloom.store.ledger import Event, Ledger
from genloom.store.model_folder import ModelFolder
from genloom.store.names import checked
from genloom.store.workspace import Workspace

By = Literal["gate", "person"]


def promote(
    workspace: Workspace, ledger: Ledger, name: str, version: int, by: By, reason: str = "", receipt: str = ""
) -> Event:
    """Put a version into use: `name` alone means it from now on. `receipt` is the digest of what proved it better.

    Raises ValueError for a version that is not there and for the one that was promoted last.
    """
    chosen = workspace.model(f"{checked(name, 'model')}/{version}")
    before = settle(workspace, ledger, chosen.name)
    if before == version:
        raise ValueError(f"{chosen.ref} is in use already. Promote another one, or go back: genloom rollback {name}")
    return _crown(workspace, ledger, chosen, before or 0, {"by": by, "reason": reason, "receipt": receipt})


def hold(workspace: Workspace, ledger: Ledger, name: str) -> ModelFolder:
    """The version in use, made so by name if nobody did: a challenger written after it does not take its place."""
    settle(workspace, ledger, name)
    champion_now = workspace.model(name)
    if not _reigns(ledger, champion_now.name):
        why = {"by": "gate", "reason": "in use before the first challenger", "receipt": ""}
        _crown(workspace, ledger, champion_now, 0, why)
    return champion_now


def rollback(workspace: Workspace, ledger: Ledger, name: str, by: By = "person", reason: str = "") -> Event:
    """Put the version back into use that was before; again, the one before that. ValueError where there is none."""
    reigns = _reigns(ledger, checked(name, "model"))
    if len(reigns) < 2:
        current = workspace.model(name)
        raise ValueError(
            f"No version of {current.name!r} was promoted before {current.ref}, so there is nothing to go back to. "
            f"Choose one yourself: genloom promote {name} --to N"
        )
    (version, _), (before, _) = reigns[-2:]
    earlier = workspace.model(f"{name}/{version}")
    return _crown(workspace, ledger, earlier, before, {"by": by, "reason": reason, "receipt": "", "rollback": True})


def settle(workspace: Workspace, ledger: Ledger, name: str) -> int | None:
    """Make the model's file say what the ledger says, which a killed command may have left undone.

    Returns the version in use; None where none was ever promoted.
    """
    folder = workspace.root / "models" / checked(name, "model")
    known = folder.is_dir() or built_in.folder_of(folder.name).is_dir()
    if not known or not _reigns(ledger, folder.name):
        return None
    with files.locked(folder):
        version, event = _reigns(ledger, folder.name)[-1]  # read under the lock: the file never goes back in time
        champion.write(folder, version, event)
    return version


def _crown(workspace: Workspace, ledger: Ledger, chosen: ModelFolder, before: int, why: Mapping[str, Any]) -> Event:
    chosen.verify()
    facts = {"model": chosen.name, "version": chosen.version, "digest": chosen.digest, "champion_before": before}
    event = ledger.append("promotion", {**facts, **why})
    settle(workspace, ledger, chosen.name)
    return event


def _reigns(ledger: Ledger, name: str) -> list[tuple[int, str]]:
    """The versions that rollbacks go back through, the one in use last, each with the event that put it there."""
    reigns: list[tuple[int, str]] = []
    for event in ledger.events(["promotion"]):
        if event.body["model"] != name:
            continue
        version = event.body["version"]
        if event.body.get("rollback") and len(reigns) > 1 and reigns[-2][0] == version:
            del reigns[-2:]
        reigns.append((version, event.id))
    return reigns
