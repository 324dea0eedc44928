"""Training, writing and drawing beside busy processes: the share of the speed that is left.

    python bench/busy.py                # about five minutes
    python bench/busy.py --policy spin  # the threads wait as OpenMP does by itself

Each job runs in windows of some seconds beside 0, 1, 2 and 4 processes that only compute; the loads take turns, round
by round. Of p processors, t threads beside b processes get t / (t + b) if the system is `fair`; `got` is the processor
time that the job really had, and `speed` the work that it did, both in relation to the quiet machine. Its speed should
be at least 0.8 of `got`. Other programs spoil the figures: `others` is how many processors they took in the quiet
windows, and should be near 0. `slept` counts the windows at whose end the threads slept. Without the policy, a step
beside others can take many seconds, and the whole an hour.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import torch
from paired import Spread
from throughput import STREAM
from torch import nn

import genloom as gl
from genloom.networks import transformer
from genloom.networks.precision import to_precision
from genloom.noise import Noise
from genloom.objectives.autoregressive import Autoregressive, SamplerInputs, SamplingParams
from genloom.processors import count_processors
from genloom.train.data.token_stream import TokenBlocks
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import TokenSpace
from genloom.waiting import HOLDER_NAME, IDLE_SECONDS, watch_processors

LOADS = (0, 1, 2, 4)
NEEDED = 0.8  # of what the job got
SETTLE_SECONDS = 1.0


def train_text() -> Iterator[None]:
    """Training steps of a small transformer, with 2,048 tokens each."""
    objective = Autoregressive(TokenSpace(256, 129))
    config = transformer.Config(width=128, depth=4, heads=4)
    parts = nn.ModuleDict({"model": transformer.build(objective.network_specs["model"], config)})
    plan = TrainConfig(steps=10**9)
    batches = TokenBlocks(STREAM, 16, 129)
    for _ in train(objective, batches, plan, TrainState.from_parts(parts, objective, plan)):
        yield


def write_text() -> Iterator[None]:
    """Tokens of one stream, of a transformer of SmolLM2's shape with random weights in 8 bits."""
    objective = Autoregressive(TokenSpace(49152, 2048))
    config = transformer.Config(width=576, depth=30, heads=9, key_heads=3, mlp_width=1536, qk_norm=False)
    network = to_precision(transformer.build(objective.network_specs["model"], config).eval(), "int8")
    while True:
        params = SamplingParams(max_tokens=512, temperature=1.0, inputs=SamplerInputs((STREAM[:32],)))
        for _ in objective.sample({"model": network}, 1, None, Noise(0, (0,)), params):
            yield


def draw_images() -> Iterator[None]:
    """Images of the built-in model, four sampling steps each."""
    with tempfile.TemporaryDirectory() as folder:
        model = gl.Workspace(folder).model("icons")
        while True:
            model.generate("a red fox", steps=4, seed=1)
            yield


JOBS = {"training": (train_text, "steps/s"), "writing": (write_text, "tokens/s"), "drawing": (draw_images, "images/s")}


@dataclass(frozen=True)
class Window:
    speed: float  # units of work per second
    got: float  # processors
    others: float  # processors that neither this process nor the busy ones used
    slept: bool  # whether our threads slept at the end


class BusyProcesses:
    """Processes that compute all the time, or rest."""

    def __init__(self, count: int) -> None:
        self.processes = [psutil.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        self.set_load(0)

    def set_load(self, count: int) -> None:
        for number, process in enumerate(self.processes):
            process.send_signal(signal.SIGCONT if number < count else signal.SIGSTOP)

    def count_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def count_busy_seconds() -> float:
    """Return the time that all processors were busy, for this virtual machine or another."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def measure_window(work: Iterator[None], seconds: float, busy: BusyProcesses) -> Window:
    started_at, own, theirs, total = (
        time.perf_counter(),
        time.process_time(),
        busy.count_seconds(),
        count_busy_seconds(),
    )
    units, elapsed = 0, 0.0
    while elapsed < seconds:
        next(work)
        units, elapsed = units + 1, time.perf_counter() - started_at
    own, theirs = time.process_time() - own, busy.count_seconds() - theirs
    others = max(count_busy_seconds() - total - own - theirs, 0.0)
    slept = any(thread.name == HOLDER_NAME for thread in threading.enumerate())
    return Window(units / elapsed, own / elapsed, others / elapsed, slept)


def run_rounds(names: list[str], rounds: int, seconds: float) -> dict[tuple[str, int], list[Window]]:
    found: dict[tuple[str, int], list[Window]] = {(name, load): [] for name in names for load in LOADS}
    works = {name: JOBS[name][0]() for name in names}
    busy = BusyProcesses(max(LOADS))
    try:
        for work in works.values():  # the first units of work prepare
            measure_window(work, 1.0, busy)
        for turn in range(rounds):
            for load in LOADS if turn % 2 == 0 else LOADS[::-1]:
                busy.set_load(load)
                for name, work in works.items():
                    # Threads notice a load while they work.
                    measure_window(work, SETTLE_SECONDS + (0 if load else IDLE_SECONDS), busy)
                    found[name, load].append(measure_window(work, seconds, busy))
    finally:
        busy.end()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=[*JOBS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a window")
    parser.add_argument("--policy", choices=("adapt", "spin"), default="adapt")
    args = parser.parse_args()
    if args.policy == "adapt":
        watch_processors()
    else:
        os.environ["OMP_WAIT_POLICY"] = "as it is"  # libgomp has read it; this keeps our policy off
    threads, processors = torch.get_num_threads(), count_processors()
    found = run_rounds(args.jobs, args.rounds, args.seconds)
    others = Spread.of([window.others for (_, load), windows in found.items() if load == 0 for window in windows])
    print(f"{threads} threads on {processors} processors, policy {args.policy}, {args.rounds} rounds in turn, medians")
    print(f"others: {others} processors in the quiet windows{'  (not quiet)' if others.median > 0.1 else ''}")
    print(f"{'job':<10}{'busy':>5}{'fair':>7}{'got':>7}{'speed':>7}{'of got':>8}{'slept':>7}   [least, greatest]")
    failures = 0
    for name in args.jobs:
        quiet = found[name, 0]
        for load in LOADS:
            windows = found[name, load]
            speeds = Spread.of([window.speed for window in windows])
            # A round's windows beside one another: other load of the machine slows both.
            pairs = list(zip(windows, quiet, strict=True))
            got = statistics.median(window.got / calm.got for window, calm in pairs)
            speed = statistics.median(window.speed / calm.speed for window, calm in pairs)
            of_got = statistics.median(window.speed / calm.speed / (window.got / calm.got) for window, calm in pairs)
            fair = min(1.0, processors / (threads + load))
            failures += of_got < NEEDED
            slept = sum(window.slept for window in windows)
            row = f"{name:<10}{load:>5}{fair:>7.2f}{got:>7.2f}{speed:>7.2f}{of_got:>8.2f}{f'{slept}/{len(windows)}':>7}"
            print(f"{row}   {speeds} {JOBS[name][1]}")
    return failures


if __name__ == "__main__":
    sys.exit(min(main(), 1))
