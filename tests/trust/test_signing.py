"""The authority of a workspace: made once, private, replaced on demand, and known to others by its certificate."""

import stat
import threading
from pathlib import Path

import pytest

from genloom.api.doctor import find_signing_problems
from genloom.errors import GenloomError
from genloom.store.keys import MarkingKeys, list_exposed
from genloom.trust import signing


def list_modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    assert signing.list_signing_keys(tmp_path) == []
    key = signing.load_signing_key(tmp_path)
    assert signing.load_signing_key(tmp_path) == key
    assert signing.list_signing_keys(tmp_path) == [key]
    assert key.is_active
    modes = list_modes(tmp_path)
    assert modes["keys"] == modes["keys/signing"] == 0o700
    assert {mode for name, mode in modes.items() if "." in name or name.endswith("active")} == {0o600}


def test_threads_that_need_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    barrier, keys = threading.Barrier(4), []

    def load() -> None:
        barrier.wait()
        keys.append(signing.load_signing_key(tmp_path))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 4
    assert len({key.certificate for key in keys}) == 1


def test_the_certificate_is_signed_by_the_authority_and_may_only_sign_data(tmp_path: Path) -> None:
    from cryptography import x509

    key = signing.load_signing_key(tmp_path)
    authority, leaf = (x509.load_pem_x509_certificate(pem.encode()) for pem in (key.authority, key.certificate))
    leaf.verify_directly_issued_by(authority)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (
        leaf.not_valid_after_utc <= authority.not_valid_after_utc
        or (leaf.not_valid_after_utc - authority.not_valid_after_utc).total_seconds() < 3600
    )


def test_rotation_keeps_the_authority_and_a_new_key_has_another(tmp_path: Path) -> None:
    first = signing.load_signing_key(tmp_path)
    rotated = signing.rotate_signing_key(tmp_path)
    assert rotated.authority == first.authority
    assert rotated.certificate != first.certificate
    assert first.key not in (tmp_path / "keys" / "signing" / f"{first.id}.pem").read_text()
    new = signing.create_signing_key(tmp_path, "Mia's studio")
    assert new.authority != first.authority
    assert new.name == "Mia's studio"
    assert [key.is_active for key in signing.list_signing_keys(tmp_path)].count(True) == 1
    assert signing.load_signing_key(tmp_path) == new
    anchors = signing.read_anchors(tmp_path)
    assert first.authority in anchors.own
    assert new.authority in anchors.own


def test_a_secret_is_not_shown_by_accident(tmp_path: Path) -> None:
    key = signing.load_signing_key(tmp_path)
    assert "PRIVATE" not in repr(key)
    assert "PRIVATE" not in signing.export_certificate(tmp_path)
    assert "PRIVATE" in signing.export_secret(tmp_path)


def test_certificates_of_others_are_trusted_by_file(tmp_path: Path) -> None:
    other, mine = tmp_path / "other", tmp_path / "mine"
    path = tmp_path / "authority.pem"
    path.write_text(signing.export_certificate(other))
    (trusted,) = signing.trust_certificate(mine, path)
    assert signing.list_trusted(mine) == [trusted]
    assert trusted.pem in signing.read_anchors(mine).others
    assert list_modes(mine)[f"keys/trusted/{trusted.id}.pem"] == 0o600
    signing.trust_certificate(mine, path)  # a second time changes nothing
    assert signing.list_trusted(mine) == [trusted]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pem"
    path.write_bytes(content)
    with pytest.raises(GenloomError) as caught:
        signing.trust_certificate(tmp_path, path)
    assert caught.value.code == "trust.no_certificate"
    assert signing.list_trusted(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "é" * 33, "\udcff"])
def test_a_name_that_no_certificate_holds_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GenloomError) as caught:
        signing.create_signing_key(tmp_path, name)
    assert caught.value.code == "trust.bad_signer_name"
    for longest in ("x" * 64, "é" * 32):
        assert signing.create_signing_key(tmp_path, longest).name == longest


