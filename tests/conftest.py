"""Fixtures of all tests: one thread each, so that many run in parallel, toys, worlds and a PostgreSQL server."""

import gc
import importlib
import importlib.util
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from genloom.store.workspace import Workspace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GENLOOM_ERROR_CODES"] = "1"
# In the background of a script SIGINT is ignored, which processes of tests would inherit.
is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
if is_ignored and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and as much time as a busy machine takes for one.
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

SERVER = ("initdb", "postgres", "pg_ctl")


@pytest.fixture(scope="session", autouse=True)
def equal_marking_keys() -> Iterator[None]:
    """The marking key of every workspace is the same, so that a seed gives the same outputs in every run of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genloom.store.keys.draw_secret", lambda: bytes(range(32)))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waits_for_the_disk() -> Iterator[None]:
    """Nothing waits until the disk has stored it: that takes milliseconds each time, and no test loses power."""

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            cursor = super().execute(statement, *values)
            if statement.startswith("PRAGMA synchronous="):
                super().execute("PRAGMA synchronous=OFF")
            return cursor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        connect = partial(sqlite3.connect, factory=Connection)
        for module in (sqlite3, sqlite3.dbapi2):
            patch.setattr(module, "connect", connect)
        yield


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """tests/toys.py, loaded on demand: tests without torch do not wait for it."""
    return _load_module("toys")


@pytest.fixture(scope="session")
def worlds() -> ModuleType:
    """tests/worlds.py: small workspaces with data, runs and models."""
    return _load_module("worlds")


@pytest.fixture(scope="session")
def trained_home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> "Workspace":
    """A workspace with the trained models `tales` and `masks`, which all tests share and none changes."""
    return worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")


@pytest.fixture
def trained_copy(trained_home: "Workspace", tmp_path: Path) -> "Workspace":
    """A copy of its models and data in `tmp_path`, to write to and to damage."""
    for kind in ("models", "data"):
        shutil.copytree(trained_home.root / kind, tmp_path / kind)
    return type(trained_home)(tmp_path)


@pytest.fixture(scope="module")
def install_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, str], None]]:
    """Return a function that installs a package as pip would: its folder, and the metadata of its pyproject.toml."""
    with pytest.MonkeyPatch.context() as patch:

        def install(package: Path, pyproject: str) -> None:
            folder, project = tmp_path_factory.mktemp("installed"), tomllib.loads(pyproject)["project"]
            name, version = project["name"], project["version"]
            info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            lines: list[str] = []
            for group, offers in project["entry-points"].items():
                lines += [f"[{group}]", *(f"{part} = {module}" for part, module in offers.items())]
            (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
            patch.syspath_prepend(str(package))
            patch.syspath_prepend(str(folder))

        yield install


@pytest.fixture(scope="module")
def beeps(install_package: Callable[[Path, str], None]) -> ModuleType:
    """The plug-in medium of tests/media/beeps."""
    package = Path(__file__).parent / "media" / "beeps"
    install_package(package, (package / "pyproject.toml").read_text())
    return importlib.import_module("genloom_beeps")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server that is started for these tests from the system's package."""
    places = (os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
    programs = {name: shutil.which(name, path=os.pathsep.join(places)) for name in SERVER}
    if missing := [name for name, found in programs.items() if found is None]:
        pytest.skip(f"no PostgreSQL server here: {', '.join(missing)} not found (apt-get install postgresql)")
    # PostgreSQL refuses to run as root, and the path of its socket has at most about a hundred characters.
    root = os.geteuid() == 0
    nobody = pwd.getpwnam("nobody")
    user: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid} if root else {}
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if root:
        shutil.chown(folder, **user)

    def call(name: str, *arguments: str) -> None:
        command = [str(programs[name]), "-D", str(folder / "data"), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=600, **user)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    try:
        call("initdb", "--username=genloom", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        call("pg_ctl", "--wait", f"--log={folder}/log", f"-o -k {folder} -c listen_addresses=''", "start")
        try:
            yield f"postgresql://genloom@/postgres?host={folder}"
        finally:
            call("pg_ctl", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def team_ledger(server: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty ledger on that server."""
    import sqlalchemy as sql

    from genloom.store.ledger import open_ledger

    yield server
    engine = open_ledger(tmp_path, server).database.engine
    with engine.begin() as connection:
        connection.execute(sql.text("DROP TABLE IF EXISTS genloom_events"))
    engine.dispose()


def pytest_collection_finish() -> None:
    """What was collected stays until the end, and is not searched for garbage again and again."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `plain_toy`, `causal_network` or the like once for each name in that family of toys."""
    for family in metafunc.fixturenames:
        if family.endswith(("_toy", "_network")):
            metafunc.parametrize(family, _load_module("toys").FAMILIES[family])


@cache
def _load_module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"genloom_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
