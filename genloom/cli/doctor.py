"""`genloom doctor`: the machine and the workspace, and what to mend."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import genloom
from genloom.cli.screen import size
from genloom.cli.shared import Shared
from genloom.rate.wording import counted
from genloom.store import files
from genloom.store.workspace import Run, Workspace

_LITTLE_DISK = 2_000_000_000


def run(
    *,
    verify: bool = False,
    shared: Shared = Shared(),
) -> int:
    """Say what this machine can do and whether the workspace is sound.

    Exits with 1 if something has to be mended.

    Parameters
    ----------
    verify
        Read every data set, model and rating and compare each with its recorded digest.
    """
    workspace, screen = shared.open()
    machine, tensors, store = _machine(), _tensors(), _store(workspace)
    problems = list(_problems(workspace, store, verify))
    screen.result({"machine": machine, "torch": tensors, "workspace": store, "problems": problems})
    screen.say(f"Genloom {genloom.__version__}, Python {machine['python']}, {machine['system']}")
    screen.say(f"Processor   {machine['processor']}: {machine['cores']} cores usable")
    screen.say(f"Memory      {size(machine['memory_available'])} available of {size(machine['memory'])}")
    screen.say(f"Compiler    {machine['compiler'] or 'none: training runs without torch.compile'}")
    screen.say(f"PyTorch     {tensors['version']}, {tensors['threads']} threads, {tensors['cpu_capability']}")
    screen.say(f"Precision   {_precision(tensors)}")
    for gpu in tensors["gpus"]:
        screen.say(f"GPU         {gpu['name']}: {size(gpu['memory'])}")
    screen.say(f"Workspace   {store['folder']}{'' if store['exists'] else ' (made when first needed)'}")
    screen.say(f"            {size(store['free'])} free on its disk")
    counts = ", ".join(
        counted(store[kind], kind.removesuffix("s")) for kind in ("data sets", "models", "runs", "outputs")
    )
    screen.say(f"            {counts}")
    for problem in problems:
        screen.say(f"To mend     {problem}")
    if not problems:
        screen.say(
            "All is well." + ("" if verify else " To read every file and compare digests: genloom doctor --verify")
        )
    return 1 if problems else 0


def _machine() -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processor": _processor().get("model name", platform.processor() or platform.machine()),
        "cores": _cores(),
        "memory": memory.total,
        "memory_available": memory.available,
        "compiler": next(
            (name for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name and shutil.which(name)), None
        ),
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is no such file."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def _tensors() -> dict[str, Any]:
    import torch

    processor = _processor()
    flags = set((processor.get("flags") or processor.get("Features") or "").split())
    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "bf16": bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
        "amx": "amx_bf16" in flags,
        "gpus": [{"name": gpu.name, "memory": gpu.total_memory} for gpu in gpus],
        "mps": torch.backends.mps.is_available(),
    }


def _precision(tensors: dict[str, Any]) -> str:
    if tensors["amx"]:
        return "bf16 in hardware (AMX)"
    return "bf16 in hardware" if tensors["bf16"] else "fp32 (this processor has no bf16 arithmetic)"


def _store(workspace: Workspace) -> dict[str, Any]:
    return {
        "folder": str(workspace.root),
        "exists": workspace.root.is_dir(),
        "free": files.free_bytes(workspace.root),
        "data sets": len(workspace.datasets()),
        "models": len(workspace.models()),
        "runs": len(workspace.runs()),
        "outputs": len(workspace.outputs()),
        "leftovers": [str(draft) for draft in workspace.leftovers()],
    }


def _problems(workspace: Workspace, store: dict[str, Any], verify: bool) -> Iterator[str]:
    if store["free"] < _LITTLE_DISK:
        yield f"Only {size(store['free'])} are free on the disk of the workspace. Free some space."
    try:
        _write_probe(workspace.root)
    except ValueError as error:
        yield str(error)
    yield from workspace.faults()
    kept = (*workspace.datasets(), *workspace.models())
    checks: list[Callable[[], None]] = [each.verify if verify else each.measure for each in kept]
    if verify:
        from genloom.store.ledger import open_ledger  # a third of a second, for this question only

        checks.append(open_ledger(workspace.root).verify)
    for check in checks:
        try:
            check()
        except ValueError as error:
            yield str(error)
    for run in workspace.runs():
        yield from _problems_of(run)


def _problems_of(run: Run) -> Iterator[str]:
    """What is wrong with a run's files, as far as their beginnings tell."""
    from genloom.exchange.safetensors_file import header
    from genloom.train import checkpoint
    from genloom.train.job import read_job

    job, states = run.folder / "job.toml", run.folder / "state"
    if job.exists():
        try:
            read_job(job)
        except ValueError as error:
            yield f"{str(error).rstrip('.')}. Put the file back as it was, or remove the folder of the run."
    for path in checkpoint.unreadable(states):
        yield f"{path} cannot be read. Remove it: the run goes on from another checkpoint, or begins again."
    for path, _ in checkpoint.stored(states):
        try:
            header(path)
        except (ValueError, OSError) as error:
            reason = f"{path}: {(error.strerror or '').lower()}" if isinstance(error, OSError) else str(error)
            yield f"{reason}. Remove it: the run goes on from another checkpoint, or begins again."


def _write_probe(root: Path) -> None:
    """ValueError, naming the cure, if nothing can be written to the workspace."""
    folder = next(place for place in (root, *root.parents) if place.exists())
    with files.plain_errors(folder), tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"\0")
        probe.flush()
        os.fsync(probe.fileno())
