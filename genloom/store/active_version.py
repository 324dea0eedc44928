"""Which version of a model is in use, in a small file beside the versions, so that opening one needs no ledger."""

from pathlib import Path

from genloom.store import manifest


def read_active_version(folder: Path) -> int | None:
    """The version in use, of the model whose versions lie in `folder`; None where none was ever promoted."""
    path = folder / "champion.json"
    if not path.is_file():
        return None
    version = manifest.read_json(path).get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f"{path} is damaged: it names no version. Promote one: genloom promote {folder.name} --to N")
    return version


def write_active_version(folder: Path, version: int, event: str) -> None:
    """Say that `version` is in use since the ledger's `event`."""
    manifest.write_json(folder / "champion.json", {"version": version, "event": event})
