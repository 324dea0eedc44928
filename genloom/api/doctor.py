"""A check of the machine and the workspace."""

import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom import plugins
from genloom.errors import ErrorText, GenloomError
from genloom.memory import measure_memory
from genloom.processors import count_processors
from genloom.program import name_program
from genloom.store import files
from genloom.store.file_systems import find_network_file_system
from genloom.store.output_files import verify_output
from genloom.store.run import Run
from genloom.store.workspace import Workspace
from genloom.text_format import format_bytes, format_count

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace as APIWorkspace
    from genloom.store.ledger import Ledger

_MIN_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Diagnosis:
    """Facts about the machine, torch and the workspace, and the problems found."""

    machine: Mapping[str, Any]
    torch: Mapping[str, Any]
    workspace: Mapping[str, Any]
    problems: tuple[ErrorText, ...]
    is_verified: bool  # whether every file was read

    def to_json(self) -> dict[str, Any]:
        """Return the facts and problems as JSON values."""
        return {
            "machine": self.machine,
            "torch": self.torch,
            "workspace": self.workspace,
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        import genloom

        machine, torch, workspace = self.machine, self.torch, self.workspace
        memory, available = (format_bytes(machine[key]) for key in ("memory", "memory_available"))
        kinds = ("data sets", "models", "runs", "outputs")
        lines = [
            f"Genloom {genloom.__version__}, Python {machine['python']}, {machine['system']}",
            f"Processor   {machine['processor']}: {format_count(machine['cores'], 'core')} usable",
            f"Memory      {available} available of {memory}",
            f"Compiler    {machine['compiler'] or 'none: training runs without torch.compile'}",
            f"PyTorch     {torch['version']}, {format_count(torch['threads'], 'thread')}, {torch['cpu_capability']}",
            f"Precision   {_describe_precision(torch)}",
            *(f"GPU         {gpu['name']}: {format_bytes(gpu['memory'])}" for gpu in torch["gpus"]),
            f"Workspace   {workspace['folder']}{'' if workspace['exists'] else ' (created when first needed)'}",
            f"            {format_bytes(workspace['free'])} free on its disk",
            f"            {', '.join(format_count(workspace[kind], kind.removesuffix('s')) for kind in kinds)}",
            *(f"Problem     {problem}" for problem in self.problems),
        ]
        if not self.problems:
            hint = "" if self.is_verified else " To read every file and compare digests: genloom doctor --deep"
            lines.append(f"No problems found.{name_program(hint)}")
        return "\n".join(lines)


def diagnose(workspace: "APIWorkspace", *, verify: bool = False, deep: bool = False) -> Diagnosis:
    """Check this machine and the workspace.

    Parameters
    ----------
    verify
        Whether every data set, model and output is read and compared with its recorded digest; ratings always are.
    deep
        Whether every changed byte is searched for: as `verify`, and in all versions of data sets, in cards, records of
        outputs and sources of edits.

    Returns
    -------
    Diagnosis
        Facts about the machine, torch and the workspace, and the problems found.
    """
    store = workspace.store
    machine_info, torch_info, workspace_info = _describe_machine(), _describe_torch(), _describe_workspace(store)
    problems = dict.fromkeys(_find_problems(store, workspace.ledger, workspace_info, verify or deep))
    if deep:
        from genloom.trust.tampering import list_changes

        problems |= dict.fromkeys(list_changes(store, workspace.ledger))
        problems |= dict.fromkeys(find_changed_versions(store, workspace.ledger))
    return Diagnosis(machine_info, torch_info, workspace_info, tuple(problems), verify or deep)


def _describe_machine() -> dict[str, Any]:
    memory = measure_memory()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processor": _read_cpu_info().get("model name", platform.processor() or platform.machine()),
        "cores": count_processors(),
        "memory": memory.total,
        "memory_available": memory.available,
        "compiler": next(
            (name for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if name and shutil.which(name)), None
        ),
    }


def _read_cpu_info() -> dict[str, str]:
    """Return the first processor of /proc/cpuinfo; empty if there is no such file."""
    try:
        first_block, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first_block.splitlines())}


def _describe_torch() -> dict[str, Any]:
    import torch

    cpu_info = _read_cpu_info()
    flags = set((cpu_info.get("flags") or cpu_info.get("Features") or "").split())
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


def _describe_precision(torch_info: Mapping[str, Any]) -> str:
    if torch_info["amx"]:
        return "bf16 in hardware (AMX)"
    return "bf16 in hardware" if torch_info["bf16"] else "fp32 (no bf16 arithmetic in this processor)"


def _describe_workspace(workspace: Workspace) -> dict[str, Any]:
    return {
        "folder": str(workspace.root),
        "exists": workspace.root.is_dir(),
        "free": files.get_free_bytes(workspace.root),
        "data sets": len(workspace.list_datasets()),
        "models": len(workspace.list_models()),
        "runs": len(workspace.list_runs()),
        "outputs": len(workspace.list_outputs()),
        "leftovers": [str(path) for path in workspace.list_leftovers()],
    }


