"""Models that come with the package, read-only: a workspace has them under their names until it has newer versions."""

from pathlib import Path

from genloom.store.atomic_folder import StagedFolder
from genloom.store.model_folder import ModelFolder, create_version, list_versions

FOLDER = Path(__file__).parents[1] / "builtin"  # <name>/<n>/, as in a workspace


def list_names() -> list[str]:
    return sorted(folder.name for folder in FOLDER.glob("*") if list_versions(folder))


def model_folder_path(name: str) -> Path:
    """Where the versions of a model lie, if it is built in."""
    return FOLDER / name


def create_model(name: str) -> StagedFolder[ModelFolder]:
    """Fill a folder of the package with a further version, as `Workspace.new_model` does; tools/build_in.py asks."""
    return create_version(FOLDER / name, name, lambda: list_versions(FOLDER / name))
