"""Checkpoints: atomic, with a fallback if the newest is damaged; nothing is lost on a full disk."""

import errno
import json
import os
import secrets
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from genloom.errors import GenloomError
from genloom.store import files, mirror
from genloom.store.storage import ObjectStorage
from genloom.store.workspace import Workspace
from genloom.train import checkpoint
from genloom.train.checkpoint import (
    MAX_CHECKPOINTS,
    delete_checkpoints_after,
    find_newest_step,
    load_checkpoint,
    save_checkpoint,
)
from genloom.train.checkpoint_writer import CheckpointWriter
from genloom.train.loop import TrainConfig, TrainState, train
from tests.errors import raises_code

PLAN = TrainConfig(steps=40, ema_decay=0.9)


@pytest.fixture
def toy(toys):
    return toys.TOYS["flow-dense"]


@pytest.fixture
def state(toys, toy) -> TrainState:
    return TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)


def advance(toys, toy, state: TrainState, steps: int) -> dict[str, torch.Tensor]:
    run = train(toy.objective, toys.build_batches(toy, 4), PLAN, state)
    for _ in range(steps):
        next(run)
    return {name: tensor.detach().clone() for name, tensor in state.to_tensors().items()}


def new_state(toys, toy) -> TrainState:
    return TrainState.from_parts(toys.build_networks(toy, seed=5), toy.objective, PLAN)


def is_same(state: TrainState, expected: dict[str, torch.Tensor]) -> bool:
    now = state.to_tensors()
    return now.keys() == expected.keys() and all(torch.equal(now[n], expected[n]) for n in expected)


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "name", ["flow-dense", "adversarial-dense", "autoregressive-transformer", "autoregressive-ngram"]
)
def test_a_saved_checkpoint_loads_identically(toys, tmp_path, name):
    """With tied weights, the counts of an n-gram model, two optimizers and averages."""
    toy = toys.TOYS[name]
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)
    expected = advance(toys, toy, state, 3)
    state.skipped_steps = 2
    path = save_checkpoint(state, tmp_path)
    assert path == tmp_path / "000000003.safetensors"
    other = new_state(toys, toy)
    loaded = load_checkpoint(other, tmp_path)
    assert loaded is not None
    assert (loaded.step, loaded.warnings) == (3, ())
    assert (other.step, other.skipped_steps) == (3, 2)
    assert is_same(other, expected)
    tied = [p.data_ptr() for n, p in other.parts.named_parameters(remove_duplicate=False) if n.endswith("head.weight")]
    if name == "autoregressive-transformer":
        assert tied == [p.data_ptr() for n, p in other.parts.named_parameters() if n.endswith("embed.weight")]


def test_a_folder_without_checkpoints_loads_nothing(state, tmp_path):
    assert load_checkpoint(state, tmp_path) is None
    assert load_checkpoint(state, tmp_path / "missing") is None


def test_the_newest_checkpoints_and_the_pinned_one_are_kept(toys, toy, state, tmp_path):
    for step in range(6):
        save_checkpoint(state, tmp_path, should_keep=step == 1)
        advance(toys, toy, state, 1)
    steps = [1, *range(6 - MAX_CHECKPOINTS, 6)]
    assert list_names(tmp_path) == sorted(f"{s:09d}{end}" for s in steps for end in (".json", ".safetensors"))


