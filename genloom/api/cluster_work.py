"""Work of a workspace on the machines of a cluster: batches of outputs, and evaluations.

The functions here run in processes of other machines, which see the workspace under the same path.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from genloom.cluster import open_cluster
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.evaluations import Evaluation
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.cluster import Cluster
    from genloom.generate.decode import Draft
    from genloom.generate.engine import Request
    from genloom.model import Model as LoadedModel

    GeneratedBatch = tuple[Request, Draft, list[dict[str, Any]]]  # its request as it ran, and notes on its rows
    GenerateBatches = Callable[[Sequence[Request]], Iterator[GeneratedBatch]]


@dataclass(frozen=True)
class ModelPlace:
    """Where a machine finds a model: the workspace, and what of it is loaded."""

    address: str
    ledger: str
    ref: str
    adapters: tuple[str, ...]
    precision: str

    @staticmethod
    def of(workspace: "Workspace", ref: str, adapters: Sequence[str] = (), precision: str = "") -> "ModelPlace":
        """Return the place of a version of a model of the workspace."""
        return ModelPlace(workspace.address, workspace.ledger_url, ref, tuple(adapters), precision)


def check_shared_workspace(cluster: "Cluster", workspace: "Workspace") -> None:
    """Raise GenloomError if a machine of the cluster does not see the workspace."""
    address = workspace.address
    for is_there in cluster.map_tasks(has_workspace, [(address,)] * cluster.num_processors, "check of the workspace"):
        if not is_there:
            raise GenloomError("cluster.workspace_not_shared", path=address)


def has_workspace(address: str) -> bool:
    """Return whether this machine sees the workspace; raise GenloomError if it cannot use its storage."""
    from pathlib import Path

    from genloom.store.mirror import is_address
    from genloom.store.storage import open_storage

    if is_address(address):
        open_storage(address).get_token("workspace")
        return True
    return Path(address).is_dir()


@contextmanager
def open_generator(
    address: str,
    workspace: "Workspace",
    model: "LoadedModel",
    adapters: Sequence[str],
    is_chat: bool,
    is_marked: bool,
) -> "Generator[GenerateBatches]":
    """Connect to a cluster; yield the function that generates batches on its machines, and yields them in order.

    Outputs are a function of their batch, so that they are those that this machine would generate.
    """
    place = ModelPlace.of(workspace, model.ref, adapters, model.precision)
    with open_cluster(address) as cluster:
        check_shared_workspace(cluster, workspace)

        def generate_batches(batches: "Sequence[Request]") -> "Iterator[GeneratedBatch]":
            arguments = [(place, batch, is_chat, is_marked) for batch in batches]
            return cluster.map_tasks(generate_batch, arguments, "batch", num_gpus=min(cluster.num_gpus, 1))

        yield generate_batches


def generate_batch(place: ModelPlace, batch: "Request", is_chat: bool, is_marked: bool) -> "GeneratedBatch":
    """Generate a batch on this machine, whose process keeps the model for the next one."""
    from genloom.api.generation import GenerationProgress, iter_batch

    workspace, model = open_place(place)
    progress = GenerationProgress(0, 1, len(batch.prompts), None, is_streamed=False)
    steps = iter_batch(workspace, model.load(place.adapters, place.precision), batch, progress, is_chat, is_marked)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            request, draft, row_metadata = end.value
            values, continuations = list(draft.values), list(draft.continuations)  # decoded here
            return request, replace(draft, values=values, continuations=continuations), row_metadata


def evaluate_on(address: str, model: "Model", arguments: Mapping[str, Any]) -> "Evaluation":
    """Evaluate a model on one of the machines of a cluster; takes the arguments of `Model.evaluate`."""
    place = ModelPlace.of(model.workspace, model.ref)
    with open_cluster(address) as cluster:
        check_shared_workspace(cluster, model.workspace)
        num_gpus = min(cluster.num_gpus, 1)
        (evaluation,) = cluster.map_tasks(evaluate_there, [(place, dict(arguments))], "evaluation", num_gpus)
    return evaluation


def evaluate_there(place: ModelPlace, arguments: Mapping[str, Any]) -> "Evaluation":
    """Evaluate a model on this machine."""
    _, model = open_place(place)
    return model.evaluate(progress=False, **arguments)


@lru_cache(maxsize=1)
def open_place(place: ModelPlace) -> "tuple[Workspace, Model]":
    """Return the workspace and the model of a place; the last one stays loaded."""
    from genloom.api.workspace import Workspace

    workspace = Workspace(place.address, ledger=place.ledger)
    return workspace, workspace.model(place.ref)
