"""Fetches pinned packages of Python under the MIT and BSD licences, and reads their modules; nothing of them is run."""

import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from recipes import wheels

MAX_MODULE_BYTES = 200_000
PSF = "PSF-2.0"
EXCLUDED = re.compile(
    r"(^|/)(tests?|testing|_vendor|vendored|vendor|idlelib|lib2to3|turtledemo|site-packages|ensurepip|__pycache__"
    r"|encodings|config-[^/]*|pydoc_data|msilib|conftest\.py|test_[^/]*|[^/]*_tests?\.py)(/|$)"
)
LICENCE_TEXTS = ((re.compile(r"\bMIT\b|mit license", re.I), "MIT"), (re.compile(r"\bBSD\b", re.I), "BSD"))


@dataclass(frozen=True)
class Package:
    """A wheel on PyPI; held-out packages are measured on, never trained on."""

    name: str
    version: str
    sha256: str
    licence: str
    is_held_out: bool = False


@dataclass(frozen=True)
class Module:
    """A module of a package, with the licence that the package states."""

    package: str
    path: str
    source: str
    licence: str
    is_held_out: bool


PACKAGES: tuple[Package, ...] = (
    Package("algorithms", "1.0.1", "f45568f40011b264195e7879ef42b043ea1be744479e7b3292a895edef167f64", "MIT"),
    Package("attrs", "26.1.0", "c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309", "MIT"),
    Package("beautifulsoup4", "4.15.0", "d6f88de62e1d4e38ecb1077eb9724cd0eff29d2a08ca16a401e9b9e93f117cf9", "MIT"),
    Package(
        "boltons", "26.2.0", "41942cbce440211bbcf2487ccdc356964ad674f95a01068b8a0dd7a1d1fed036", "BSD", is_held_out=True
    ),
    Package(
        "cachetools",
        "8.0.2",
        "502bf3c17c6e35d78ccdaa70da8c7001b28634541f5cde0dee33c93bb252277d",
        "MIT",
        is_held_out=True,
    ),
    Package("click", "8.5.1", "8bb5376d2006950386f8c6427613334a2acadc5f559cb80e638d00b4df957e37", "BSD"),
    Package("funcy", "2.1", "290794186530c944f7e444d2e28b98f33a55685f2bfb9b7a61dac564decab8f8", "BSD"),
    Package(
        "humanize",
        "4.17.0",
        "02d0899527760efe18011944f882df4970943b4cdff7b5a0ba7fed43a576ef98",
        "MIT",
        is_held_out=True,
    ),
    Package("jinja2", "3.1.6", "85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67", "BSD"),
    Package("jsonschema", "4.26.0", "d489f15263b8d200f8387e64b4c3a75f06629559fb73deb8fdfb525f2dab50ce", "MIT"),
    Package("lark", "1.3.1", "c629b661023a014c37da873b4ff58a817398d12635d3bbb2c5a03be7fe5d1e12", "MIT"),
    Package("marshmallow", "4.4.0", "03a882ff2eabb9a4e24b433c2949f359ef4d172a12fdc14cde10375fd55328b4", "MIT"),
    Package("mistune", "3.4.0", "d03cec4c8620f21517a996d82d14f3b59c30d79bda2cc6c56bd32b839f18ce6b", "BSD"),
    Package("more_itertools", "11.2.1", "35a7377edd1dd6608dcb2cdf534ded55ea32d49448875ad042cd3f879fb1ded0", "MIT"),
    Package("mpmath", "1.4.1", "dc4f0ea2304480d4a9a48a94c1020571558ade522b44a6912efac63a586e140f", "BSD"),
    Package("natsort", "8.4.0", "4732914fb471f56b5cce04d7bae6f164a592c7712e1c85f9ef585e197299521c", "MIT"),
    Package("networkx", "3.6.1", "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762", "BSD"),
    Package("prettytable", "3.18.0", "b3346e0e6f79180833aebaac088ae926340586cf6d7d991b9eb125b65f72313a", "BSD"),
    Package("pydash", "8.1.0", "61df790f303288df7da3a766c3ca6ea5a8f3ec882b28712bac8d13573dbaba97", "MIT"),
    Package("pyparsing", "3.3.3", "ece8c00a69cf01b45d0b1dedabb469c90d8caf996d4fda40f147627a122849a4", "MIT"),
    Package("rich", "15.0.0", "33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb", "MIT"),
    Package("schedule", "1.2.2", "5bef4a2a0183abf44046ae0d164cadcac21b1db011bdd8102e4a0c1e91e06a7d", "MIT"),
    Package("simpy", "4.1.2", "43071f84b6512c9b4fcb33ef057f240ccb1d1f3b263f9b4f9229d072e310b372", "MIT"),
    Package("sqlparse", "0.6.1", "3be5a72d04c873d690d7c6dedd33d6fae2ef82759881ceec02fc2efd0cba564f", "BSD"),
    Package("sympy", "1.14.0", "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5", "BSD"),
    Package(
        "tabulate",
        "0.10.0",
        "f0b0622e567335c8fabaaa659f1b33bcb6ddfe2e496071b743aa113f8774f2d3",
        "MIT",
        is_held_out=True,
    ),
    Package(
        "textdistance",
        "4.6.3",
        "0cb1b2cc8e3339ddc3e0f8c870e49fb49de6ecc42a718917308b3c971f34aa56",
        "MIT",
        is_held_out=True,
    ),
    Package("tinydb", "4.9.0", "111f1f680978a1b7c534d698dd1d76739ff31c74c27fd26a111140b51d8b35d6", "MIT"),
    Package("tomlkit", "0.15.2", "05562412163a3037b94497385fb7f9204c637bc605af7a48199e41cf2272f437", "MIT"),
    Package("toolz", "1.2.0", "890f820b1cb8152785aaf9386d8707770110809035800985ca65cb24ce1120ef", "BSD"),
    Package("voluptuous", "0.16.0", "ee342095263e1b5afbd4d418cb5adc92810eebfd07696bb033a261210df33db4", "BSD"),
    Package("werkzeug", "3.1.9", "6392e50c78460ba618e5b21f08a71f59c99ce99cdc6cf6e3dd7e6ccca8754fab", "BSD"),
    Package("xlsxwriter", "3.3.1", "8e2c89e59d733fe59e112317218c64fbbc276d90a8c144ebd6f7fa15e7ab184a", "BSD"),
)