def test_saving_a_pinned_step_again_keeps_it_pinned(toys, toy, state, tmp_path):
    """A run that stops at the step from which it can be extended saves it twice."""
    save_checkpoint(state, tmp_path, should_keep=True)
    save_checkpoint(state, tmp_path)
    for _ in range(4):
        advance(toys, toy, state, 1)
        save_checkpoint(state, tmp_path)
    assert "000000000.safetensors" in list_names(tmp_path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a flipped bit": lambda path: flip(path),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "metadata cut short": lambda path: path.with_suffix(".json").write_text('{"step": 2, "ski'),
    "metadata of another step": lambda path: path.with_suffix(".json").write_text(
        path.with_suffix(".json").read_text().replace('"step": 2', '"step": 7')
    ),
    "metadata that is not a table": lambda path: path.with_suffix(".json").write_text("[1]"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(toys, toy, state, tmp_path, how):
    expected = advance(toys, toy, state, 1)
    save_checkpoint(state, tmp_path)
    advance(toys, toy, state, 1)
    DAMAGE[how](save_checkpoint(state, tmp_path))
    other = new_state(toys, toy)
    loaded = load_checkpoint(other, tmp_path)
    assert loaded is not None
    assert loaded.step == other.step == 1
    assert len(loaded.warnings) == 1
    assert "000000002" in loaded.warnings[0]
    assert "step 1" in loaded.warnings[0]
    assert is_same(other, expected)
    # The run continues, and the damaged checkpoint never comes back.
    for _ in range(3):
        advance(toys, toy, other, 1)
        save_checkpoint(other, tmp_path)
        again = load_checkpoint(new_state(toys, toy), tmp_path)
        assert again is not None
        assert (again.step, again.warnings) == (other.step, ())
        assert len(list_names(tmp_path)) == 4, "two undamaged ones"


def test_a_killed_save_does_not_count(toys, toy, state, tmp_path):
    """The metadata is written last; without it there is no checkpoint, and the next save removes the rest."""
    save_checkpoint(state, tmp_path)
    expected = advance(toys, toy, state, 1)
    save_checkpoint(state, tmp_path)
    (tmp_path / "000000002.safetensors").write_bytes(b"half")
    draft = tmp_path / ".0123456789ab.draft"
    draft.write_bytes(b"half")
    os.utime(draft, (0, 0))
    other = new_state(toys, toy)
    loaded = load_checkpoint(other, tmp_path)
    assert loaded is not None
    assert (loaded.step, loaded.warnings) == (1, ())
    assert is_same(other, expected)
    save_checkpoint(other, tmp_path)
    assert list_names(tmp_path) == [f"00000000{i}{end}" for i in (0, 1) for end in (".json", ".safetensors")]


def test_without_an_undamaged_checkpoint_a_run_restarts(toys, toy, state, tmp_path):
    for _ in range(2):
        advance(toys, toy, state, 1)
        flip(save_checkpoint(state, tmp_path))
    other = new_state(toys, toy)
    before = {name: tensor.clone() for name, tensor in other.to_tensors().items()}
    loaded = load_checkpoint(other, tmp_path)
    assert loaded is not None
    assert loaded.step == 0
    assert len(loaded.warnings) == 3
    assert not any("resuming" in warning for warning in loaded.warnings)
    assert is_same(other, before)


def test_rewinding_deletes_later_checkpoints(toys, toy, state, tmp_path):
    for step in range(4):
        save_checkpoint(state, tmp_path, should_keep=step == 1)
        advance(toys, toy, state, 1)
    assert find_newest_step(tmp_path, 1) == 1
    delete_checkpoints_after(tmp_path, 1)
    assert list_names(tmp_path) == ["000000001.json", "000000001.safetensors"]
    delete_checkpoints_after(tmp_path, 0)
    assert find_newest_step(tmp_path, 9) == 0
    assert list_names(tmp_path) == []


def test_a_changed_machine_gives_a_warning(toys, toy, state, tmp_path, monkeypatch):
    save_checkpoint(state, tmp_path)
    here = checkpoint.describe_machine()
    monkeypatch.setattr(checkpoint, "describe_machine", lambda: {**here, "threads": 96, "cpu": "AVX9"})
    loaded = load_checkpoint(new_state(toys, toy), tmp_path)
    assert loaded is not None
    (warning,) = loaded.warnings
    assert f"threads {here['threads']} → 96" in warning
    assert f"cpu {here['cpu']} → AVX9" in warning
    assert "torch" not in warning


def test_a_checkpoint_of_another_model_is_an_error(toys, state, tmp_path):
    save_checkpoint(state, tmp_path)
    toy = toys.TOYS["flow-transformer"]
    other = TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)
    with raises_code("train.other_checkpoint", path=tmp_path / "000000000.safetensors"):
        load_checkpoint(other, tmp_path)
    averageless = TrainState.from_parts(
        nn.ModuleDict({"model": state.parts["model"]}), toys.TOYS["flow-dense"].objective, TrainConfig()
    )
    assert load_checkpoint(averageless, tmp_path) is not None, "a state without averages can load one that has them"


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "store.disk_full"), (errno.EACCES, "store.no_permission"), (errno.EROFS, "store.read_only")],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("which", [0, 1], ids=["weights", "metadata"])
def test_a_failed_write_leaves_the_old_checkpoint(toys, toy, state, tmp_path, monkeypatch, number, code, call, which):
    expected = advance(toys, toy, state, 1)
    save_checkpoint(state, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    advance(toys, toy, state, 1)
    with monkeypatch.context() as patch:
        writes = fail_write(patch, call, number, which)
        with raises_code(code):
            save_checkpoint(state, tmp_path)
        assert writes
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".draft")]
    other = new_state(toys, toy)
    loaded = load_checkpoint(other, tmp_path)
    assert loaded is not None
    assert loaded.warnings == ()
    assert is_same(other, expected)
    save_checkpoint(state, tmp_path)  # once there is space again, saving works
    assert load_checkpoint(new_state(toys, toy), tmp_path) == checkpoint.LoadResult(2, ())


