"""Read-only models that come with the package: a workspace lists them until it has newer versions of them."""

from pathlib import Path

from genloom.store.atomic_folder import StagedFolder
from genloom.store.model_folder import ModelFolder, create_version, list_versions

FOLDER = Path(__file__).parents[1] / "builtin"  # <name>/<n>/, as in a workspace


def list_names() -> list[str]:
    return sorted(folder.name for folder in FOLDER.glob("*") if list_versions(folder))


def get_model_folder_path(name: str) -> Path:
    """Return the folder of the versions of a model, if it is built in."""
    return FOLDER / name


def read_example_prompts(name: str) -> list[str]:
    """Return prompts that show what a built-in model can do; none for another model."""
    path = FOLDER / name / "prompts.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def create_model(name: str) -> StagedFolder[ModelFolder]:
    """Create a further version in the package, as `Workspace.create_model` does; for tools/build_in.py."""
    return create_version(FOLDER / name, name, lambda: list_versions(FOLDER / name))