def read_licence(wheel: Path) -> str:
    """Return MIT or BSD as the metadata of a wheel state it; ValueError for any other licence."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    classifiers = [value for value in metadata.get_all("Classifier", ()) if value.startswith("License ::")]
    stated = [metadata.get("License-Expression"), *classifiers, metadata.get("License")]
    for text in filter(None, stated):
        for pattern, licence in LICENCE_TEXTS:
            if pattern.search(str(text)[:200]):
                return licence
    raise ValueError(f"{wheel.name} is neither under the MIT nor a BSD licence (it states {stated}). Leave it out.")


def iter_modules(folder: Path) -> Iterator[Module]:
    """Yield the modules of the standard library that runs this, and of the pinned packages, without their tests."""
    library = Path(sysconfig.get_path("stdlib"))
    version = f"python-{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library).as_posix()
        if not EXCLUDED.search(relative) and (source := decode_source(path.read_bytes())):
            yield Module(version, relative, source, PSF, is_held_out=False)
    for package in PACKAGES:
        wheel = wheels.fetch_wheel(folder, package.name, package.version, package.sha256)
        if (licence := read_licence(wheel)) != package.licence:
            raise ValueError(f"{wheel.name} is under {licence}, not {package.licence}. Correct the table.")
        yield from iter_wheel(wheel, package)


def iter_wheel(wheel: Path, package: Package) -> Iterator[Module]:
    """Yield the modules of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            is_read = info.filename.endswith(".py") and info.file_size <= MAX_MODULE_BYTES
            if is_read and not EXCLUDED.search(info.filename) and (source := decode_source(archive.read(info))):
                yield Module(
                    f"{package.name}-{package.version}", info.filename, source, package.licence, package.is_held_out
                )


def decode_source(data: bytes) -> str:
    """Return source of a module; "" if it is not text in UTF-8, or too large."""
    try:
        return data.decode("utf-8").replace("\r\n", "\n") if len(data) <= MAX_MODULE_BYTES else ""
    except UnicodeDecodeError:
        return ""