def fail_write(patch: pytest.MonkeyPatch, call: str, number: int, which: int) -> list[int]:
    """Let the `which`-th draft fail in one of the system calls; return a list that will hold the error number."""
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace")}
    drafts, failed = [], []

    def open_draft(path, flags, *rest, **named):
        if str(path).endswith(".draft") and flags & os.O_CREAT:
            drafts.append(path)
            refuse("open", path)
        return real["open"](path, flags, *rest, **named)

    def refuse(name: str, path: object) -> None:
        if name == call and len(drafts) == which + 1 and not failed:
            failed.append(number)
            raise OSError(number, os.strerror(number), str(path))

    def sync_draft(descriptor):
        refuse("fsync", descriptor)
        return real["fsync"](descriptor)

    def put(source, target, **named):
        refuse("replace", target)
        return real["replace"](source, target, **named)

    patch.setattr(files.os, "open", open_draft)
    patch.setattr(files.os, "fsync", sync_draft)
    patch.setattr(files.os, "replace", put)
    return failed


def test_the_metadata_of_a_checkpoint(toys, toy, state, tmp_path):
    advance(toys, toy, state, 2)
    path = save_checkpoint(state, tmp_path)
    metadata = json.loads(path.with_suffix(".json").read_text())
    assert metadata["step"] == 2
    assert metadata["sha256"] == files.hash_file(path)
    assert metadata["machine"]["threads"] == torch.get_num_threads()
    assert metadata["keep"] is False


def test_a_checkpoint_with_old_tensor_names_loads(toys, tmp_path):
    """Earlier versions wrote other names for the networks' tensors, also in averages and optimizers."""
    toy = toys.TOYS["flow-dense"]
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)
    expected = advance(toys, toy, state, 2)
    path = save_checkpoint(state, tmp_path)
    old_tensors = {name.replace("in_proj.", "enter."): tensor for name, tensor in load_file(path).items()}
    assert len(old_tensors.keys() - expected.keys()) >= 6, (
        "weights and biases of the network, its average and optimizer"
    )
    save_file(old_tensors, path)
    metadata_path = path.with_suffix(".json")
    metadata_path.write_text(json.dumps({**json.loads(metadata_path.read_text()), "sha256": files.hash_file(path)}))
    other = new_state(toys, toy)
    assert load_checkpoint(other, tmp_path, "dense") == checkpoint.LoadResult(2, ())
    assert is_same(other, expected)


def test_a_checkpoint_in_a_bucket_is_written_during_training_and_loaded_on_another_machine(
    toys, toy, state, tmp_path, monkeypatch
):
    monkeypatch.setattr(mirror, "_mirrors", {})
    url = f"memory://{secrets.token_hex(8)}/workspace"

    def find_states(machine: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        return Workspace.from_option(url).root / "runs" / "2026-12-01-tales" / "state"

    here = find_states("here")
    expected = advance(toys, toy, state, 2)
    writer = CheckpointWriter(state, here)
    assert writer.is_background
    writer.save()
    advance(toys, toy, state, 1)
    writer.finish()
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStorage, "write", refuse_write)
        writer.save()
        with raises_code("store.storage_failed"):
            writer.finish()
    there = find_states("there")
    assert there != here
    other = new_state(toys, toy)
    assert load_checkpoint(other, there) == checkpoint.LoadResult(2, ())
    assert is_same(other, expected)


def refuse_write(storage: ObjectStorage, key: str, content, expected=None) -> str:
    raise GenloomError("store.storage_failed", url=storage.url, reason="503 Slow Down")
