"""The process of the engine: messages come in by standard input, events leave by what was standard output."""

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

from genloom.memory import give_back_memory
from genloom.option_names import set_caller
from genloom.server.engine.messages import to_frame

IDLE_SECONDS = 3.0  # after which memory that the last requests needed is given back


class Outbox:
    """Events for the server: those of one step together, from any thread, in order."""

    def __init__(self, stream: BinaryIO):
        self.stream, self.lock, self.pending = stream, threading.Lock(), list[dict[str, Any]]()

    def send(self, table: dict[str, Any]) -> None:
        """Send an event; those of the main thread wait for the end of its step."""
        with self.lock:
            self.pending.append(table)
        if threading.current_thread() is not threading.main_thread():
            self.flush()

    def flush(self) -> None:
        with self.lock:
            if self.pending:
                self.stream.write(to_frame(self.pending))
                self.stream.flush()
                self.pending = []


def read_messages(stream: BinaryIO, inbox: "queue.SimpleQueue[Mapping[str, Any] | None]") -> None:
    """Put the server's messages into the inbox, and None when it has closed the pipe or died."""
    while True:
        header = stream.read(4)
        body = stream.read(int.from_bytes(header, "little")) if len(header) == 4 else b""
        if not body:
            inbox.put(None)
            return
        inbox.put(json.loads(body))


def wait_for_message(inbox: "queue.SimpleQueue[Mapping[str, Any] | None]") -> Mapping[str, Any] | None:
    """Return the next message; if none comes for a while, memory is given back meanwhile."""
    try:
        return inbox.get(timeout=IDLE_SECONDS)
    except queue.Empty:
        give_back_memory()
        return inbox.get()


def run(folder: str) -> None:
    """Work until the server closes the pipe."""
    set_caller("http")
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    inbox: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=read_messages, args=(sys.stdin.buffer, inbox), name="genloom-reading", daemon=True).start()

    from genloom import plugins
    from genloom.api.workspace import Workspace
    from genloom.server.engine.scheduler import Scheduler
    from genloom.waiting import watch_processors

    watch_processors()
    plugins.remember_entry_points()
    outbox = Outbox(output)
    workspace = Workspace(folder)
    workspace.store.release_dead_outputs()
    scheduler = Scheduler(workspace, outbox.send, lambda: inbox.put({"kind": "wake"}))
    while True:
        outbox.flush()
        while not scheduler.has_work or not inbox.empty():
            message = wait_for_message(inbox)
            if message is None:
                os._exit(0)
            scheduler.receive(message)
            outbox.flush()
        scheduler.step()


if __name__ == "__main__":
    run(sys.argv[1])
