"""Several processes train like one: equal weights, sharded or not, from one checkpoint, and after a rank has died."""

import errno
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from traceback import StackSummary
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genloom.model import Design, build_objective, count_network_parameters
from genloom.store.workspace import Workspace
from genloom.train.data.packing import EncodedDocuments, PackedBatches
from genloom.train.data.samples import EncodedSamples, SampleBatches
from genloom.train.data.sequences import SequenceBatches
from genloom.train.data.token_stream import TokenBlocks
from genloom.train.job import read_job
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import OptimizerConfig
from genloom.train.parallel.group import ProcessGroup
from genloom.train.parallel.launch import FAULTS_FILE
from genloom.train.parallel.rows import RowReader, read_share
from genloom.train.parallel.simulation import simulate_memory
from genloom.train.parallel.strategy import Replicated
from genloom.train.parallel.tensor_files import write_shards
from genloom.train.parallel.tensor_parallel import TensorParallel, order_rows
from genloom.train.run import TrainRequest, train_model
from genloom.types import TokenSpace
from tests.errors import raises_code

TOLERANCE = 1e-5
# A critic compares two scores, so its last bias has no effect; its gradient is rounding, of which Adam takes the sign.
WITHOUT_EFFECT = ("parts/critic.head.bias",)
BASIC = ["autoregressive-transformer", "flow-dense", "adversarial-dense", "kto"]
ALL = [
    *("autoregressive-transformer", "autoregressive-recurrent", "autoregressive-ngram", "masked-transformer"),
    *("flow-dense", "flow-unet", "flow-dit", "shortcut-dense", "variational-dense", "variational-convolution"),
    *("adversarial-dense", "adversarial-convolution", "vae_gan-dense", "vae_gan-convolution"),
    *("dpo", "kto", "grpo", "reinvent", "replay"),
]
SHARDED = ["autoregressive-transformer", "flow-unet", "variational-dense", "adversarial-dense"]


