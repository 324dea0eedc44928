"""The progress log of a run: JSON lines for charts and scripts; a resumed run continues it at its own step."""

import json
from collections import deque
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from genloom.store.files import translate_errors, write_atomic
from genloom.train.events import EvalMetrics, StepMetrics


class ProgressLog:
    """`progress.jsonl`: one row per logged step or evaluation; no step occurs twice."""

    def __init__(self, path: Path, step: int, is_written: bool = True):
        """Drop the rows that an earlier process wrote after `step`: those steps are repeated.

        One process of a run writes its log.
        """
        rows = [row for row in read_log(path) if row["step"] <= step]
        if is_written:
            write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
        self.path, self.peak_memory_bytes, self.is_written = path, 0, is_written
        self.units_per_second = 0.0  # of the last steps
        self.seconds = max((float(row["seconds"]) for row in rows if "seconds" in row), default=0.0)

    def write_event(self, event: StepMetrics | EvalMetrics) -> None:
        if isinstance(event, StepMetrics):
            self.units_per_second = event.units_per_second
        self.peak_memory_bytes = max(self.peak_memory_bytes, psutil.Process().memory_info().rss)
        if not self.is_written:
            return
        with translate_errors(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event.to_record()) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, without a line that a kill truncated."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


class Throughput:
    """The training speed: the median of the last steps, which one slow step does not move."""

    def __init__(self, units_per_step: int):
        self.units_per_step, self.durations = units_per_step, deque[float](maxlen=21)

    def add_step(self, seconds: float) -> None:
        self.durations.append(seconds)

    @property
    def step_seconds(self) -> float:
        return median(self.durations) if self.durations else 0.0

    @property
    def units_per_second(self) -> float:
        return self.units_per_step / self.step_seconds if self.step_seconds else 0.0
