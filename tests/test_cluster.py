"""The addresses of clusters, their errors, and that nothing of Ray is loaded without one."""

import sys
from importlib.util import find_spec

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


def test_workers_and_a_cluster_contradict_each_other(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "a.txt").write_text("A note.")
    with raises_code("api.workers_with_cluster"):
        Workspace(folder / "w").collect(folder, workers=2, on="ray")


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_the_faults_of_ray_have_words() -> None:
    ray = cluster.import_ray()
    assert cluster.describe_fault(ray.exceptions.NodeDiedError("x")) == "its machine left the cluster"
    assert cluster.describe_fault(ray.exceptions.WorkerCrashedError()) == "its process ended unexpectedly"
    assert cluster.describe_fault(ValueError("one\ntwo")) == "one"