def _find_problems(
    workspace: Workspace, ledger: "Ledger", workspace_info: dict[str, Any], should_verify: bool
) -> Iterator[ErrorText]:
    if workspace_info["free"] < _MIN_FREE_BYTES:
        yield ErrorText.of(GenloomError("api.disk_almost_full", free=format_bytes(workspace_info["free"])))
    try:
        files.require_writable(workspace.root)
    except ValueError as error:
        yield ErrorText.of(error)
    own_file = ledger.database.file if ledger.database.objects is None else None
    if own_file is not None and (kind := find_network_file_system(own_file)):
        yield ErrorText.of(GenloomError("api.ledger_on_network", place=own_file, kind=kind))
    yield from plugins.list_problems()
    try:
        yield from find_signing_problems(workspace.root)
    except OSError as error:  # as of another user's keys
        yield ErrorText.of(ValueError(files.describe_error(error)))
    yield from workspace.list_faults()
    folders = (*workspace.list_datasets(), *workspace.list_models())
    checks: list[Callable[[], None]] = [folder.verify if should_verify else folder.verify_sizes for folder in folders]
    checks.append(partial(verify_ledger, workspace, ledger, should_verify))
    if should_verify:
        checks += [partial(verify_output, path, record) for path, record in workspace.list_records()]
    for check in checks:
        try:
            check()
        except ValueError as error:
            yield ErrorText.of(error)
    for run in workspace.list_runs():
        yield from _find_run_problems(run, should_verify)


def find_signing_problems(root: Path) -> Iterator[ErrorText]:
    """Yield the problems of keys, and why outputs leave without a signature: no package, unreadable preferences."""
    from genloom.store.keys import MarkingKeys, list_exposed
    from genloom.trust import outgoing, revocation, signing

    if exposed := list_exposed(root):
        yield ErrorText.of(GenloomError("trust.exposed_key", path=exposed[-1], folder=root / "keys"))
    for check_marking in (MarkingKeys(root).find_active, MarkingKeys(root).list_keys):
        try:
            check_marking()
        except (OSError, ValueError) as error:
            yield ErrorText.of(error)
    if not signing.is_available():
        yield ErrorText.of(GenloomError("trust.extra_missing"))
        return
    for check in (signing.list_signing_keys, signing.list_trusted, revocation.list_revoked, outgoing.read_preferences):
        try:
            check(root)
        except (OSError, ValueError) as error:
            yield ErrorText.of(error)
    yield from dict.fromkeys(map(ErrorText.of, signing.find_damaged_keys(root)))


def verify_ledger(workspace: Workspace, ledger: "Ledger", should_read: bool) -> None:
    """Raise ValueError if an entry of the ledger is not as it was written, or is missing, or all are but their traces.

    With `should_read`, also if an entry is not one that Genloom writes.
    """
    ledger.verify_end()
    if ledger.get_head() is None and (trace := find_trace_of_ledger(workspace)):
        raise GenloomError("api.ledger_lost", place=ledger.database.location, trace=trace)
    ledger.verify()  # a second for some 50,000 entries
    if should_read:
        for _ in ledger.iter_entries(()):
            pass


def find_changed_versions(workspace: Workspace, ledger: "Ledger") -> Iterator[ErrorText]:
    """Yield the models whose file names another version as the one in use than the ledger does."""
    from genloom.rate.promotion import find_active_version
    from genloom.store.active_version import read_active_version

    for folder in sorted((workspace.root / "models").glob("[!.]*")):
        try:
            named, (version, _) = read_active_version(folder), find_active_version(workspace, ledger, folder.name)
        except ValueError:  # which is told already
            continue
        if named != version:
            fields = {"path": folder / "champion.json", "named": named or "none", "version": version or "none"}
            yield ErrorText.of(GenloomError("trust.changed_version", name=folder.name, **fields))


def find_trace_of_ledger(workspace: Workspace) -> str:
    """Return what shows that the ledger had entries: a promotion, a receipt, or an arena; "" if nothing does."""
    patterns = ("models/*/champion.json", "runs/*/receipt.json")
    if path := next((path for pattern in patterns for path in workspace.root.glob(pattern)), None):
        return str(path)
    sessions = Counter(record.get("arena") for _, record in workspace.list_records())
    sessions.pop(None, None)
    # The third pair of a session is generated after the first choice.
    is_used = max(sessions.values(), default=0) > 2 * 2
    return f"an arena with {format_count(max(sessions.values()), 'answer')}" if is_used else ""


def _find_run_problems(run: Run, should_verify: bool) -> Iterator[ErrorText]:
    """Yield the problems of a run's files that their headers show; with `should_verify` also those of their digests.

    A header that this reader does not understand proves nothing: a checkpoint is damaged if its digest differs, by
    which training itself decides.
    """
    from genloom.exchange.safetensors_file import read_header
    from genloom.train import checkpoint
    from genloom.train.job import read_job

    job_path, checkpoint_folder = run.folder / "job.toml", run.folder / "state"
    if job_path.exists():
        try:
            read_job(job_path)
        except GenloomError as error:
            yield ErrorText.of(GenloomError("api.damaged_job", problem=f"{job_path}: {error.fields['reason']}"))
    for path in checkpoint.list_unreadable(checkpoint_folder):
        yield ErrorText.of(GenloomError("api.damaged_checkpoint", problem=f"{path} cannot be read"))
    for path, metadata in checkpoint.list_checkpoints(checkpoint_folder):
        try:
            reason = f"{path}: its digest differs from the recorded one"
            if not should_verify:
                try:
                    read_header(path)
                    continue
                except ValueError as error:
                    reason = str(error)
            is_damaged = files.hash_file(path) != metadata["sha256"]
        except OSError as error:
            reason, is_damaged = f"{path}: {(error.strerror or '').lower()}", True
        if is_damaged:
            yield ErrorText.of(GenloomError("api.damaged_checkpoint", problem=reason.rstrip(".")))
