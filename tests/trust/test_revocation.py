"""Stolen keys: once revoked they prove nothing, here and where they were trusted; earlier files stay known."""

import hashlib
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.api.verification import Verification
from genloom.cli import run
from genloom.errors import GenloomError
from genloom.media import image, text
from genloom.store import keys
from genloom.store.keys import MarkingKeys
from genloom.trust import manifests, revocation, signing
from genloom.trust.marks import MarkReport, choose_report
from tests.errors import raises_code


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
    monkeypatch.setattr(keys, "draw_secret", lambda: secrets.token_bytes(32))  # other tests draw a constant one
    return gl.Workspace(tmp_path / "home")


def store_picture(ws: gl.Workspace, seed: int = 0) -> gl.Output:
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return ws.output(ws.store.save_output(image.encode(pixels), ".png", {"model": "tiles/1", "medium": "image"}))


def store_text(ws: gl.Workspace, content: str) -> gl.Output:
    record = {"model": "tales/1", "medium": "text", "written": content}
    return ws.output(ws.store.save_output(text.encode(content), ".txt", record))


def verify(ws: gl.Workspace, path: Path) -> Verification:
    return ws.verify(path, marks="none")


def get_authority(found: Verification) -> str:
    assert found.manifest is not None
    return found.manifest.authority


def steal_key(ws: gl.Workspace, folder: Path) -> signing.SigningKey:
    """Return the workspace's key as a thief has it, who copies its file."""
    shutil.copytree(ws.folder / "keys", folder / "keys")
    return signing.load_signing_key(folder)


def test_a_stolen_key_proves_nothing_once_revoked_and_earlier_files_stay_trusted(
    ws: gl.Workspace, tmp_path: Path
) -> None:
    output, tale = store_picture(ws), store_text(ws, "Once upon a time")
    early = [output.save(tmp_path / "early.png"), tale.save(tmp_path / "early.txt")]
    stolen = steal_key(ws, tmp_path / "thief")
    forged = tmp_path / "forged.png"
    forged.write_bytes(manifests.sign_bytes(stolen, store_picture(ws, 1).path.read_bytes(), ".png", {}).data)
    assert verify(ws, forged).is_fine
    revoked = ws.keys.revoke_key(stolen.id[:8], "the laptop was stolen")
    assert (revoked.id, revoked.kind, revoked.is_active) == (stolen.id, "signing", False)
    found = verify(ws, forged)
    assert (found.is_fine, found.signature, get_authority(found)) == (False, "unchanged", "unknown")
    assert found.manifest is not None
    assert found.manifest.is_revoked
    for path in early:
        found = verify(ws, path)
        assert (found.is_fine, get_authority(found)) == (True, "workspace"), path
    late = output.save(tmp_path / "late.png")
    assert verify(ws, late).is_fine
    (active,) = (key for key in ws.keys.list_keys() if key.kind == "signing" and key.is_active)
    assert (active.name, active.id != stolen.id) == (stolen.name, True)


def test_a_manifest_beside_a_file_is_judged_by_itself(ws: gl.Workspace, tmp_path: Path) -> None:
    """The thief signs the very text that the workspace signed, and says something else of it."""
    path = store_text(ws, "Once upon a time").save(tmp_path / "tale.txt")
    stolen = steal_key(ws, tmp_path / "thief")
    ws.keys.revoke_key(stolen.id)
    assert get_authority(verify(ws, path)) == "workspace"
    forged = manifests.sign_bytes(stolen, path.read_bytes(), ".txt", {"model": "another"})
    assert forged.sidecar is not None
    manifests.get_sidecar_path(path).write_bytes(forged.sidecar)
    assert get_authority(verify(ws, path)) == "unknown"


def test_the_secret_of_a_revoked_key_is_deleted_and_a_backup_of_it_is_not_trusted(
    ws: gl.Workspace, tmp_path: Path
) -> None:
    store_picture(ws).save(tmp_path / "a.png")
    stolen = steal_key(ws, tmp_path / "thief")
    file = ws.folder / "keys" / "signing" / f"{stolen.id}.pem"
    backup = file.read_bytes()
    ws.keys.revoke_key(stolen.id)
    assert not file.exists()
    assert not [path for path in ws.folder.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()][1:]
    file.write_bytes(backup)
    anchors = signing.read_anchors(ws.folder)
    assert stolen.authority not in anchors.own
    assert stolen.authority in anchors.revoked


