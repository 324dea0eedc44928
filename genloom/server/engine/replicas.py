"""Engines on the machines of a cluster, which the server sees as one engine.

Each is an actor of Ray with a process of its own. They need the workspace under the same path on every machine, or in
a bucket.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from genloom.api.workspace import Workspace
from genloom.cluster import describe_cluster, describe_fault, import_ray
from genloom.server.engine.client import LAST_EVENTS, MAX_REQUESTS, Engine, OpenRequest

STATE_SECONDS = 2.0  # between two looks at the state of the replicas
logger = logging.getLogger("genloom.cluster")


class EngineReplica:
    """An engine on a machine of the cluster; it starts with its first request, also after the machine was lost."""

    def __init__(self, address: str, ledger: str) -> None:
        self._engine = Engine(Workspace(address, ledger=ledger))
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the engine if it does not run yet."""
        async with self._lock:
            if self._engine.state()["state"] != "running":
                await self._engine.start()

    async def exchange(self, id: str, message: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a message to the engine, and yield what it sends for its id."""
        await self.start()
        async with aclosing(self._engine.exchange_tables(id, message)) as tables:
            async for table in tables:
                yield table

    async def cancel(self, id: str) -> None:
        """End a request within one step."""
        self._engine.cancel(id)

    async def state(self) -> dict[str, Any]:
        """Return the state of the engine."""
        return self._engine.state()

    async def stop(self) -> None:
        """End the engine."""
        await self._engine.stop()


@dataclass(eq=False)
class _Replica:
    """A replica as the server sees it."""

    number: int
    actor: Any
    num_open: int = 0
    last_model: str = ""
    is_lost: bool = False  # until it answers again
    state: Mapping[str, Any] | None = None


class ReplicatedEngine(Engine):
    """Several engines on a cluster that is connected; a request goes to the one with the fewest open requests.

    The requests of a replica that dies end with an error; Ray starts it again.
    """

    def __init__(
        self, workspace: Workspace, config: Any = None, num_replicas: int = 1, max_requests: int = MAX_REQUESTS
    ) -> None:
        super().__init__(workspace, config, max_requests * num_replicas)
        self._num_replicas = num_replicas
        self._replicas: list[_Replica] = []
        self._places: dict[str, _Replica] = {}  # of open requests

    async def start(self) -> None:
        """Start the replicas, spread over the machines."""
        ray, has_gpus = import_ray(), describe_cluster().num_gpus > 0
        actor_class = ray.remote(
            num_cpus=1, num_gpus=int(has_gpus), max_restarts=-1, max_concurrency=self.max_requests + 16,
            scheduling_strategy="SPREAD",
        )(EngineReplica)  # fmt: skip
        address, ledger = self.workspace.address, self.workspace.ledger_url
        self._replicas = [_Replica(n + 1, actor_class.remote(address, ledger)) for n in range(self._num_replicas)]
        for replica in self._replicas:
            replica.actor.start.remote()
        self._keeper = asyncio.create_task(self._keep_looking())

    async def stop(self) -> None:
        """End the replicas, and their requests with an error."""
        ray = import_ray()
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        for replica in self._replicas:
            with suppress(ray.exceptions.RayError, TimeoutError):
                await asyncio.wait_for(replica.actor.stop.remote(), 5.0)
            ray.kill(replica.actor)
        self._replicas = []

    close = stop

    def cancel(self, id: str) -> None:
        """End a request within one step; its generator finishes, with what was kept of it."""
        if (replica := self._places.get(id)) is not None:
            replica.actor.cancel.remote(id)

    async def exchange_tables(self, id: str, message: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a message to a replica, and yield what it sends for its id; closing the generator cancels it."""
        ray = import_ray()
        model = str(message.get("model", ""))
        replica = self._places[id] = self._choose_replica(model)
        request = self._open[id] = OpenRequest(id)
        replica.num_open += 1
        replica.last_model = model
        try:
            stream = replica.actor.exchange.options(num_returns="streaming").remote(id, dict(message))
            async for reference in stream:
                table = await reference
                request.is_done = table["event"] in LAST_EVENTS
                yield table
        except ray.exceptions.RayError as error:
            logger.warning(
                "engine %d: %s; its requests end, and it starts again", replica.number, describe_fault(error)
            )
            request.is_done = replica.is_lost = True
            yield {"event": "died"}
        finally:
            replica.num_open -= 1
            self._open.pop(id, None)
            self._places.pop(id, None)
            if not request.is_done:
                replica.actor.cancel.remote(id)

    def state(self) -> dict[str, Any]:
        """Return the loaded models with their bytes, and how many requests run and wait, of all replicas."""
        states = [replica.state for replica in self._replicas if replica.state is not None]
        is_running = bool(states) and any(state["state"] == "running" for state in states)
        return {
            "state": "running" if is_running else "stopped",
            "pid": None,
            "starts": sum(state["starts"] for state in states),
            "models": [model for state in states for model in state["models"]],
            "steps": sum(state["steps"] for state in states),
            "queue": {
                "active": sum(state["queue"]["active"] for state in states),
                "open": len(self._open),
                "limit": self.max_requests,
            },
        }

    def _choose_replica(self, model: str) -> _Replica:
        """Return the replica with the fewest open requests, of those the one that used the model last.

        One that was lost is only chosen where no other is left.
        """

        def rank(replica: _Replica) -> tuple[bool, int, bool, int]:
            return replica.is_lost, replica.num_open, replica.last_model != model, replica.number

        return min(self._replicas, key=rank)

    async def _keep_looking(self) -> None:
        """Ask the replicas for their state again and again."""
        ray = import_ray()
        while True:
            for replica in self._replicas:
                try:
                    replica.state = await asyncio.wait_for(replica.actor.state.remote(), STATE_SECONDS)
                    replica.is_lost = False
                except (ray.exceptions.RayError, TimeoutError):
                    replica.state = None
            await asyncio.sleep(STATE_SECONDS)
