"""`genloom verify`: what a person learns about files, their own and those of others."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.api.signing import UnsignedWarning
from genloom.api.verification import Verification, clean_text
from genloom.cli import run
from genloom.errors import GenloomError, format_message
from genloom.media import image, text
from genloom.store import files
from genloom.trust import manifests, signing

Capture = pytest.CaptureFixture[str]
PROMPT = "a secret wish"


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gl.Workspace:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    return gl.Workspace(tmp_path / "home")


def store_picture(ws: gl.Workspace, **more: Any) -> gl.Output:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    record = {"model": "tiles/1", "medium": "image", "prompt": PROMPT, **more}
    return ws.output(ws.store.save_output(image.encode(pixels), ".png", record))


def store_text(ws: gl.Workspace) -> gl.Output:
    record = {"model": "tales/1", "medium": "text", "prompt": PROMPT, "written": "Once upon a time"}
    return ws.output(ws.store.save_output(text.encode("Once upon a time"), ".txt", record))


def verify(capsys: Capture, *paths: Path) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code = run(["verify", *map(str, paths), "--marks", "none", "--json"])
    return code, json.loads(capsys.readouterr().out)["files"]


def test_an_output_tells_where_it_comes_from(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    picture, tale = store_picture(ws), store_text(ws)
    paths = [
        picture.save(tmp_path / "picture.png"),
        picture.save(tmp_path / "picture.jpg"),
        tale.save(tmp_path / "t.txt"),
    ]
    code, results = verify(capsys, *paths)
    assert code == 0
    assert [result["output"] for result in results] == [picture.id, picture.id, tale.id]
    assert [result["stored"] for result in results] == [False, False, True]
    for result in results:
        assert (result["signature"], result["manifest"]["authority"]) == ("unchanged", "workspace")
        assert result["facts"]["prompt"] == PROMPT  # which the workspace knows; the file does not tell it
    assert run(["verify", *map(str, paths), "--marks", "none"]) == 0
    printed = capsys.readouterr().out
    assert 'signed by "Genloom workspace" (this workspace), content unchanged' in printed
    assert "person" not in printed


def test_names_of_files_and_signers_cannot_pass_for_findings(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / 'a.txt\n  signature  signed by "me" (this workspace), content unchanged\x1b[2K.txt'
    path.write_text("x")
    assert run(["verify", str(path), "--marks", "none"]) == 1
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 3
    assert "\x1b" not in printed
    assert clean_text("Mia\u202edetsurt") == "Mia\N{REPLACEMENT CHARACTER}detsurt"


def test_what_is_no_file_is_named(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    link, pipe = tmp_path / "link.png", tmp_path / "pipe.png"
    link.symlink_to("nowhere")
    os.mkfifo(pipe)
    for path in (link, pipe):
        with pytest.raises(GenloomError) as caught:
            ws.verify(path)
        assert caught.value.code == "core.unreadable_file"
        assert ".." not in str(caught.value).replace(str(path), "")
    assert ws.verify(store_text(ws).path).list_lines()[1] == ("mark", format_message("trust.no_mark_to_find"))


def test_a_folder_is_verified_whole(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "shared"
    gl.Outputs([store_picture(ws), store_text(ws)]).save(folder / "inner")
    (folder / ".hidden").write_text("x")
    code, results = verify(capsys, folder)
    assert code == 0
    assert len(results) == 2
    (folder / "note.txt").write_text("written by hand")
    code, results = verify(capsys, folder)
    assert code == 1
    (note,) = (result for result in results if not result["fine"])
    assert (note["signature"], note["output"], note["manifest"]) == ("none", None, None)


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "tale.txt"])
def test_a_change_is_found(ws: gl.Workspace, tmp_path: Path, capsys: Capture, name: str) -> None:
    output = store_text(ws) if name.endswith(".txt") else store_picture(ws)
    path = output.save(tmp_path / name)
    path.write_bytes(path.read_bytes() + b"\0")
    code, (result,) = verify(capsys, path)
    assert (code, result["signature"], result["fine"]) == (1, "changed", False)
    assert result["output"] == output.id  # that its signature names


def test_a_copy_from_the_workspace_is_known_by_its_bytes(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    output = store_picture(ws)
    path = shutil.copy(output.path, tmp_path / "copy.png")
    code, (result,) = verify(capsys, Path(path))
    assert (code, result["signature"], result["output"], result["stored"]) == (0, "none", output.id, True)


def test_files_of_others_are_judged_by_their_certificates(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    other = gl.Workspace(tmp_path / "other")
    path = store_picture(other).save(tmp_path / "theirs.png")
    code, (result,) = verify(capsys, path)
    assert (code, result["signature"], result["manifest"]["authority"]) == (1, "unchanged", "unknown")
    assert result["output"] is None
    assert "prompt" not in result["facts"]
    ws.keys.trust_certificate(other.keys.export_key(tmp_path / "authority.pem"))
    code, (result,) = verify(capsys, path)
    assert (code, result["manifest"]["authority"], result["output"]) == (0, "trusted", None)


def test_a_stranger_cannot_pass_for_the_workspace(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    """A signature with the name of the workspace and the id of an output proves nothing without its key."""
    output = store_picture(ws)
    forger = signing.load_signing_key(tmp_path / "forger")
    signed = manifests.sign_bytes(forger, output.path.read_bytes(), ".png", {"output": output.id})
    path = tmp_path / "forged.png"
    path.write_bytes(signed.data)
    code, (result,) = verify(capsys, path)
    assert (code, result["manifest"]["authority"], result["output"]) == (1, "unknown", None)


def test_the_prompt_is_told_only_if_the_user_allows(ws: gl.Workspace, tmp_path: Path) -> None:
    output = store_picture(ws)
    assert PROMPT.encode() not in output.save(tmp_path / "without.png").read_bytes()
    (ws.folder / "trust.toml").write_text("[signatures]\ninclude_prompt = true\n")
    assert PROMPT.encode() in output.save(tmp_path / "with.png").read_bytes()
    manifest = output.manifest()
    assert manifest is not None
    assert manifest.facts["prompt"] == PROMPT


def test_a_manifest_is_verified_with_its_file(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    path = store_text(ws).save(tmp_path / "tale.txt")
    code, (result,) = verify(capsys, manifests.get_sidecar_path(path))
    assert (code, result["file"], result["signature"]) == (0, str(path), "unchanged")


def test_the_stored_output_has_no_signature_and_replays(ws: gl.Workspace, tmp_path: Path) -> None:
    output = store_picture(ws)
    before = output.path.read_bytes()
    output.save(tmp_path / "copy.png")
    assert output.path.read_bytes() == before
    output.verify()
    assert np.array_equal(image.open(tmp_path / "copy.png").value, output.value)


def test_hostile_files_are_only_without_evidence(ws: gl.Workspace, tmp_path: Path) -> None:
    contents = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xeb\xff\xff" * 9, b"RIFF\xff\xff\xff\xffWAVE" + bytes(50))
    suffixes = (".png", ".jpg", ".wav", ".svg", ".pdf", ".mp4", ".c2pa", "")
    paths = [tmp_path / f"hostile-{n}{suffix}" for n in range(len(contents)) for suffix in suffixes]
    for n, path in enumerate(paths):
        path.write_bytes(contents[n // len(suffixes)])
    results = list(ws.iter_verify(paths, marks="none"))
    assert len(results) == len(paths)
    for result in results:
        assert not result.is_fine, result
        assert result.signature in ("none", "unreadable"), result


def test_a_mark_is_evidence_where_the_signature_is_gone(tmp_path: Path) -> None:
    from genloom.trust.marks import MarkReport

    found, absent = (
        MarkReport(1e-9, "key", "blind", "tiles/1", 64, 1),
        MarkReport(0.2, "key", "blind", "tiles/1", 64, 1),
    )
    assert Verification(tmp_path, mark=found).is_fine
    assert not Verification(tmp_path, mark=absent).is_fine
    assert not Verification(tmp_path).is_fine
    changed = manifests.Manifest("changed", "workspace")
    assert not Verification(tmp_path, manifest=changed, mark=found).is_fine
    stranger = manifests.Manifest("unchanged", "unknown")
    assert not Verification(tmp_path, manifest=stranger, mark=found).is_fine
    lines = dict(Verification(tmp_path, mark=found).list_lines())
    assert lines["mark"].startswith("found (p = 1e-09")
    assert dict(Verification(tmp_path).list_lines())["mark"] == "not checked"


def test_what_a_stranger_writes_cannot_pass_for_a_statement_of_ours(ws: gl.Workspace, tmp_path: Path) -> None:
    stranger = signing.create_signing_key(tmp_path / "stranger", 'Genloom workspace" (this workspace), ')
    facts = {
        "model": "x\n  signature  signed",
        "data": "no list",
        "outputs": [1, {"output": ["x"]}],
        "prompt": {"a": 1},
    }
    signed = manifests.sign_bytes(stranger, b"Once", ".txt", facts, title="x\ny")
    path = tmp_path / "tale.txt"
    path.write_bytes(signed.data)
    assert signed.sidecar is not None
    manifests.get_sidecar_path(path).write_bytes(signed.sidecar)
    result = ws.verify(path, marks="none")
    assert not result.is_fine
    assert str(result).count("signature") == 1
    assert "unknown authority" in str(result)
    ws.keys.trust_certificate(gl.Workspace(tmp_path / "stranger").keys.export_key(tmp_path / "stranger.pem"))
    lines = str(ws.verify(path, marks="none")).splitlines()
    assert sum(line.startswith("  signature") for line in lines) == 1


def test_a_file_of_no_medium_is_not_searched_for_marks(ws: gl.Workspace, tmp_path: Path) -> None:
    path = tmp_path / "file.unknown"
    path.write_bytes(b"x")
    result = ws.verify(path)
    assert (result.mark, result.is_fine) == (None, False)
    assert result.mark_problem


def test_wrong_use_is_refused(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    assert run(["verify"]) == 2
    assert run(["verify", str(tmp_path / "missing.png")]) == 2
    assert "missing.png" in capsys.readouterr().err


def test_without_the_packages_an_output_leaves_with_a_note(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = store_picture(ws)
    monkeypatch.setattr(signing, "is_available", lambda: False)
    notes: list[str] = []
    path = output.save(tmp_path / "picture.png", note=notes.append)
    assert path.read_bytes() == output.path.read_bytes()
    assert len(notes) == 1
    assert output.manifest() is None
    with pytest.warns(UnsignedWarning):
        output.save(tmp_path / "again.png")
    with pytest.raises(GenloomError) as caught:
        ws.verify(path, marks="none")
    assert caught.value.code == "trust.extra_missing"
    assert any("genloom[trust]" in problem for problem in ws.doctor().problems)


def test_a_saved_file_does_not_keep_the_manifest_of_another(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "tale.txt"
    store_text(ws).save(path)
    other = ws.output(ws.store.save_output(b"Another", ".txt", {"medium": "text", "written": "Another"}))
    other.save(path)
    code, (result,) = verify(capsys, path)
    assert (code, result["signature"], result["output"]) == (0, "unchanged", other.id)


def test_a_folder_with_nothing_to_verify_is_an_error(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "empty"
    (folder / "inner").mkdir(parents=True)
    (folder / ".hidden").write_text("x")
    assert run(["verify", str(folder), "--marks", "none"]) == 2
    assert "[trust.nothing_to_verify]" in capsys.readouterr().err


def test_nothing_in_a_folder_passes_for_verified_that_was_not(
    ws: gl.Workspace, tmp_path: Path, capsys: Capture
) -> None:
    """Links that lead nowhere or to folders, pipes and manifests without their files are told."""
    folder, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    gl.Outputs([store_picture(ws), store_text(ws)]).save(folder)
    assert verify(capsys, folder)[0] == 0
    elsewhere.mkdir()
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "more").symlink_to(elsewhere)
    os.mkfifo(folder / "pipe.txt")
    shutil.copy(next(folder.glob("*.c2pa")), folder / "lost.mid.c2pa")
    code, results = verify(capsys, folder)
    assert code == 1
    problems = {Path(result["file"]).name for result in results if result["problem"]}
    assert problems == {"gone.png", "more", "pipe.txt", "lost.mid.c2pa"}
    assert sum(result["fine"] for result in results) == 2


def test_a_manifest_named_without_the_suffix_of_its_file_is_not_alone(
    ws: gl.Workspace, tmp_path: Path, capsys: Capture
) -> None:
    path = store_text(ws).save(tmp_path / "shared" / "tale.txt")
    manifests.get_sidecar_path(path).rename(path.with_suffix(".c2pa"))
    assert verify(capsys, path.parent)[0] == 0


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser reads everything")
def test_what_may_not_be_read_in_a_folder_keeps_nothing_else_from_being_verified(
    ws: gl.Workspace, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "shared"
    store_picture(ws).save(folder / "b.png")
    (folder / "closed").mkdir()
    (folder / "a.txt").write_text("x")
    for path in (folder / "closed", folder / "a.txt"):
        path.chmod(0)
    code, results = verify(capsys, folder)
    (folder / "closed").chmod(0o700)
    assert code == 1
    assert {Path(result["file"]).name: bool(result["problem"]) for result in results} == {
        "a.txt": True,
        "b.png": False,
        "closed": True,
    }


def test_a_file_that_cannot_be_read_in_a_folder_is_told_with_the_others(
    ws: gl.Workspace, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    store_picture(ws).save(folder / "b.png")
    (folder / "a.txt").write_text("x")
    hash_file = files.hash_file

    def fail(path: Path) -> str:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return hash_file(path)

    monkeypatch.setattr("genloom.store.files.hash_file", fail)
    code, results = verify(capsys, folder)
    assert code == 1
    assert {Path(result["file"]).name: bool(result["problem"]) for result in results} == {"a.txt": True, "b.png": False}
    with pytest.raises(GenloomError) as caught:
        ws.verify(folder / "a.txt")
    assert caught.value.code == "core.unreadable_file"


def test_a_file_that_changes_while_it_is_read_is_not_verified(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store_picture(ws).save(tmp_path / "picture.png")
    assert ws.verify(path, marks="none").is_fine
    hash_file = files.hash_file

    def change(path: Path) -> str:
        digest = hash_file(path)
        path.write_bytes(path.read_bytes())
        return digest

    monkeypatch.setattr("genloom.store.files.hash_file", change)
    found = ws.verify(path, marks="none")
    assert (found.is_fine, found.signature) == (False, "unread")


def test_records_of_outputs_are_no_files_without_evidence(ws: gl.Workspace, tmp_path: Path, capsys: Capture) -> None:
    """Those of this workspace, as they were written; any other JSON file stays one without evidence."""
    picture, tale = store_picture(ws), store_text(ws)
    folder = ws.folder / "outputs"
    code, results = verify(capsys, folder)
    assert (code, {result["output"] for result in results}) == (0, {picture.id, tale.id})
    shutil.copytree(folder, tmp_path / "copy")
    assert len(verify(capsys, tmp_path / "copy")[1]) == 5  # a workspace knows its own folder only
    record = tale.path.with_suffix(".json")
    record.write_text(record.read_text().replace("Once", "Twice"))
    (record.parent / "2026-01-01-abcdef.json").write_text("{}")
    code, results = verify(capsys, folder)
    assert code == 1
    assert {Path(result["file"]).name for result in results if not result["output"]} == {
        record.name,
        "2026-01-01-abcdef.json",
        tale.path.name,
    }


def test_progress_names_the_file_that_is_read(ws: gl.Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    gl.Outputs([store_picture(ws), store_text(ws)]).save(folder)
    told: list[tuple[float, str]] = []
    found = list(ws.iter_verify([folder], marks="none", progress=lambda done, note: told.append((done, note))))
    assert [done for done, _ in told] == [0.0, 0.5]
    assert all(str(each.path) in note for each, (_, note) in zip(found, told, strict=True))
    with pytest.raises(GenloomError):  # before the first file is read
        next(ws.iter_verify([folder, tmp_path / "missing"], progress=lambda done, note: None))