def test_the_authority_of_somebody_else_is_revoked_and_not_trusted_again_by_mistake(
    ws: gl.Workspace, tmp_path: Path
) -> None:
    other = gl.Workspace(tmp_path / "other")
    path = store_picture(other).save(tmp_path / "theirs.png")
    certificate = other.keys.export_key(tmp_path / "authority.pem")
    (trusted,) = ws.keys.trust_certificate(certificate)
    assert verify(ws, path).is_fine
    ws.keys.revoke_key(trusted.id)
    found = verify(ws, path)
    assert (found.is_fine, get_authority(found)) == (False, "unknown")
    with raises_code("trust.revoked_certificate"):
        ws.keys.trust_certificate(certificate)
    assert [key.is_active for key in ws.keys.list_keys() if key.id == trusted.id] == [False]


def test_a_mark_by_a_revoked_key_is_no_evidence(ws: gl.Workspace) -> None:
    marking = MarkingKeys(ws.folder)
    stolen = marking.get_active()
    report = MarkReport(1e-30, stolen.id, "blind", "tales/1", 200, 1)
    assert choose_report(ws.store, [report]).is_found
    ws.keys.revoke_key(stolen.id)
    judged = choose_report(ws.store, [report])
    assert (judged.is_found, judged.is_significant, judged.is_revoked) == (False, True, True)
    assert not Verification(Path("a.txt"), mark=judged).is_fine
    active = marking.get_active()
    assert active.id != stolen.id
    assert marking.get(stolen.id) == stolen  # for the replay of what it marked
    own = MarkReport(1e-9, active.id, "blind", "tales/1", 200, 1)
    assert choose_report(ws.store, [report, own]).key == active.id


def test_what_is_not_there_or_revoked_already_is_an_error(ws: gl.Workspace, tmp_path: Path) -> None:
    key = signing.load_signing_key(ws.folder)
    ws.keys.revoke_key(key.id)
    for id, code in (("0123", "trust.unknown_key"), (key.id, "trust.already_revoked")):
        with raises_code(code):
            ws.keys.revoke_key(id)


@pytest.mark.parametrize("content", [b"", b"\xff", b"kind = 1", b'kind = "signing"\n', b'kind = "x"\nrevoked = "y"\n'])
def test_a_damaged_revocation_makes_nothing_trusted(ws: gl.Workspace, tmp_path: Path, content: bytes) -> None:
    path = store_picture(ws).save(tmp_path / "a.png")
    key = signing.load_signing_key(ws.folder)
    ws.keys.revoke_key(key.id)
    (ws.folder / "keys" / "revoked" / f"{key.id}.toml").write_bytes(content)
    with raises_code("trust.damaged_revocation"):
        verify(ws, path)


@pytest.mark.parametrize("reason", ['a "quoted" \\ reason\nof two lines', "é \u2028 \U0001f511", "", "x" * 5000])
def test_a_revocation_is_read_as_it_was_written(ws: gl.Workspace, reason: str) -> None:
    key = signing.load_signing_key(ws.folder)
    ws.keys.revoke_key(key.id, reason)
    (found,) = revocation.list_revoked(ws.folder)
    assert found.certificate == key.authority
    assert found.reason == " ".join(reason.split())[: revocation.MAX_REASON_CHARS]


def test_a_torn_line_hides_no_other_signature(ws: gl.Workspace) -> None:
    (ws.folder / "keys").mkdir(parents=True)
    for data in (b"one", b"two"):
        revocation.record_signature(ws.folder, data)
        with (ws.folder / "keys" / "signed.txt").open("ab") as file:
            file.write(b"\nab12")
    assert all(revocation.has_signed(ws.folder, hashlib.sha256(data).hexdigest()) for data in (b"one", b"two"))
    assert not revocation.has_signed(ws.folder, hashlib.sha256(b"three").hexdigest())


def test_the_command_revokes_and_lists(
    ws: gl.Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(ws.folder))
    key = signing.load_signing_key(ws.folder)
    assert run(["keys", "revoke"]) == 2
    assert run(["keys", "revoke", key.id, "--reason", "stolen"]) == 0
    capsys.readouterr()
    assert run(["keys"]) == 0
    lines: list[Any] = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if key.id in line)
    assert "revoked" in line


def test_without_a_revocation_nothing_changes(ws: gl.Workspace) -> None:
    assert revocation.list_revoked(ws.folder) == []
    assert revocation.find_revoked(ws.folder, "../../x") is None
    with pytest.raises(GenloomError):
        ws.keys.revoke_key("")
