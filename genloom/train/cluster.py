"""Training on a cluster: Ray Train starts a process for each rank, and all of them again after a failure.

Every rank runs the same training as one on this machine (`run.py`); they find each other through the environment. A
board, an actor of Ray, carries events to the program that started the run, and its wish to stop to the ranks.
"""

import os
import shutil
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from genloom.cluster import Cluster, describe_fault, import_ray
from genloom.errors import GenloomError, format_message
from genloom.store.workspace import Workspace
from genloom.train.events import Event, RunResult, RunStart, RunWarning, StepMetrics
from genloom.train.request import TrainRequest

MAX_IDLE_STARTS = 3
MAX_FAILURES = 100  # of machines and processes; a rank that is lost loses at most the steps since the last checkpoint
POLL_SECONDS = 0.5
STOP_SECONDS = 300.0  # that ranks have to finish their step and save
END_SECONDS = 120.0  # that Ray Train has to give the processors of the ranks back, once the last event is there
LOG_FOLDER = "cluster"  # of the workspace, where Ray Train keeps its own notes on a run


@dataclass(frozen=True)
class ClusterJob:
    """The job of a rank: the workspace, the request, and how many ranks there are."""

    folder: str  # of the workspace
    request: TrainRequest
    num_ranks: int
    has_gpus: bool


@dataclass(frozen=True)
class ClusterFault:
    """A loss of ranks, in words."""

    text: str


@dataclass
class Board:
    """The messages between the ranks and the program that started them; it runs as an actor."""

    events: list[Any] = field(default_factory=list)
    run: str = ""
    num_starts: int = 0
    num_idle_starts: int = 0  # in a row, without a step between two of them
    last_fault: str = ""
    is_stop_requested: bool = False
    placement_groups: list[Any] = field(default_factory=list)  # of each start: they hold the processors of the ranks

    def begin_attempt(self, placement_group: Any) -> tuple[str, int, str]:
        """Count a start of all ranks; return the run to continue, "" for a new one, and the number of starts.

        If several starts led to no step, also return the last fault, which another start would not mend.
        """
        self.placement_groups.append(placement_group)
        self.num_starts += 1
        self.num_idle_starts += 1
        return self.run, self.num_starts, self.last_fault if self.num_idle_starts > MAX_IDLE_STARTS else ""

    def add_event(self, event: Any) -> bool:
        """Add an event, or an error that ends the run; return whether the run is to stop."""
        match event:
            case RunStart(run):
                self.run = run
            case StepMetrics():
                self.num_idle_starts = 0
            case ClusterFault(text):
                self.last_fault = text
        self.events.append(event)
        return self.is_stop_requested

    def take_events(self) -> list[Any]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def get_placement_groups(self) -> list[Any]:
        """Return the placement groups of all starts."""
        return self.placement_groups

    def request_stop(self) -> None:
        """Ask the ranks to save and stop after a step."""
        self.is_stop_requested = True


def train_on_cluster(workspace: Workspace, request: TrainRequest, cluster: Cluster, num_ranks: int) -> Generator[Event]:
    """Train as `train_model` does, with ranks on the machines of a cluster that is connected; yield the same events.

    Closing the iterator lets the ranks save and stop. Raises GenloomError if the cluster has too few processors or
    GPUs, or loses ranks too often.
    """
    ray = import_ray()
    available = cluster.num_gpus or cluster.num_processors
    if num_ranks > available:
        devices = "GPUs" if cluster.num_gpus else "processors"
        raise GenloomError("train.cluster_too_small", ranks=num_ranks, available=available, devices=devices)
    job = ClusterJob(str(workspace.root.resolve()), request, num_ranks, cluster.num_gpus > 0)
    board = ray.remote(num_cpus=0)(Board).remote()
    training = ray.remote(num_cpus=0, max_retries=0)(run_trainer).remote(job, board)
    try:
        yield from follow_board(cluster, board, training)
    finally:
        if not ray.wait([training], timeout=END_SECONDS)[0]:
            # A trainer that is cancelled leaves its processors to a watch that few clusters have: the next run would
            # wait for them for ever.
            placement_groups = ray.get(board.get_placement_groups.remote())
            ray.cancel(training, force=True, recursive=True)
            for placement_group in placement_groups:
                ray.util.remove_placement_group(placement_group)
        ray.kill(board)


