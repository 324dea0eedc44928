"""Processes that the server starts: their environment, and their end with everything that they have started."""

import asyncio
import contextlib
import os
import signal

from genloom.api.workspace import Workspace


def build_environment(workspace: Workspace) -> dict[str, str]:
    """Return the environment of a process that works on the same workspace, with the same ledger."""
    return {**os.environ, **({"GENLOOM_LEDGER": url} if (url := workspace.ledger_url) else {})}


def kill_process(process: asyncio.subprocess.Process | None) -> None:
    """End a process with everything that it has started; None and one that has ended stay as they are."""
    if process is not None and process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
