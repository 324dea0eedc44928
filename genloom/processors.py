"""The processors that this process may use: those it may run on, or fewer by the quota of its container."""

import os
import platform
from contextlib import suppress
from math import ceil
from pathlib import Path

SHORT_SPIN = "100"  # rounds, as libgomp spins with more threads than processors; its default is 300,000


def count_processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may use: those it may run on, or fewer by the quota of its container."""
    num_allowed, quota = count_allowed_processors(), read_quota(root)
    return num_allowed if quota is None else max(min(num_allowed, ceil(quota)), 1)


def count_allowed_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_quota(root: Path = Path("/")) -> float | None:
    """Return the processors' time per second that the control groups of this process allow; None if unlimited.

    `root` is the file system, for tests. Inside a container, the path of a group may be that on the host: then the
    limit is at the mount point.
    """
    groups = list_control_groups("cpu", root)
    quotas = [_read_quota_v1(folder) if is_v1 else _read_quota_v2(folder) for folder, is_v1 in groups]
    return min((quota for quota in quotas if quota is not None), default=None)


def list_control_groups(controller: str, root: Path = Path("/")) -> list[tuple[Path, bool]]:
    """List the folders of this process's control groups, and of those above; and whether they are of version 1."""
    groups = []
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            group = Path(path.lstrip("/"))
            for mount_name in (controllers, controller, "cpu,cpuacct") if controllers else ("", "unified"):
                mount = root / "sys/fs/cgroup" / mount_name
                groups += [(mount / folder, bool(controllers)) for folder in (group, *group.parents)]
    return groups


def _read_quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _read_quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return None if quota <= 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError, ZeroDivisionError):
        return None


def limit_threads(root: Path = Path("/")) -> dict[str, str]:
    """Return the environment that OpenMP must find when it is loaded, so that its threads keep to the quota.

    OpenMP knows the processors that it may run on, but no quota, which threads that spin would use up.
    """
    quota = read_quota(root)
    if quota is None or quota >= count_allowed_processors():
        return {}
    return {"OMP_NUM_THREADS": str(count_processors(root)), "GOMP_SPINCOUNT": SHORT_SPIN}


WIDE_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")  # of x86 processors


def describe_processor(root: Path = Path("/")) -> str:
    """Return what the libraries choose their kernels by: maker, family and model, wide instructions, second cache.

    Two processors with the same name of `torch.backends.cpu.get_cpu_capability` can still round the last bits
    differently. Elsewhere than on Linux it is the name that the system gives.
    """
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            facts[name.strip()] = value.strip()
    if not facts.keys() & {"flags", "Features"}:
        return platform.processor() or platform.machine()
    maker = facts.get("vendor_id", facts.get("CPU implementer", ""))
    model = f"{facts.get('cpu family', '')}-{facts.get('model', facts.get('CPU part', ''))}"
    instructions = [name for name in WIDE_INSTRUCTIONS if name in facts.get("flags", "").split()]
    with suppress(OSError):
        cache = (root / "sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        instructions.append(f"L2 {cache}")
    return " ".join(filter(None, [maker, model.strip("-"), *instructions]))
