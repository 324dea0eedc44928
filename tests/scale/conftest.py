"""A cluster of two machines, which are processes of this one; `make test-scale` installs what it needs."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from genloom.cluster import import_ray

# Processes that are killed leave sockets and files behind, which Python warns about when they are collected.
IGNORED = ("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/scale" in str(item.path):
            item.add_marker(pytest.mark.slow)
            for warning in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning))
            if find_spec("ray") is None:
                item.add_marker(pytest.mark.skip(reason="Ray is not installed: make test-scale"))


@pytest.fixture(scope="session")
def two_machines() -> Iterator[Any]:
    """Start two machines with one processor each, and connect to them; tests may kill the second."""
    ray = import_ray()
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # else other work of this machine goes before the tests
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    ray.init(machines.address, log_to_driver=False)
    yield machines
    ray.shutdown()
    machines.shutdown()


@pytest.fixture
def machines(two_machines: Any) -> Any:
    """The two machines; the second is started again if a test has killed it."""
    if not two_machines.worker_nodes:
        two_machines.add_node(num_cpus=1)
    two_machines.wait_for_nodes()
    return two_machines
