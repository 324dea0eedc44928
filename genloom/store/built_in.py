"""Models that come with the package, read-only: a workspace has them under their names until it has newer versions."""

from pathlib import Path

from genloom.store.making import Making
from genloom.store.model_folder import ModelFolder, new_version, versions_in

FOLDER = Path(__file__).parents[1] / "builtin"  # <name>/<n>/, as in a workspace


def names() -> list[str]:
    return sorted(folder.name for folder in FOLDER.glob("*") if versions_in(folder))


def folder_of(name: str) -> Path:
    """Where the versions of a model lie, if it is built in."""
    return FOLDER / name


def new_model(name: str) -> Making[ModelFolder]:
    """Fill a folder of the package with a further version, as `Workspace.new_model` does; tools/build_in.py asks."""
    return new_version(FOLDER / name, name, lambda: versions_in(FOLDER / name))
