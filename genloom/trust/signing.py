"""The workspace's own authority, whose certificate signs the one that signs outputs: ES256, made at the first use.

`keys/signing/<id>.pem` in the workspace holds an authority (certificate and key) and the certificate and key that sign;
`keys/signing/active` names the one in use. Signatures of earlier ones stay valid. `keys/trusted/*.pem` holds
certificates of others. All of them are readable by the owner only.
"""

import importlib.util
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from genloom.errors import GenloomError
from genloom.store import files, mirror
from genloom.trust.certificates import (
    CLOCK_TOLERANCE,
    build_name,
    certify_key,
    hash_certificate,
    read_organisation,
    to_pem,
    to_secret_pem,
)
from genloom.trust.revocation import RevokedKey, find_revoked, get_timestamp, list_revoked, record_revocation

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

DEFAULT_NAME = "Genloom workspace"
MAX_NAME_BYTES = 64  # of an organisation in a certificate (RFC 5280), in UTF-8
_ACTIVE = "active"
_SECRET_MODE, _FOLDER_MODE = 0o600, 0o700
_MAX_PEM_BYTES = 1 << 20
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True)
class SigningKey:
    """An authority with the certificate that signs for it."""

    id: str  # the beginning of the SHA-256 of the authority's certificate, in hexadecimal
    name: str  # of who signs
    created: str  # when the certificate that signs was made, ISO 8601 in UTC
    expires: str
    is_active: bool
    authority: str  # PEM
    certificate: str  # PEM
    key: str = field(repr=False)  # PEM, secret

    @property
    def chain(self) -> str:
        """The certificates that a signature carries, as PEM."""
        return self.certificate + self.authority


@dataclass(frozen=True)
class TrustedCertificate:
    """A certificate of somebody else, whose signatures are trusted."""

    id: str
    name: str
    expires: str
    pem: str


