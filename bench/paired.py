"""Two ways to do one thing, timed turn by turn on the same machine: medians, spread, and the ratio of each turn.

    python bench/paired.py "command one" "command two" --rounds 7

In a benchmark: `from paired import time_paired`. A machine that others use slows both ways alike within a turn, so the
ratio holds where the times themselves do not.
"""

import argparse
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, with the least and the greatest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> "Spread":
        return Spread(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class PairedTiming:
    """Seconds of the first and the second way, and how many times longer the second takes."""

    first: Spread
    second: Spread
    ratio: Spread
    rounds: int

    def __str__(self) -> str:
        return f"{self.first} s against {self.second} s: {self.ratio} times, median [least, greatest] of {self.rounds}"


def time_paired(
    first: Callable[[], object], second: Callable[[], object], rounds: int = 7, warm_up: bool = True
) -> PairedTiming:
    """Times both in every round, each going first in every other one; the warm-up is a round that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(-1 if warm_up else 0, rounds):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            started = time.perf_counter()
            (first, second)[which]()
            seconds[which].append(time.perf_counter() - started)
    ones, twos = (values[-rounds:] for values in seconds)
    return PairedTiming(
        Spread.of(ones), Spread.of(twos), Spread.of([b / a for a, b in zip(ones, twos, strict=True)]), rounds
    )


def build_command(line: str) -> Callable[[], object]:
    """A command to be timed as a process of its own; a command that fails ends the benchmark."""
    return lambda: subprocess.run(shlex.split(line), check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help="two commands, each in quotes")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if len(args.commands) == 2:
        print(time_paired(build_command(args.commands[0]), build_command(args.commands[1]), args.rounds))
    else:
        parser.print_usage()


if __name__ == "__main__":
    main()
