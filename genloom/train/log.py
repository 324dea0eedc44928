"""A run's progress as lines of JSON, for charts and for scripts; a resumed run takes it up at its own step."""

import json
import time
from pathlib import Path
from typing import Any

import psutil

from genloom.store.files import translate_errors, write_atomic
from genloom.train.events import EvalMetrics, StepMetrics


class ProgressLog:
    """`progress.jsonl`: one line for a step or a look at what is held out; no step stands in it twice."""

    def __init__(self, path: Path, step: int):
        """Forget what an earlier process wrote after `step`: those steps are taken again."""
        rows = [row for row in read_log(path) if row["step"] <= step]
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
        self.path, self.peak_memory_bytes = path, 0  # bytes: the most that this process was seen to hold
        self.seconds = max((float(row["seconds"]) for row in rows if "seconds" in row), default=0.0)

    def write_event(self, event: StepMetrics | EvalMetrics) -> None:
        self.peak_memory_bytes = max(self.peak_memory_bytes, psutil.Process().memory_info().rss)
        with translate_errors(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event.to_record()) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; a line that a kill cut off is left out."""
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
    """How much is read a second over the last steps, pauses left out."""

    def __init__(self, units_per_step: int):
        self.units_per_step, self.times = units_per_step, [time.perf_counter()]

    def tick(self) -> None:
        self.times = [*self.times[-20:], time.perf_counter()]

    def reset(self) -> None:
        self.times = [time.perf_counter()]

    @property
    def step_seconds(self) -> float:
        return (self.times[-1] - self.times[0]) / max(len(self.times) - 1, 1)

    @property
    def units_per_second(self) -> float:
        return self.units_per_step / self.step_seconds if self.step_seconds else 0.0
