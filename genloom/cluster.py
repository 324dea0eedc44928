"""Clusters of machines: functions run on them as tasks of Ray, in order, and again if their machine is lost.

Nothing of Ray is imported until a cluster is opened.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from genloom import __version__
from genloom.errors import GenloomError

Result = TypeVar("Result")
LOCAL = "ray"  # the cluster of RAY_ADDRESS, else processes of this machine
SCHEME = "ray://"  # of the address of a head: ray://HOST:10001
MAX_ATTEMPTS = 4  # at a task whose machine or process is lost
MAX_QUEUED_PER_PROCESSOR = 2
OBJECT_STORE_BYTES = 256 << 20  # of a local cluster; more is spilled to the disk
EXTRA = "genloom[scale]"
logger = logging.getLogger("genloom.cluster")


@dataclass
class Cluster:
    """An open cluster; `faults` lists what was lost and run again."""

    num_processors: int
    num_gpus: int = 0
    faults: list[str] = field(default_factory=list)

    def map_tasks(
        self, function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], name: str, num_gpus: float = 0
    ) -> Iterator[Result]:
        """Run a module's function with each of the arguments on the machines; yield the results in order.

        A task whose process or machine is lost runs again, elsewhere if need be, and is named in the log; an error of
        the function itself is raised. `name` is the word for a task.
        """
        ray = import_ray()
        remote = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=0)(function)
        pending: deque[tuple[int, tuple[Any, ...], Any]] = deque()
        for number, given in enumerate(arguments, 1):
            pending.append((number, given, remote.remote(*given)))
            if len(pending) > MAX_QUEUED_PER_PROCESSOR * self.num_processors:
                yield self._wait_for(remote, *pending.popleft(), name)
        while pending:
            yield self._wait_for(remote, *pending.popleft(), name)

    def _wait_for(self, remote: Any, number: int, given: tuple[Any, ...], reference: Any, name: str) -> Any:
        ray = import_ray()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise explain_task_error(error) from error
            except ray.exceptions.RayError as error:
                reason = describe_fault(error)
                if attempt == MAX_ATTEMPTS:
                    raise GenloomError(
                        "cluster.task_lost", task=f"{name} {number}", count=MAX_ATTEMPTS, reason=reason
                    ) from error
                self.report_fault(f"{name} {number} was lost ({reason}) and runs again")
                reference = remote.remote(*given)
        raise AssertionError("the last attempt either returned or raised")

    def report_fault(self, text: str) -> None:
        """Record a fault, and name it in the log."""
        self.faults.append(text)
        logger.warning(text)


@contextmanager
def open_cluster(address: str) -> Generator[Cluster]:
    """Connect to a cluster: "ray", or "ray://HOST:10001" for the one of that head.

    "ray" is the cluster of the environment variable RAY_ADDRESS, else one of processes of this machine, which end with
    the block. Raises GenloomError for another address, without Ray, and where nothing answers or a token is asked for.
    """
    check_address(address)
    ray = import_ray()
    if ray.is_initialized():  # by the program that called us
        yield describe_cluster()
        return
    is_local = address == LOCAL and not os.environ.get("RAY_ADDRESS")
    try:
        if is_local:
            ray.init(
                "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
            )  # fmt: skip
        else:
            ray.init(
                os.environ["RAY_ADDRESS"] if address == LOCAL else address,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ray.exceptions.RayError, RuntimeError, TimeoutError) as error:
        if is_without_token(error):
            raise GenloomError("cluster.no_token", address=address) from error
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise GenloomError("cluster.no_answer", address=address, reason=reason) from error
    try:
        cluster = describe_cluster()
        if not is_local:
            check_version(cluster)
        yield cluster
    finally:
        ray.shutdown()


@contextmanager
def open_optional_cluster(address: str) -> Generator[Cluster | None]:
    """Connect to a cluster as `open_cluster` does; None for "", which is this machine alone."""
    if not address:
        yield None
        return
    with open_cluster(address) as cluster:
        yield cluster


def check_address(address: str) -> None:
    """Raise GenloomError for an address that is neither "ray" nor that of a head."""
    if address != LOCAL and not (address.startswith(SCHEME) and len(address) > len(SCHEME)):
        raise GenloomError("cluster.bad_address", value=address)


@cache
def import_ray() -> Any:
    """Return the module of Ray, which sends no statistics about its use; raise GenloomError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning about GPUs, also without any
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    try:
        ray = import_module("ray")
        import_module("ray.exceptions")
    except ImportError as error:
        raise GenloomError("cluster.not_installed", extra=EXTRA) from error
    return ray


def is_without_token(error: BaseException | None) -> bool:
    """Return whether a connection failed since the cluster asks for a token, as only the first of its errors says."""
    while error is not None:
        if "AuthenticationError" in f"{type(error).__name__}: {error}":
            return True
        error = error.__cause__
    return False


def describe_cluster() -> Cluster:
    """Return the size of the cluster that is connected."""
    resources = import_ray().cluster_resources()
    return Cluster(max(int(resources.get("CPU", 1)), 1), int(resources.get("GPU", 0)))


def check_version(cluster: Cluster) -> None:
    """Raise GenloomError if a machine of the cluster has another version of Genloom, or none."""
    ray = import_ray()
    try:
        (version,) = cluster.map_tasks(get_version, [()], "check of the version")
    except GenloomError:
        raise
    except ray.exceptions.RayError as error:
        raise GenloomError("cluster.other_version", found=describe_fault(error), expected=__version__) from error
    if version != __version__:
        raise GenloomError("cluster.other_version", found=version, expected=__version__)


def get_version() -> str:
    """Return the version of Genloom on the machine that runs this."""
    return __version__


def explain_task_error(error: Any) -> Exception:
    """Return the error that a task raised; GenloomError if its machine has no Genloom."""
    cause = error.cause
    if isinstance(cause, ModuleNotFoundError) and str(cause.name).split(".")[0] == "genloom":
        return GenloomError("cluster.other_version", found="none", expected=__version__)
    return cause if isinstance(cause, Exception) else error


def describe_fault(error: Exception) -> str:
    """Return in a few words what happened to the process or machine of a task."""
    ray = import_ray()
    reasons = {
        ray.exceptions.OutOfMemoryError: "its machine was out of memory",
        ray.exceptions.NodeDiedError: "its machine left the cluster",
        ray.exceptions.OutOfDiskError: "the disk of its machine is full",
        ray.exceptions.ObjectStoreFullError: "the object store of its machine is full",
        ray.exceptions.ObjectLostError: "its result was lost with a machine",
        ray.exceptions.WorkerCrashedError: "its process ended unexpectedly",
        ray.exceptions.RayActorError: "its process ended unexpectedly",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), str(error).splitlines()[0])