def is_available() -> bool:
    """Return whether the packages of the extra `trust` are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("c2pa", "cryptography"))


def load_signing_key(root: Path) -> SigningKey:
    """Return the key in use of the workspace in this folder, made at the first use.

    Raises GenloomError (trust.extra_missing, trust.damaged_key).
    """
    _require_packages()
    folder = root / "keys" / "signing"
    if not (folder / _ACTIVE).is_file():
        _make_folder(root, folder)
        with files.lock_folder(folder):
            if not (folder / _ACTIVE).is_file():  # another process was not faster
                _restore_active(folder) or _create_key(folder, DEFAULT_NAME)
    return _read_key(folder, _read_active(folder))


def create_signing_key(root: Path, name: str = "") -> SigningKey:
    """Make a new authority, which signs from now on; files that earlier ones signed stay valid here.

    Raises GenloomError (trust.extra_missing, trust.bad_signer_name).
    """
    _require_packages()
    if not (name or DEFAULT_NAME).isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        raise GenloomError("trust.bad_signer_name", name=name[:MAX_NAME_BYTES], limit=MAX_NAME_BYTES)
    folder = root / "keys" / "signing"
    _make_folder(root, folder)
    with files.lock_folder(folder):
        return _create_key(folder, name or DEFAULT_NAME)


def rotate_signing_key(root: Path) -> SigningKey:
    """Replace the certificate and key that sign by new ones of the same authority; the old key is deleted."""
    key = load_signing_key(root)
    folder = root / "keys" / "signing"
    with files.lock_folder(folder):
        authority, authority_key = _read_authority(folder / f"{key.id}.pem")
        _write_key(folder, key.id, authority, authority_key)
    return _read_key(folder, key.id)


def revoke_signing_key(root: Path, id: str, reason: str = "") -> RevokedKey:
    """Revoke an authority of the workspace, and delete its keys; if it is in use, a new one of its name takes over."""
    _require_packages()
    folder = root / "keys" / "signing"
    key = _read_key(folder, id)
    if key.is_active:
        create_signing_key(root, key.name)  # first: a crash leaves no revoked key in use
    revoked = RevokedKey(id, "signing", get_timestamp(), key.name, reason, key.created, key.expires, key.authority)
    record_revocation(root, revoked)
    mirror.remove_path(folder / f"{id}.pem")
    return revoked


def revoke_trusted(root: Path, certificate: TrustedCertificate, reason: str = "") -> RevokedKey:
    """Revoke the authority of somebody else: none of its signatures is trusted any more."""
    revoked = RevokedKey(
        certificate.id, "trusted", get_timestamp(), certificate.name, reason, "", certificate.expires, certificate.pem
    )
    record_revocation(root, revoked)
    mirror.remove_path(root / "keys" / "trusted" / f"{certificate.id}.pem")
    return revoked


def list_signing_keys(root: Path) -> list[SigningKey]:
    """List the authorities of the workspace, oldest first; empty before the first use.

    One that is not in use and cannot be read is left out; `find_damaged_keys` names it.
    """
    folder = root / "keys" / "signing"
    if not folder.is_dir():
        return []
    _require_packages()
    if (folder / _ACTIVE).is_file():
        _read_key(folder, _read_active(folder))
    return sorted(_iter_readable(folder), key=lambda key: (key.created, key.id))


def find_damaged_keys(root: Path) -> Iterator[GenloomError]:
    """Yield an error for each authority and each trusted certificate that cannot be read."""
    for path in sorted((root / "keys" / "signing").glob("*.pem")):
        try:
            _read_key(path.parent, path.stem)
        except GenloomError as error:
            yield error
    for path in sorted((root / "keys" / "trusted").glob("*.pem")):
        if not _read_trusted(path):
            yield GenloomError("trust.damaged_certificate", path=path)


def _iter_readable(folder: Path) -> Iterator[SigningKey]:
    for path in folder.glob("*.pem"):
        with suppress(GenloomError):
            yield _read_key(folder, path.stem)


def _restore_active(folder: Path) -> bool:
    """Use the newest key again if the file with the id of that in use is lost; return whether there is one."""
    newest = max(_iter_readable(folder), key=lambda key: (key.created, key.id), default=None)
    if newest is not None:
        files.write_atomic(folder / _ACTIVE, newest.id, _SECRET_MODE)
    return newest is not None


def trust_certificate(root: Path, path: Path) -> list[TrustedCertificate]:
    """Add the certificates in a PEM file to those whose signatures are trusted, and return them.

    Raises GenloomError (trust.extra_missing, trust.no_certificate, trust.revoked_certificate).
    """
    _require_packages()
    from cryptography import x509

    try:
        text = files.read_beginning(path, _MAX_PEM_BYTES).decode("ascii")
        certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in _find_certificates(text)]
    except (OSError, ValueError) as error:  # UnicodeDecodeError is one
        raise GenloomError("trust.no_certificate", path=path) from error
    if not certificates:
        raise GenloomError("trust.no_certificate", path=path)
    folder = root / "keys" / "trusted"
    trusted = [_describe_certificate(to_pem(certificate)) for certificate in certificates]
    for certificate in trusted:
        if (revoked := find_revoked(root, certificate.id)) is not None:
            file = root / "keys" / "revoked" / f"{revoked.id}.toml"
            raise GenloomError("trust.revoked_certificate", id=revoked.id, date=revoked.revoked[:10], path=file)
    _make_folder(root, folder)
    for certificate in trusted:
        files.write_atomic(folder / f"{certificate.id}.pem", certificate.pem, _SECRET_MODE)
    return trusted


def list_trusted(root: Path) -> list[TrustedCertificate]:
    """List the certificates of others whose signatures are trusted, without damaged ones."""
    paths = sorted((root / "keys" / "trusted").glob("*.pem"))
    if paths:
        _require_packages()
    return [certificate for path in paths for certificate in _read_trusted(path)]


def _read_trusted(path: Path) -> list[TrustedCertificate]:
    """Return the certificates in a file; [] if there is none, or one that cannot be read."""
    try:
        text = files.read_beginning(path, _MAX_PEM_BYTES).decode("ascii")
        found = [_describe_certificate(pem) for pem in _find_certificates(text)]
        return [certificate for certificate in found if certificate.id == path.stem]  # others were changed
    except (OSError, ValueError):  # UnicodeDecodeError is one
        return []


@dataclass(frozen=True)
class Anchors:
    """The certificates that signatures are judged by, as PEM."""

    own: str  # those of the workspace
    others: str
    revoked: str = ""  # those that were the workspace's or trusted, and are revoked


def read_anchors(root: Path) -> Anchors:
    """Return the workspace's authorities and the trusted certificates, and the revoked ones."""
    revoked = {key.id: key.certificate for key in list_revoked(root)}
    own = "".join(key.authority for key in list_signing_keys(root) if key.id not in revoked)
    others = "".join(certificate.pem for certificate in list_trusted(root) if certificate.id not in revoked)
    return Anchors(own, others, "".join(revoked.values()))


def export_certificate(root: Path) -> str:
    """Return the authority's certificate as PEM, for others to trust; it is no secret."""
    return load_signing_key(root).authority


