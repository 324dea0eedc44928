"""The addresses of clusters, their errors, and that nothing of Ray is loaded without one."""

import ast
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from genloom import cluster
from genloom.api.workspace import Workspace
from tests.errors import raises_code


@pytest.mark.parametrize("address", ["", "local", "ray:", "ray://", "http://head:10001", "Ray"])
def test_other_addresses_are_refused(address: str) -> None:
    with raises_code("cluster.bad_address", value=address):
        cluster.check_address(address)


@pytest.mark.parametrize("address", ["ray", "ray://head:10001"])
def test_addresses_of_ray_are_accepted(address: str) -> None:
    cluster.check_address(address)
    assert (address == cluster.LOCAL) != address.startswith(cluster.SCHEME)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    cluster.import_ray.cache_clear()
    with raises_code("cluster.not_installed") as caught, cluster.open_cluster("ray"):
        pass
    assert "pip install 'genloom[scale]'" in str(caught.value)
    cluster.import_ray.cache_clear()


def test_no_cluster_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "import_ray", lambda: pytest.fail("Ray was loaded"))
    with cluster.open_optional_cluster("") as found:
        assert found is None


def test_nothing_of_ray_is_imported_without_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("A note on the sea, and another one on the weather.")
    monkeypatch.setitem(sys.modules, "ray", None)  # an import of it would raise
    assert Workspace(tmp_path / "w").collect(source).report["documents"]["kept"] == 1
    package = Path(cluster.__file__).parent
    texts = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    importing = {
        name
        for name, text in texts.items()
        if re.search(r"\bray\b", text)
        for node in ast.walk(ast.parse(text))
        if any(module.split(".")[0] == "ray" for module in list_imported(node))
    }
    assert importing == {"cluster.py", "train/cluster.py"}, "only the functions there that open a cluster"


def list_imported(node: ast.AST) -> list[str]:
    """Return the modules that a statement or a call of import_module names."""
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case ast.Call(ast.Name("import_module"), [ast.Constant(str(name))]):
            return [name]
    return []


def test_workers_and_a_cluster_contradict_each_other(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "a.txt").write_text("A note.")
    with raises_code("api.workers_with_cluster"):
        Workspace(folder / "w").collect(folder, workers=2, on="ray")


def test_a_missing_token_is_told_by_the_first_of_several_errors() -> None:
    first = RuntimeError("Failed to connect to GCS.\nray.exceptions.AuthenticationError: InvalidAuthToken")
    last = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    assert not cluster.is_without_token(last)
    last.__cause__ = first
    assert cluster.is_without_token(last)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_the_faults_of_ray_have_words() -> None:
    ray = cluster.import_ray()
    assert cluster.describe_fault(ray.exceptions.NodeDiedError("x")) == "its machine left the cluster"
    assert cluster.describe_fault(ray.exceptions.WorkerCrashedError()) == "its process ended unexpectedly"
    assert cluster.describe_fault(ValueError("one\ntwo")) == "one"
