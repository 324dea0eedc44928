"""Checkpoints: whole or not there, the one before where the newest is damaged, nothing lost on a full disk."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from genloom.store import files
from genloom.train import checkpoint
from genloom.train.checkpoint import MAX_CHECKPOINTS, delete_checkpoints_after, find_newest_step, load, save
from genloom.train.loop import TrainConfig, TrainState, train

PLAN = TrainConfig(steps=40, ema_decay=0.9)


@pytest.fixture
def toy(toys):
    return toys.TOYS["flow-dense"]


@pytest.fixture
def state(toys, toy) -> TrainState:
    return TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)


def advanced(toys, toy, state: TrainState, steps: int) -> dict[str, torch.Tensor]:
    run = train(toy.objective, toys.batches(toy, 4), PLAN, state)
    for _ in range(steps):
        next(run)
    return {name: tensor.detach().clone() for name, tensor in state.to_tensors().items()}


def fresh(toys, toy) -> TrainState:
    return TrainState.from_parts(toys.build_networks(toy, seed=5), toy.objective, PLAN)


def same(state: TrainState, wanted: dict[str, torch.Tensor]) -> bool:
    now = state.to_tensors()
    return now.keys() == wanted.keys() and all(torch.equal(now[n], wanted[n]) for n in wanted)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "name", ["flow-dense", "adversarial-dense", "autoregressive-transformer", "autoregressive-ngram"]
)
def test_what_is_saved_is_loaded(toys, tmp_path, name):
    """Tied weights, the counts of an n-gram model, two optimizers, averages: all of it."""
    toy = toys.TOYS[name]
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)
    wanted = advanced(toys, toy, state, 3)
    state.skipped_steps = 2
    path = save(state, tmp_path)
    assert path == tmp_path / "000000003.safetensors"
    other = fresh(toys, toy)
    loaded = load(other, tmp_path)
    assert loaded is not None
    assert (loaded.step, loaded.warnings) == (3, ())
    assert (other.step, other.skipped_steps) == (3, 2)
    assert same(other, wanted)
    tied = [p.data_ptr() for n, p in other.parts.named_parameters(remove_duplicate=False) if n.endswith("head.weight")]
    if name == "autoregressive-transformer":
        assert tied == [p.data_ptr() for n, p in other.parts.named_parameters() if n.endswith("embed.weight")]


def test_there_is_nothing_to_load_in_a_new_folder(state, tmp_path):
    assert load(state, tmp_path) is None
    assert load(state, tmp_path / "missing") is None


def test_the_newest_few_are_kept_and_the_one_to_keep(toys, toy, state, tmp_path):
    for step in range(6):
        save(state, tmp_path, should_keep=step == 1)
        advanced(toys, toy, state, 1)
    steps = [1, *range(6 - MAX_CHECKPOINTS, 6)]
    assert names(tmp_path) == sorted(f"{s:09d}{end}" for s in steps for end in (".json", ".safetensors"))


def test_saving_again_at_the_step_to_keep_keeps_it(toys, toy, state, tmp_path):
    """A run that is stopped just where it will be extended from is saved there twice."""
    save(state, tmp_path, should_keep=True)
    save(state, tmp_path)
    for _ in range(4):
        advanced(toys, toy, state, 1)
        save(state, tmp_path)
    assert "000000000.safetensors" in names(tmp_path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a flipped bit": lambda path: flip(path),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "facts cut short": lambda path: path.with_suffix(".json").write_text('{"step": 2, "ski'),
    "facts of another step": lambda path: path.with_suffix(".json").write_text(
        path.with_suffix(".json").read_text().replace('"step": 2', '"step": 7')
    ),
    "facts that are no facts": lambda path: path.with_suffix(".json").write_text("[1]"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_of_a_damaged_checkpoint_the_one_before_is_used(toys, toy, state, tmp_path, how):
    wanted = advanced(toys, toy, state, 1)
    save(state, tmp_path)
    advanced(toys, toy, state, 1)
    DAMAGE[how](save(state, tmp_path))
    other = fresh(toys, toy)
    loaded = load(other, tmp_path)
    assert loaded is not None
    assert loaded.step == other.step == 1
    assert len(loaded.warnings) == 1
    assert "000000002" in loaded.warnings[0]
    assert loaded.warnings[0].endswith("; the checkpoint of step 1 is used.")
    assert same(other, wanted)
    # The run goes on, and what was damaged never comes back.
    for _ in range(3):
        advanced(toys, toy, other, 1)
        save(other, tmp_path)
        again = load(fresh(toys, toy), tmp_path)
        assert again is not None
        assert (again.step, again.warnings) == (other.step, ())
        assert len(names(tmp_path)) == 4, "two good ones, whatever was there"


def test_a_save_that_was_killed_half_way_is_not_missed(toys, toy, state, tmp_path):
    """The file of facts comes last; without it there is no checkpoint, and the next save clears the rest away."""
    save(state, tmp_path)
    wanted = advanced(toys, toy, state, 1)
    save(state, tmp_path)
    (tmp_path / "000000002.safetensors").write_bytes(b"half")
    draft = tmp_path / ".0123456789ab.draft"
    draft.write_bytes(b"half")
    os.utime(draft, (0, 0))
    other = fresh(toys, toy)
    loaded = load(other, tmp_path)
    assert loaded is not None
    assert (loaded.step, loaded.warnings) == (1, ())
    assert same(other, wanted)
    save(other, tmp_path)
    assert names(tmp_path) == [f"00000000{i}{end}" for i in (0, 1) for end in (".json", ".safetensors")]


def test_where_all_are_damaged_it_says_so_and_starts_again(toys, toy, state, tmp_path):
    for _ in range(2):
        advanced(toys, toy, state, 1)
        flip(save(state, tmp_path))
    other = fresh(toys, toy)
    before = {name: tensor.clone() for name, tensor in other.to_tensors().items()}
    loaded = load(other, tmp_path)
    assert loaded is not None
    assert loaded.step == 0
    assert len(loaded.warnings) == 3
    assert "from its beginning" in loaded.warnings[-1]
    assert not any("is used" in warning for warning in loaded.warnings), "there is none that could be"
    assert same(other, before)


def test_rewinding_forgets_what_came_after(toys, toy, state, tmp_path):
    for step in range(4):
        save(state, tmp_path, should_keep=step == 1)
        advanced(toys, toy, state, 1)
    assert find_newest_step(tmp_path, 1) == 1
    delete_checkpoints_after(tmp_path, 1)
    assert names(tmp_path) == ["000000001.json", "000000001.safetensors"]
    delete_checkpoints_after(tmp_path, 0)
    assert find_newest_step(tmp_path, 9) == 0
    assert names(tmp_path) == []


def test_another_machine_is_named(toys, toy, state, tmp_path, monkeypatch):
    save(state, tmp_path)
    here = checkpoint.describe_machine()
    monkeypatch.setattr(checkpoint, "describe_machine", lambda: {**here, "threads": 96, "cpu": "AVX9"})
    loaded = load(fresh(toys, toy), tmp_path)
    assert loaded is not None
    (warning,) = loaded.warnings
    assert f"threads {here['threads']} → 96" in warning
    assert f"cpu {here['cpu']} → AVX9" in warning
    assert "torch" not in warning


def test_a_checkpoint_of_another_model_is_refused(toys, state, tmp_path):
    save(state, tmp_path)
    toy = toys.TOYS["flow-transformer"]
    other = TrainState.from_parts(toys.build_networks(toy), toy.objective, PLAN)
    with pytest.raises(ValueError, match=r"000000000.safetensors: this checkpoint is of another model"):
        load(other, tmp_path)
    averageless = TrainState.from_parts(
        nn.ModuleDict({"model": state.parts["model"]}), toys.TOYS["flow-dense"].objective, TrainConfig()
    )
    assert load(averageless, tmp_path) is not None, "a state that keeps no average can be filled from one that does"


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "the disk is full. Free some space"), (errno.EACCES, "permission"), (errno.EROFS, "read-only")],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("which", [0, 1], ids=["weights", "facts"])
def test_a_disk_that_refuses_leaves_the_old_checkpoint_and_names_the_cure(
    toys, toy, state, tmp_path, monkeypatch, number, cure, call, which
):
    wanted = advanced(toys, toy, state, 1)
    save(state, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    advanced(toys, toy, state, 1)
    with monkeypatch.context() as patch:
        writes = refused(patch, call, number, which)
        with pytest.raises(ValueError, match=cure):
            save(state, tmp_path)
        assert writes
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".draft")]
    other = fresh(toys, toy)
    loaded = load(other, tmp_path)
    assert loaded is not None
    assert loaded.warnings == ()
    assert same(other, wanted)
    save(state, tmp_path)  # and when there is room again, it is as if nothing had been
    assert load(fresh(toys, toy), tmp_path) == checkpoint.LoadResult(2, ())


def refused(patch: pytest.MonkeyPatch, call: str, number: int, which: int) -> list[int]:
    """Let the `which`-th draft that is written fail in one of the system's calls; what failed is listed."""
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace")}
    drafts, failed = [], []

    def opened(path, flags, *rest, **named):
        if str(path).endswith(".draft") and flags & os.O_CREAT:
            drafts.append(path)
            refuse("open", path)
        return real["open"](path, flags, *rest, **named)

    def refuse(name: str, path: object) -> None:
        if name == call and len(drafts) == which + 1 and not failed:
            failed.append(number)
            raise OSError(number, os.strerror(number), str(path))

    def synced(descriptor):
        refuse("fsync", descriptor)
        return real["fsync"](descriptor)

    def put(source, target, **named):
        refuse("replace", target)
        return real["replace"](source, target, **named)

    patch.setattr(files.os, "open", opened)
    patch.setattr(files.os, "fsync", synced)
    patch.setattr(files.os, "replace", put)
    return failed


def test_the_facts_beside_a_checkpoint(toys, toy, state, tmp_path):
    advanced(toys, toy, state, 2)
    path = save(state, tmp_path)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["step"] == 2
    assert facts["sha256"] == files.hash_file(path)
    assert facts["machine"]["threads"] == torch.get_num_threads()
    assert facts["keep"] is False