def follow_board(cluster: Cluster, board: Any, training: Any) -> Generator[Event]:
    """Yield the events of the board until the run has ended; raise the error that it ended with."""
    ray = import_ray()
    has_ended = False
    try:
        while not has_ended:
            has_ended = bool(ray.wait([training], timeout=POLL_SECONDS)[0])
            for event in ray.get(board.take_events.remote()):
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, ClusterFault):
                    cluster.report_fault(event.text)
                    event = RunWarning(event.text)
                yield event
                if isinstance(event, RunResult):
                    return
        ray.get(training)
    except GeneratorExit:
        board.request_stop.remote()
        ray.wait([training], timeout=STOP_SECONDS)
        raise
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise GenloomError("train.cluster_failed", reason=describe_fault(cause)) from error


def run_trainer(job: ClusterJob, board: Any) -> None:
    """Let Ray Train run the ranks, from a process of the cluster; it starts all again when one of them is lost."""
    os.environ |= {"RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_TRAIN_METRICS_ENABLED": "0"}
    train: Any = import_module("ray.train")
    trainer_class: Any = import_module("ray.train.v2.api.data_parallel_trainer").DataParallelTrainer
    storage = os.path.join(job.folder, LOG_FOLDER)
    name = f"run-{time.time_ns()}"
    trainer = trainer_class(
        run_cluster_rank,
        train_loop_config={"job": job, "board": board},
        scaling_config=train.ScalingConfig(num_workers=job.num_ranks, use_gpu=job.has_gpus),
        run_config=train.RunConfig(
            name=name, storage_path=storage, failure_config=train.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[build_fault_callback(board)],
        ),
    )  # fmt: skip
    try:
        trainer.fit()
    finally:
        shutil.rmtree(os.path.join(storage, name), ignore_errors=True)


def build_fault_callback(board: Any) -> Any:
    """Return the callback that names lost ranks on the board."""
    callback_class: Any = import_module("ray.train").UserCallback

    class FaultCallback(callback_class):
        """Names lost ranks."""

        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            for rank, error in sorted(worker_exceptions.items()):
                cause = getattr(error, "cause", None) or error
                reason = describe_fault(cause)
                board.add_event.remote(
                    ClusterFault(format_message("train.cluster_rank_lost", rank=rank, reason=reason))
                )

    return FaultCallback()


def run_cluster_rank(config: dict[str, Any]) -> None:
    """Train as one rank of a run, on the machine where Ray Train has started it."""
    ray, job, board = import_ray(), config["job"], config["board"]
    context: Any = import_module("ray.train").get_context()
    broadcast: Any = import_module("ray.train.collective").broadcast_from_rank_zero
    is_main = context.get_world_rank() == 0
    given = [find_address(), *ray.get(board.begin_attempt.remote(find_placement_group()))] if is_main else None
    (address, port), run, num_starts, reason = broadcast(given)
    if reason:
        if is_main:
            ray.get(board.add_event.remote(GenloomError("train.cluster_failed", reason=reason)))
        return
    os.environ |= {
        "RANK": str(context.get_world_rank()),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }
    request = replace(job.request, data=run, should_resume=True, steps=0) if run else job.request
    if is_main and num_starts > 1:
        board.add_event.remote(ClusterFault(format_message("train.cluster_restarted", count=num_starts - 1)))
    try:
        follow_training(Workspace(Path(job.folder)), request, board)
    except GenloomError as error:  # of the job or the machine, which another attempt would meet again
        ray.get(board.add_event.remote(error))


def follow_training(workspace: Workspace, request: TrainRequest, board: Any) -> None:
    """Run the events of a rank; the main one puts them on the board, and all stop after the same step."""
    from genloom.train.parallel.group import join_group
    from genloom.train.run import train_model

    ray = import_ray()
    with join_group() as group:
        events = train_model(workspace, request)
        should_stop, asked_at = False, time.monotonic()
        for event in events:
            if not isinstance(event, StepMetrics):
                if group.is_main:
                    should_stop = ray.get(board.add_event.remote(event)) or should_stop
                continue
            if group.is_main and (time.monotonic() - asked_at > POLL_SECONDS or event.step == event.steps):
                should_stop, asked_at = ray.get(board.add_event.remote(event)), time.monotonic()
            if group.broadcast(should_stop):
                events.close()
                return


def find_placement_group() -> Any:
    """Return the placement group of this process, which holds the processors of all ranks."""
    return import_ray().util.get_current_placement_group()


def find_address() -> tuple[str, int]:
    """Return the address of this machine, and a port that is free there."""
    address = import_ray().util.get_node_ip_address()
    with socket.socket() as listener:
        listener.bind((address, 0))
        return address, listener.getsockname()[1]
