"""What others wrote in the studio: every file has a version, licence and digest, and the first page stays small."""

import gzip
import hashlib
import re
import tomllib

from genloom.studio import FOLDER

VENDOR = FOLDER / "vendor"
FILES = tomllib.loads((VENDOR / "vendor.toml").read_text())["file"]
MAX_FIRST_PAGE_BYTES = 120_000  # of script, compressed
PERMISSIVE = {"MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "(MPL-2.0 OR Apache-2.0)"}


def test_every_vendored_file_has_the_digest_in_the_table() -> None:
    digests = {each["name"]: each["sha256"] for each in FILES}
    found = {path.name: path for path in VENDOR.iterdir() if path.suffix in {".js", ".css", ".woff2"}}
    assert digests.keys() == found.keys()
    assert digests == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}


def test_every_vendored_file_has_a_permissive_licence_with_its_text() -> None:
    texts = {path.stem.lower() for path in (VENDOR / "licences").iterdir()}
    for each in FILES:
        assert set(each["licences"]) <= PERMISSIVE, each["name"]
        for package in each["packages"]:
            name = package.split()[0].strip("@").replace("/", "-").removeprefix("fontsource-")
            assert name in texts, package


def list_static_imports(name: str, known: set[str]) -> set[str]:
    """Return the modules that a module needs before it runs."""
    if name in known:
        return known
    known.add(name)
    source = (FOLDER / name).read_text()
    for path in re.findall(r"""^(?:import|export)\b[^'"`;()]*?['"](\.[^'"]+)['"]""", source, re.MULTILINE):
        target = (FOLDER / name).parent.joinpath(path).resolve().relative_to(FOLDER)
        list_static_imports(str(target), known)
    return known


def test_the_first_page_loads_at_most_120_kB_of_script() -> None:
    first = ["core/early.js", "core/events-worker.js", "main.js", "shell/shell.js", "pages/make.js"]
    first += ["viewers/text.js", "viewers/image.js"]
    modules: set[str] = set()
    for name in first:
        list_static_imports(name, modules)
    assert {"vendor/lit.js", "components/mask-editor.js"} <= modules
    assert not modules & {"vendor/markdown.js", "vendor/uplot.js", "vendor/highlight.js"}
    size = sum(len(gzip.compress((FOLDER / name).read_bytes(), 6)) for name in modules)
    assert size <= MAX_FIRST_PAGE_BYTES, f"{size} bytes in {len(modules)} modules"


def test_the_chat_loads_at_most_120_kB_of_script() -> None:
    modules: set[str] = set()
    for name in ["core/early.js", "core/events-worker.js", "main.js", "shell/shell.js", "pages/chat.js"]:
        list_static_imports(name, modules)
    assert "vendor/markdown.js" in modules
    assert sum(len(gzip.compress((FOLDER / name).read_bytes(), 6)) for name in modules) <= MAX_FIRST_PAGE_BYTES


def test_no_file_of_the_studio_names_another_host() -> None:
    known = ("http://www.w3.org/2000/svg", "http://127.0.0.1", "https://example")
    for path in FOLDER.rglob("*"):
        if path.suffix not in {".js", ".css", ".html", ".json", ".svg"} or "vendor" in path.parts:
            continue
        for address in re.findall(r"https?://[^\s'\"`)<]+", path.read_text()):
            assert address.startswith(known), f"{path.relative_to(FOLDER)}: {address}"


def test_no_page_writes_styles_or_scripts_that_the_policy_refuses() -> None:
    for path in FOLDER.rglob("*"):
        if path.suffix not in {".js", ".html"} or "vendor" in path.parts:
            continue
        source = path.read_text()
        assert not re.search(
            r"\sstyle=[\"'$]|styleMap|innerHTML|outerHTML|insertAdjacentHTML|unsafeHTML|\bon[a-z]+=\"", source
        ), path
        assert not re.search(r"\beval\(|new Function\(|document\.write\(", source), path
