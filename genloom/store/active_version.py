"""The active version of a model, in a small file next to the versions, so that opening a model needs no ledger."""

from pathlib import Path

from genloom.errors import GenloomError
from genloom.store import manifest, mirror


def read_active_version(folder: Path) -> int | None:
    """Return the active version of the model whose versions are in `folder`; None if none was ever promoted."""
    path = folder / "champion.json"
    if not path.is_file():
        return None
    version = manifest.read_json(path).get("version")
    if type(version) is not int or version < 1:
        raise GenloomError("store.damaged_active_version", path=path, name=folder.name)
    return version


def write_active_version(folder: Path, version: int | None, event: str) -> None:
    """Record that `version` is active since the ledger's `event`; None: that none is."""
    if version is None:
        mirror.remove_path(folder / "champion.json")
    else:
        manifest.write_record(folder / "champion.json", {"version": version, "event": event})
