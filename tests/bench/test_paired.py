"""The timing that every benchmark rests on: fair turns, and numbers that are what they say."""

import runpy
import subprocess
from pathlib import Path

import pytest

PAIRED = runpy.run_path(str(Path(__file__).parents[2] / "bench/paired.py"))


def test_takes_turns_and_counts_only_the_rounds_asked_for(monkeypatch):
    clock, said = [0.0], []

    def takes(name, seconds):
        def do():
            said.append(name)
            clock[0] += seconds

        return do

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    result = PAIRED["time_paired"](takes("a", 2.0), takes("b", 5.0), rounds=3)
    assert "".join(said) == "ba" + "ab" + "ba" + "ab"  # the warm-up, then three rounds
    assert (result.first.median, result.second.median, result.rounds) == (2, 5, 3)
    assert (result.ratio.low, result.ratio.median, result.ratio.high) == (2.5, 2.5, 2.5)
    assert "2.5 [2.5, 2.5] times" in str(result)


def test_a_command_that_fails_ends_the_benchmark():
    PAIRED["build_command"]("true")()
    with pytest.raises(subprocess.CalledProcessError):
        PAIRED["build_command"]("false")()
