"""The authority of a workspace: made once, private, replaced on demand, and known to others by its certificate."""

import stat
import threading
from pathlib import Path

import pytest

from genloom.errors import GenloomError
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


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines"])
def test_a_name_that_no_certificate_holds_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GenloomError) as caught:
        signing.create_signing_key(tmp_path, name)
    assert caught.value.code == "trust.bad_signer_name"
    assert signing.create_signing_key(tmp_path, "x" * 64).name == "x" * 64


@pytest.mark.parametrize("damage", ["active", "key"])
def test_a_damaged_key_is_named(tmp_path: Path, damage: str) -> None:
    key = signing.load_signing_key(tmp_path)
    path = tmp_path / "keys" / "signing" / ("active" if damage == "active" else f"{key.id}.pem")
    path.write_text("../../etc/passwd")
    with pytest.raises(GenloomError) as caught:
        signing.load_signing_key(tmp_path)
    assert caught.value.code == "trust.damaged_key"


def test_without_the_packages_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "is_available", lambda: False)
    with pytest.raises(GenloomError) as caught:
        signing.load_signing_key(tmp_path)
    assert caught.value.code == "trust.extra_missing"
    assert not (tmp_path / "keys").exists()