def run_script(name: str, tasks: list[dict[str, Any]]) -> Any:
    """Run the tasks of a script beside this file; return what it printed."""
    command = [sys.executable, str(Path(__file__).with_name(name))]
    ended = subprocess.run(command, input=json.dumps(tasks), capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert name != "ranks.py" or not any(map(any, result)), ended.stderr
    return result


def train_ranks(folder: Path, world_sizes: list[int], **settings: Any) -> dict[str, Any]:
    """Return the settings of a task of ranks.py, for `run_script`."""
    return {"folder": str(folder), "world_sizes": world_sizes, **settings}


def compare_weights(one: Path, other: Path, cases: list[str], tolerance: float = TOLERANCE) -> None:
    """Check that two folders of states hold the same weights."""
    for name in cases:
        a, b = load_file(one / f"{name}.safetensors"), load_file(other / f"{name}.safetensors")
        assert a.keys() == b.keys()
        trained = [key for key in a if key.startswith("parts/") and key not in WITHOUT_EFFECT]
        gap = max((a[key].double() - b[key].double()).abs().max().item() for key in trained)
        assert gap <= tolerance, f"{name}: weights differ by {gap:.2e}"


def test_two_processes_end_in_the_weights_of_one(tmp_path: Path) -> None:
    """Each computes its rows: of different lengths and weights, with dropout, averages and micro-batches."""
    plan = {"grad_accum_steps": 2, "activation_checkpointing": True}
    run_script("ranks.py", [train_ranks(tmp_path, [1, 2], steps=20, cases=BASIC, dropout=0.1, plan=plan)])
    compare_weights(tmp_path / "1", tmp_path / "2", BASIC)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_end_in_the_weights_of_one_after_100_steps(tmp_path: Path, world_size: int) -> None:
    run_script("ranks.py", [train_ranks(tmp_path, [1, world_size], steps=100, cases=ALL, dropout=0.1)])
    compare_weights(tmp_path / "1", tmp_path / str(world_size), ALL)


def test_shards_end_in_the_weights_of_one_process_and_are_resumed_by_others(tmp_path: Path) -> None:
    """Four ranks save their shards; four continue to the same bits, two and one to the same weights: that is named."""
    plain, sharded, again = tmp_path / "plain", tmp_path / "sharded", tmp_path / "again"
    for folder in (plain, sharded, again):
        folder.mkdir()
    shared: dict[str, Any] = {"steps": 12, "cases": SHARDED, "plan": {"activation_checkpointing": True}}
    run_script(
        "ranks.py",
        [
            train_ranks(plain, [1], **shared),
            train_ranks(sharded, [4], **shared, strategy="fsdp", save_at=6),
        ],
    )
    compare_weights(plain / "1", sharded / "4", SHARDED)
    for name in SHARDED:
        (again / f"{name}-state").symlink_to(sharded / f"{name}-state")
    run_script(
        "ranks.py",
        [
            train_ranks(again, [4, 2], **shared, strategy="fsdp", resume_at=6),
            train_ranks(again, [1], **shared, resume_at=6),
        ],
    )
    compare_weights(sharded / "4", again / "4", SHARDED, tolerance=0.0)
    for world_size in (2, 1):
        compare_weights(plain / "1", again / str(world_size), SHARDED)
        (warning,) = json.loads((again / str(world_size) / "warnings.json").read_text())
        assert f"processes 4 → {world_size}" in warning


def test_shares_of_blocks_end_in_the_weights_of_one_process_and_are_resumed_by_it(tmp_path: Path) -> None:
    """Two processes compute the heads of a transformer, of whose checkpoint one continues, and two."""
    plain, cut, again = tmp_path / "plain", tmp_path / "cut", tmp_path / "again"
    cases = ["autoregressive-transformer", "masked-transformer", "dpo"]
    for folder in (plain, cut, again):
        folder.mkdir()
    for name in cases:
        (again / f"{name}-state").symlink_to(cut / f"{name}-state")
    shared: dict[str, Any] = {"steps": 12, "cases": cases, "dropout": 0.1}
    tasks = [
        train_ranks(plain, [1], **shared),
        train_ranks(cut, [2], **shared, strategy="tp", save_at=6),
        train_ranks(again, [2, 1], **shared, strategy="tp", resume_at=6),
    ]
    run_script("ranks.py", tasks)
    compare_weights(plain / "1", cut / "2", cases)
    compare_weights(cut / "2", again / "2", cases, tolerance=0.0)
    compare_weights(plain / "1", again / "1", cases)


def test_a_full_disk_of_a_rank_is_named_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(rank: int) -> None:
        failures: Any = {rank: (OSError(errno.ENOSPC, "No space left on device"), StackSummary())}
        error = import_module("torch.distributed.checkpoint.api").CheckpointException("", failures)
        monkeypatch.setattr("torch.distributed.checkpoint.save", Mock(side_effect=error))
        write_shards({}, tmp_path)

    with raises_code("store.disk_full"):
        fail(0)
    with pytest.raises(RuntimeError, match="Rank 1"):
        fail(1)


def test_blocks_that_cannot_be_cut_are_an_error(toys: ModuleType) -> None:
    networks = {name: toys.build_networks(toys.get_toy(name)) for name in ("flow-dense", "autoregressive-transformer")}
    with raises_code("train.not_tensor_parallel"):
        TensorParallel(ProcessGroup(0, 2)).distribute(networks["flow-dense"], TrainConfig())
    with raises_code("train.uneven_shares", devices=3):
        TensorParallel(ProcessGroup(0, 3)).distribute(networks["autoregressive-transformer"], TrainConfig())


def test_rows_of_stacked_targets_are_ordered_by_shares() -> None:
    order = order_rows([slice(0, 4), slice(4, 6), slice(6, 8)], 2)
    assert order.tolist() == [0, 1, 4, 6, 2, 3, 5, 7]


def build_batches(kind: str) -> Any:
    rng = np.random.default_rng(0)
    if kind == "stream":
        return TokenBlocks(rng.integers(0, 9, 999).astype(np.uint16), 7, 12, num_folds=2)
    if kind == "samples":
        return SampleBatches(EncodedSamples(rng.normal(size=(31, 2, 3)).astype(np.float32)), 7)
    documents = EncodedDocuments.from_pairs(
        (rng.integers(0, 9, n), np.arange(n) > 0) for n in rng.integers(2, 12, 40).tolist()
    )
    packed = PackedBatches(documents, 7, 12, 0, is_one_per_row=kind == "sequences")
    return SequenceBatches(packed, {}) if kind == "sequences" else packed


@pytest.mark.parametrize("kind", ["stream", "samples", "packed", "sequences"])
def test_a_process_reads_its_rows_of_a_step(kind: str) -> None:
    batches = build_batches(kind)
    whole, shares = batches(5), [read_share(batches, 5, ProcessGroup(rank, 3), is_whole=False) for rank in range(3)]
    assert [rows.start for _, rows, _ in shares] == [0, 2, 4]
    for share, rows, size in shares:
        assert size == len(whole)
        assert len(share) == rows.stop - rows.start
        length = share.x.shape[1]
        assert torch.equal(share.x, whole.x[rows, :length])
        assert share.mask is None or torch.equal(share.mask, whole.mask[rows, :length])


def test_rows_are_read_ahead() -> None:
    batches, alone = build_batches("stream"), ProcessGroup()
    reader = RowReader(batches, alone, is_whole=False, is_ahead=True)
    for step in (0, 1, 2, 7, 8):  # a run that was resumed begins anywhere
        assert torch.equal(reader.read(step)[0].x, batches(step).x)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def run_with_faults(worlds: ModuleType, workspace: Workspace, *faults: dict[str, Any]) -> list[dict[str, Any]]:
    """Train a job on two devices without a fault, and with each of these; check that all end in the same bits."""
    settings = {"parallel__timeout": "15.0", "parallel__devices": "2"}
    job = worlds.build_job(worlds.create_dataset(workspace), 16, plan__ema_decay="0.9", **settings)
    runs = [worlds.start_run(workspace, job) for _ in range(len(faults) + 1)]
    tasks: list[dict[str, Any]] = [{"run": run, **fault} for run, fault in zip(runs, ({}, *faults), strict=True)]
    again = [{"run": task["run"]} for task in tasks if "stop_at" in task]
    results = run_script("device_runs.py", [{"workspace": str(workspace.root), **task} for task in tasks + again])
    assert results[0]["warnings"] == []
    for run in runs[1:]:
        assert worlds.newest_checkpoint(workspace, run) == worlds.newest_checkpoint(workspace, runs[0])
    rows = [(workspace.get_run(run).folder / FAULTS_FILE) for run in runs[1:]]
    logs = [[json.loads(line) for line in path.read_text().splitlines()] if path.exists() else [] for path in rows]
    return [{**result, "log": log} for result, log in zip(results[1:], logs, strict=False)]


def test_a_run_on_two_devices_survives_a_killed_rank(worlds: ModuleType, workspace: Workspace) -> None:
    """So does one that the caller stops, and one whose processes another program starts."""
    faults = {"fault": "SIGKILL", "at_step": 7}, {"stop_at": 5}, {"has_launcher": True}
    killed, stopped, launched = run_with_faults(worlds, workspace, *faults)
    assert "Rank 1 was ended by SIGKILL" in killed["warnings"][0]
    assert [(row["kind"], row["rank"]) for row in killed["log"]] == [("killed", 1)]
    assert (stopped["ref"], stopped["step"]) == ("", 5)
    assert launched["ref"].startswith("tales/")


@pytest.mark.slow
def test_a_run_on_two_devices_survives_a_rank_that_hangs(worlds: ModuleType, workspace: Workspace) -> None:
    (hung,) = run_with_faults(worlds, workspace, {"fault": "SIGSTOP", "at_step": 7})
    assert "Rank 1 hangs" in hung["warnings"][0]
    assert [(row["kind"], row["rank"]) for row in hung["log"]] == [("hung", 1)]


def test_impossible_devices_are_an_error(worlds: ModuleType, workspace: Workspace) -> None:
    job = worlds.build_job(worlds.create_dataset(workspace), 4)
    run = worlds.start_run(workspace, job)
    with raises_code("train.too_few_rows", batch_size=4, devices=5):
        list(train_model(workspace, TrainRequest(run, should_resume=True, devices=5)))
    with raises_code("train.bad_parallel", name="strategy"):
        worlds.build_job(workspace.get_dataset("tales"), 4, parallel__strategy="pp")
    assert read_job(workspace.get_run(run).folder / "job.toml").parallel.devices == 1


def test_a_simulated_rank_holds_its_share() -> None:
    """Between steps: weights and two averages of Adam in float32, divided; and at the peak more than that."""
    design = Design("bpe", "autoregressive", "transformer", 64, network_settings={"width": 64, "depth": 3, "heads": 2})
    plan = TrainConfig(optimizer=OptimizerConfig("adamw"), activation_checkpointing=True)
    sizes = [simulate_memory(design, TokenSpace(2048, 64), plan, world_size, 1) for world_size in (4, 16)]
    objective = build_objective(design, TokenSpace(2048, 64))
    num_bytes = 12 * count_network_parameters(design, objective)
    for world_size, size in zip((4, 16), sizes, strict=True):
        assert size.kept == pytest.approx(num_bytes / world_size, rel=0.05)
        assert size.peak > 1.5 * size.kept
    assert sizes[0].peak > sizes[1].peak


def test_a_process_without_a_matrix_of_its_own_sends_the_type_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Muon computes in bfloat16, and gloo ends processes whose sizes differ."""
    sent = []
    monkeypatch.setattr("torch.distributed.all_gather", lambda received, own: sent.append(own.dtype))
    Replicated(ProcessGroup(1, 2)).map_matrices([torch.ones(3, 4)], (3, 4), lambda matrices: matrices.bfloat16())
    assert sent == [torch.bfloat16]
