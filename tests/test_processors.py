"""The number of processors keeps to the quota of a container, and OpenMP's threads with it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from genloom import processors
from genloom.processors import count_processors, describe_processor, limit_threads, read_quota

V1 = "4:memory:/x\n2:cpu,cpuacct:/docker/abc\n"
V2 = "0::/user.slice/a.scope\n"


def write_groups(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v1(folder: str, quota: int) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {"sys/fs/cgroup/user.slice/a.scope/cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"sys/fs/cgroup/user.slice/a.scope/cpu.max": "max 100000\n"}, None),
        (V2, {"sys/fs/cgroup/user.slice/cpu.max": "50000 100000\n"}, 0.5),  # of the group above
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),  # as a container sees itself
        (V2, {"sys/fs/cgroup/unified/user.slice/a.scope/cpu.max": "100000 100000\n"}, 1.0),
        (V1, v1("sys/fs/cgroup/cpu,cpuacct/docker/abc", 100000), 1.0),
        (V1, v1("sys/fs/cgroup/cpu,cpuacct", 300000), 3.0),  # the group's path is that on the host
        (V1, v1("sys/fs/cgroup/cpu/docker/abc", -1), None),
        (V1, v1("sys/fs/cgroup/memory", 100000), None),
        (V2, {"sys/fs/cgroup/user.slice/a.scope/cpu.max": "nonsense"}, None),
        ("garbage", {}, None),
    ],
)
def test_the_quota_is_that_of_the_narrowest_group(
    tmp_path: Path, groups: str, files: dict[str, str], expected: float | None
) -> None:
    assert read_quota(write_groups(tmp_path, groups, files)) == expected


@pytest.mark.parametrize(("quota", "expected"), [(50_000, 1), (100_000, 1), (150_000, 2), (900_000, 4)])
def test_processors_are_those_allowed_or_fewer_by_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int, expected: int
) -> None:
    monkeypatch.setattr(processors, "count_allowed_processors", lambda: 4)
    root = write_groups(tmp_path, V1, v1("sys/fs/cgroup/cpu", quota))
    assert count_processors(root) == expected
    # Where the quota leaves all processors, OpenMP's own choice of threads is right.
    assert limit_threads(root).get("OMP_NUM_THREADS") == (None if quota > 400_000 else str(expected))


def test_affinity_counts_and_no_file_is_no_quota(tmp_path: Path) -> None:
    assert read_quota(tmp_path) is None
    assert limit_threads(tmp_path) == {}
    if hasattr(os, "sched_setaffinity"):
        script = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
        script += "from genloom.processors import count_processors; print(count_processors())"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert result.stdout == "1\n"


def test_nice_lets_other_programs_go_first() -> None:
    script = "import os; from genloom.cli.options.workspace import WorkOptions\n"
    script += "before = os.nice(0); WorkOptions(nice=3).open(); print(min(before + 3, 19) == os.nice(0))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"


def test_a_processor_is_described_by_maker_model_instructions_and_cache(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nflags\t\t: fpu avx2 avx512f\n\n"
        "processor\t: 1\nvendor_id\t: Other\n"
    )
    cache = tmp_path / "sys/devices/system/cpu/cpu0/cache/index2"
    cache.mkdir(parents=True)
    (cache / "size").write_text("1024K\n")
    assert describe_processor(tmp_path) == "GenuineIntel 6-85 avx2 avx512f L2 1024K"


def test_a_processor_without_a_list_of_flags_has_the_name_of_the_system(tmp_path: Path) -> None:
    assert describe_processor(tmp_path) == (platform.processor() or platform.machine())