def export_secret(root: Path) -> str:
    """Return the whole signing key as PEM, secrets included."""
    key = load_signing_key(root)
    return (root / "keys" / "signing" / f"{key.id}.pem").read_text(encoding="ascii")


def _require_packages() -> None:
    if not is_available():
        raise GenloomError("trust.extra_missing")


def _make_folder(root: Path, folder: Path) -> None:
    with files.translate_errors(folder):
        for each in (root / "keys", folder):
            each.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)


def _create_key(folder: Path, name: str) -> SigningKey:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs certificates
    short_name = name.encode()[: MAX_NAME_BYTES - len(" authority")].decode(errors="ignore")
    subject = build_name(name, f"{short_name} authority")
    authority = certify_key(subject, subject, key, key, usage, x509.BasicConstraints(ca=True, path_length=0))
    id = hash_certificate(to_pem(authority))
    _write_key(folder, id, authority, key)
    files.write_atomic(folder / _ACTIVE, id, _SECRET_MODE)
    return _read_key(folder, id)


def _write_key(folder: Path, id: str, authority: "x509.Certificate", authority_key: "EllipticCurvePrivateKey") -> None:
    """Make a certificate that signs for an authority, and write both with their keys."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)  # signs data
    name = read_organisation(authority)
    subject, issuer = build_name(name, name), authority.subject
    certificate = certify_key(subject, issuer, key, authority_key, usage, x509.BasicConstraints(False, None))
    parts = (to_pem(authority), to_secret_pem(authority_key), to_pem(certificate), to_secret_pem(key))
    files.write_atomic(folder / f"{id}.pem", "".join(parts), _SECRET_MODE)


def _read_active(folder: Path) -> str:
    """Return the id of the key in use; raise GenloomError (trust.damaged_key) if the file holds no id, or is lost."""
    try:
        id = files.read_beginning(folder / _ACTIVE, _MAX_PEM_BYTES).decode("ascii", "replace").strip()
    except OSError:
        id = ""
    if not re.fullmatch("[0-9a-f]{16}", id):
        raise GenloomError("trust.damaged_key", path=folder / _ACTIVE)
    return id


def _read_authority(path: Path) -> tuple["x509.Certificate", "EllipticCurvePrivateKey"]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    authority, authority_key, _, _ = _read_parts(path)
    key = load_pem_private_key(authority_key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(authority.encode()), key


def _read_key(folder: Path, id: str) -> SigningKey:
    """Return a key; raise GenloomError (trust.damaged_key) if its file is lost, or is not that of this id."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    path = folder / f"{id}.pem"
    authority, authority_key, certificate, key = _read_parts(path)
    try:
        issuer, parsed = (x509.load_pem_x509_certificate(pem.encode()) for pem in (authority, certificate))
        parsed.verify_directly_issued_by(issuer)
        is_whole = _is_key_of(issuer, authority_key) and _is_key_of(parsed, key)
        is_whole = is_whole and hash_certificate(to_pem(issuer)) == id
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise GenloomError("trust.damaged_key", path=path) from error
    if not is_whole:
        raise GenloomError("trust.damaged_key", path=path)
    created, expires = parsed.not_valid_before_utc + CLOCK_TOLERANCE, parsed.not_valid_after_utc
    times = (moment.astimezone(UTC).isoformat(timespec="seconds") for moment in (created, expires))
    is_active = (folder / _ACTIVE).is_file() and _read_active(folder) == id
    return SigningKey(id, read_organisation(parsed), *times, is_active, authority, certificate, key)


def _is_key_of(certificate: "x509.Certificate", key: str) -> bool:
    """Return whether a secret key, as PEM, is that of a certificate."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(key.encode(), None).public_key() == certificate.public_key()


def _read_parts(path: Path) -> list[str]:
    """Return the four parts of a key's file; GenloomError if they are not there."""
    try:
        text = files.read_beginning(path, _MAX_PEM_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise GenloomError("trust.damaged_key", path=path) from error
    matches = list(_PEM.finditer(text))
    if [match[1] for match in matches] != ["CERTIFICATE", "PRIVATE KEY"] * 2:
        raise GenloomError("trust.damaged_key", path=path)
    return [match[0] for match in matches]


def _find_certificates(text: str) -> Iterator[str]:
    yield from (match[0] for match in _PEM.finditer(text) if match[1] == "CERTIFICATE")


def _describe_certificate(pem: str) -> TrustedCertificate:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem.encode())
    expires = certificate.not_valid_after_utc.isoformat(timespec="seconds")
    return TrustedCertificate(hash_certificate(pem), read_organisation(certificate), expires, pem)
