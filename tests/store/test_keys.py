"""Marking keys: made at the first use, for their owner only, rotated, never lost."""

import json
import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genloom.generate import engine
from genloom.generate.marking import mark_request, restore_noise_key, unmark_request
from genloom.generate.output_records import replay_output, store_outputs
from genloom.model import Model, load_model
from genloom.store import keys
from genloom.store.keys import MarkingKeys, derive_noise_key
from genloom.store.workspace import Workspace
from tests.errors import raises_code


@pytest.fixture(autouse=True)
def random_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "draw_secret", lambda: secrets.token_bytes(keys.SECRET_BYTES))


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_use_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    marking_keys = MarkingKeys(tmp_path)
    assert marking_keys.find_active() is None
    assert marking_keys.list_keys() == []
    assert not (tmp_path / "keys").exists()
    key = marking_keys.get_active()
    assert len(key.secret) == 32
    assert marking_keys.get_active() == key == marking_keys.get(key.id)
    assert marking_keys.list_keys() == [key]
    assert key.secret.hex() not in repr(key)
    assert get_mode(tmp_path / "keys") == get_mode(tmp_path / "keys" / "marking") == 0o700
    assert {get_mode(path) for path in (tmp_path / "keys" / "marking").iterdir()} == {0o600}


def test_rotation_adds_a_key_and_the_old_ones_stay(tmp_path: Path) -> None:
    marking_keys = MarkingKeys(tmp_path)
    first, second, third = marking_keys.get_active(), marking_keys.rotate(), marking_keys.rotate()
    assert len({first.secret, second.secret, third.secret}) == 3
    assert marking_keys.get_active() == third
    assert {key.id for key in marking_keys.list_keys()} == {first.id, second.id, third.id}
    assert marking_keys.get(first.id) == first


def test_processes_that_need_the_first_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda _: MarkingKeys(tmp_path).get_active(), range(16)))
    assert len({key.id for key in found}) == 1
    assert len(MarkingKeys(tmp_path).list_keys()) == 1


@pytest.mark.parametrize("id", ["2026-01-01-00000000", "", "..", "../active", "active", "x" * 1000])
def test_a_key_that_is_not_there_is_an_error_with_its_cure(tmp_path: Path, id: str) -> None:
    MarkingKeys(tmp_path).get_active()
    with raises_code("store.marking_key_gone"):
        MarkingKeys(tmp_path).get(id)


@pytest.mark.parametrize("content", [b"", b"short", bytes(32), bytes(64)])
def test_a_damaged_key_is_never_used(tmp_path: Path, content: bytes) -> None:
    key = MarkingKeys(tmp_path).get_active()
    (tmp_path / "keys" / "marking" / f"{key.id}.key").write_bytes(content)
    with raises_code("store.damaged_marking_key"):
        MarkingKeys(tmp_path).get_active()


def test_the_noise_key_is_that_of_rfc_5869_and_differs_by_medium_and_secret() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    secret, other = bytes(range(32)), bytes(range(1, 33))
    expected = HKDF(SHA256(), 8, b"genloom noise", b"text").derive(secret)
    assert derive_noise_key(secret, "text") == int.from_bytes(expected, "big")
    assert len({derive_noise_key(s, medium) for s in (secret, other) for medium in ("text", "music", "image")}) == 6


@pytest.fixture
def model(trained_copy: Workspace) -> Model:
    return load_model(trained_copy, "tales")


def store(workspace: Workspace, model: Model, request: engine.Request) -> str:
    (output,) = store_outputs(workspace, model, request, engine.run_request(model, request))
    return output


def make_request() -> engine.Request:
    return engine.build_request(["Zoë"], 1, 3, (), {"max_tokens": 40})


def test_a_record_names_the_key_and_never_holds_it(trained_copy: Workspace, model: Model) -> None:
    request = mark_request(trained_copy, model, make_request())
    key = MarkingKeys(trained_copy.root).get_active()
    assert request.marking_key == key.id
    assert str(request.noise_key) not in repr(request)
    path, record = trained_copy.get_output(store(trained_copy, model, request))
    assert record["request"]["marking_key"] == key.id
    text = json.dumps(record) + path.with_suffix(".json").read_text()
    assert "noise_key" not in text
    assert str(request.noise_key) not in text


def test_outputs_replay_after_a_rotation_and_not_without_their_key(trained_copy: Workspace, model: Model) -> None:
    request = mark_request(trained_copy, model, make_request())
    output = store(trained_copy, model, request)
    MarkingKeys(trained_copy.root).rotate()
    newer = mark_request(trained_copy, model, make_request())
    assert newer.marking_key != request.marking_key
    assert engine.run_request(model, newer).values != engine.run_request(model, request).values
    assert replay_output(trained_copy, output)[1] == trained_copy.get_output(output)[0].read_text()
    (trained_copy.root / "keys" / "marking" / f"{request.marking_key}.key").unlink()
    with raises_code("store.marking_key_gone"):
        replay_output(trained_copy, output)


def test_unmarked_outputs_are_those_of_earlier_versions_and_say_so(trained_copy: Workspace, model: Model) -> None:
    request = make_request()
    assert request.noise_key == 0x67656E6C6F6F6D
    assert unmark_request(mark_request(trained_copy, model, request)) == request
    path, record = trained_copy.get_output(store(trained_copy, model, request))
    assert record["request"]["marking_key"] == ""
    assert replay_output(trained_copy, record["id"])[1] == path.read_text()
    assert restore_noise_key(trained_copy, model, request) == request


def test_a_seed_gives_other_outputs_in_another_workspace_unless_they_are_unmarked(
    trained_copy: Workspace, model: Model, tmp_path: Path
) -> None:
    workspaces = trained_copy, Workspace(tmp_path / "other")
    marked = [engine.run_request(model, mark_request(each, model, make_request())).values for each in workspaces]
    assert marked[0] != marked[1]
    again = engine.run_request(model, mark_request(trained_copy, model, make_request())).values
    assert again == marked[0]
