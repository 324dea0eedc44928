"""The process: `python -m genloom.server.worker.process WORKSPACE` answers questions, a line of JSON each."""

import json
import os
import signal
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import Any

from genloom.errors import GenloomError, format_message
from genloom.option_names import set_caller

NICENESS = 5


def main() -> None:
    set_caller("http")
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints does not disturb the answers
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=read_requests, args=(requests,), daemon=True).start()
    from genloom.api.workspace import Workspace
    from genloom.server.worker.questions import QUESTIONS

    workspace = Workspace(sys.argv[1], progress=False)
    while True:
        request = requests.get()
        answer: dict[str, Any]
        try:
            answer = {"answer": QUESTIONS[request["question"]](workspace, **request["values"])}
        except GenloomError as error:
            from genloom.server.errors import hide_paths

            answer = {"code": error.code, "message": hide_paths(error)}
        except Exception:
            traceback.print_exc()
            answer = {"code": "studio.worker_failed", "message": format_message("studio.worker_failed")}
        output.write(json.dumps({"number": request["number"], **answer}) + "\n")
        output.flush()


def read_requests(requests: "SimpleQueue[dict[str, Any]]") -> None:
    """Take requests; when the server is gone, end at once."""
    for line in sys.stdin:
        requests.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