@pytest.mark.parametrize("damage", ["active", "key"])
def test_a_damaged_key_is_named(tmp_path: Path, damage: str) -> None:
    key = signing.load_signing_key(tmp_path)
    path = tmp_path / "keys" / "signing" / ("active" if damage == "active" else f"{key.id}.pem")
    path.write_text("../../etc/passwd")
    with pytest.raises(GenloomError) as caught:
        signing.load_signing_key(tmp_path)
    assert caught.value.code == "trust.damaged_key"


@pytest.mark.parametrize("damage", ["lost", "cut", "of another", "with a wrong key", "with a certificate of another"])
def test_a_new_key_cures_a_damaged_one(tmp_path: Path, damage: str) -> None:
    key = signing.load_signing_key(tmp_path)
    path, other = tmp_path / "keys" / "signing" / f"{key.id}.pem", signing.load_signing_key(tmp_path / "other")
    text = path.read_text()
    match damage:
        case "lost":
            path.unlink()
        case "cut":
            path.write_text(text[:500])
        case "of another":
            path.write_text((tmp_path / "other" / "keys" / "signing" / f"{other.id}.pem").read_text())
        case "with a wrong key":
            path.write_text(text.replace(key.key, other.key))
        case _:
            path.write_text(text.replace(key.certificate, other.certificate).replace(key.key, other.key))
    for use in (signing.load_signing_key, signing.list_signing_keys, signing.read_anchors):
        with pytest.raises(GenloomError) as caught:
            use(tmp_path)
        assert caught.value.code == "trust.damaged_key"
    new = signing.create_signing_key(tmp_path)
    assert signing.list_signing_keys(tmp_path) == [new]
    assert signing.read_anchors(tmp_path).own == new.authority
    codes = [error.code for error in signing.find_damaged_keys(tmp_path)]
    assert codes == ([] if damage == "lost" else ["trust.damaged_key"])


def test_without_the_note_of_the_key_in_use_the_newest_signs(tmp_path: Path) -> None:
    signing.load_signing_key(tmp_path)
    key = signing.create_signing_key(tmp_path, "Mia's studio")
    (tmp_path / "keys" / "signing" / "active").unlink()
    assert len(signing.list_signing_keys(tmp_path)) == 2
    assert not any(each.is_active for each in signing.list_signing_keys(tmp_path))
    used = signing.load_signing_key(tmp_path)
    assert [each.id for each in signing.list_signing_keys(tmp_path) if each.is_active] == [used.id]
    assert len(signing.list_signing_keys(tmp_path)) == 2
    assert key.authority in signing.read_anchors(tmp_path).own


@pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_trusted_certificate_is_named_and_hides_no_other(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "authority.pem"
    path.write_text(signing.export_certificate(tmp_path / "other"))
    (trusted,) = signing.trust_certificate(tmp_path, path)
    (tmp_path / "keys" / "trusted" / "0.pem").write_bytes(content)
    assert signing.list_trusted(tmp_path) == [trusted]
    assert [error.code for error in signing.find_damaged_keys(tmp_path)] == ["trust.damaged_certificate"]


def test_keys_that_others_can_read_are_found(tmp_path: Path) -> None:
    key = signing.load_signing_key(tmp_path)
    MarkingKeys(tmp_path).get_active()
    assert list_exposed(tmp_path) == []
    path = tmp_path / "keys" / "signing" / f"{key.id}.pem"
    path.chmod(0o640)
    (tmp_path / "keys" / "marking").chmod(0o755)
    assert list_exposed(tmp_path) == [tmp_path / "keys" / "marking", path]


@pytest.mark.parametrize("name", ["*.key", "active"])
def test_a_damaged_marking_key_is_a_problem(tmp_path: Path, name: str) -> None:
    MarkingKeys(tmp_path).get_active()
    assert list(find_signing_problems(tmp_path)) == []
    (path,) = (tmp_path / "keys" / "marking").glob(name)
    path.write_bytes(b"x" * path.stat().st_size)
    assert len(set(find_signing_problems(tmp_path))) == 1


def test_without_the_packages_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "is_available", lambda: False)
    with pytest.raises(GenloomError) as caught:
        signing.load_signing_key(tmp_path)
    assert caught.value.code == "trust.extra_missing"
    assert not (tmp_path / "keys").exists()
