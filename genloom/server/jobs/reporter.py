"""Reports of the job process to the server."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any, TextIO


@dataclass
class Reporter:
    """Reports of one job's work, and the answer whether it should stop."""

    stream: TextIO
    cancelled: threading.Event = field(default_factory=threading.Event)

    def send(self, type: str, **data: Any) -> None:
        self.stream.write(json.dumps({"type": type, **data}, default=str) + "\n")
        self.stream.flush()

    def progress(self, **progress: Any) -> None:
        self.send("progress", progress=progress)

    def note(self, text: str) -> None:
        self.send("note", text=text)

    def remember(self, **notes: Any) -> None:
        """Tell the server what a second attempt must know."""
        self.send("remember", notes=notes)
