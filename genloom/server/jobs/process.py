"""The process that runs one job: `python -m genloom.server.jobs.process`.

The server writes the job as one line of JSON to standard input and, to stop it, a second line. The process writes what
happens to standard output, a line each (`Reporter`). When standard input ends, the server is gone, and the process ends
with everything that it has started; the next server queues the job again.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError, format_message
from genloom.option_names import set_caller
from genloom.server.jobs.outcomes import JobCancelled
from genloom.server.jobs.reporter import Reporter
from genloom.store import files

NICENESS = 10  # so that serving does not starve
AWAITED_NICENESS = 3  # of what somebody waits for
_FOLDERS = {"heavy": ""}  # of the lock of a lane; the others are named after it


def main() -> None:
    set_caller("http")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes standard input
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints does not disturb the messages
    job = json.loads(sys.stdin.readline())
    os.nice(NICENESS if job["lane"] == "heavy" else AWAITED_NICENESS)
    reporter = Reporter(output)
    threading.Thread(target=watch_server, args=(reporter,), daemon=True).start()
    try:
        # One of a lane at a time, also while the process of a server that was just killed ends.
        with files.lock_folder(Path(job["workspace"]) / "server" / _FOLDERS.get(job["lane"], job["lane"])):
            result = run(job, reporter)
    except JobCancelled:
        reporter.send("cancelled")
    except GenloomError as error:
        from genloom.server.errors import hide_paths

        reporter.send("error", message=hide_paths(error), code=error.code)
    except MemoryError:
        message = format_message("studio.job_out_of_memory")
        reporter.send("error", message=message, code="studio.job_out_of_memory")
    except Exception:
        traceback.print_exc()
        reporter.send("error", message=format_message("studio.job_failed"), code="studio.job_failed")
    else:
        reporter.send("result", result=result)
    output.close()
    sys.stderr.flush()
    os._exit(0)  # at once: libraries may wait for threads at exit


def watch_server(reporter: Reporter) -> None:
    """Wait for the request to stop; when the server is gone, end with all children."""
    while sys.stdin.readline():
        reporter.cancelled.set()
    os.killpg(0, signal.SIGKILL)


def run(job: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    from genloom.api.workspace import Workspace
    from genloom.server.jobs.work import WORK

    workspace = Workspace(job["workspace"], ledger=job["ledger"], rater=job["rater"], progress=False)
    return WORK[job["kind"]](workspace, job, reporter)


if __name__ == "__main__":
    main()
