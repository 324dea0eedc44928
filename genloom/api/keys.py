"""The keys of a workspace: those that mark its outputs, those that sign them, and certificates of others."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.api.argument_types import check_arguments
from genloom.api.notebook import Listing
from genloom.errors import GenloomError
from genloom.store import files

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.store.keys import MarkingKey
    from genloom.trust.revocation import RevokedKey
    from genloom.trust.signing import SigningKey, TrustedCertificate

KeyKind = Literal["marking", "signing"]


@dataclass(frozen=True)
class KeyInfo:
    """A key without its secret, or a trusted certificate."""

    id: str
    kind: Literal["marking", "signing", "trusted"]
    name: str  # of who signs; "" of a marking key
    created: str  # ISO 8601; "" of a trusted certificate
    expires: str  # "": never
    is_active: bool  # whether it marks or signs new outputs, or is trusted
    certificate: str = ""  # of the authority, as PEM; it is no secret
    revoked: str = ""  # when it was revoked, ISO 8601; "": it is not

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of keys."""
        return {name: value for name, value in asdict(self).items() if name != "certificate"}


@check_arguments
class Keys:
    """The keys of a workspace. Marking and signing keys are made when the first output needs them."""

    def __init__(self, workspace: "Workspace"):
        self.workspace = workspace

    def list_keys(self) -> Listing[KeyInfo]:
        """List the marking keys, the signing keys and the trusted certificates, oldest first; then revoked ones."""
        from genloom.store.keys import MarkingKeys
        from genloom.trust import revocation, signing

        root = self.workspace.folder
        marking = MarkingKeys(root)
        active = marking.find_active()
        keys = (
            [_describe_marking(key, active is not None and key.id == active.id) for key in marking.list_keys()]
            + [_describe_signing(key) for key in signing.list_signing_keys(root)]
            + [_describe_trusted(certificate) for certificate in signing.list_trusted(root)]
        )
        revoked = {key.id: _describe_revoked(key) for key in revocation.list_revoked(root)}
        return Listing([key for key in keys if key.id not in revoked] + list(revoked.values()))

    def get_key(self, id: str) -> KeyInfo:
        """Return the key with this id, or the beginning of one.

        Raises
        ------
        GenloomError
            trust.unknown_key: no key has it, or several begin with it.
        """
        keys = self.list_keys()
        matches = [key for key in keys if key.id == id] or [key for key in keys if id and key.id.startswith(id)]
        if len(matches) != 1:
            known = ", ".join(key.id for key in keys) or "none yet"
            raise GenloomError("trust.unknown_key", id=id[:80], known=known)
        return matches[0]

    def create_key(self, kind: KeyKind, name: str = "") -> KeyInfo:
        """Make a key for new outputs; what earlier ones marked or signed is still recognised.

        `name` is who signs, as readers of a file see it; "": Genloom workspace. A new signing key is a new authority,
        which others have to trust again; `rotate_key` keeps the authority.

        Raises
        ------
        GenloomError
            trust.bad_signer_name; trust.extra_missing: the extra `trust` is not installed.
        """
        from genloom.trust import signing

        if kind == "marking":
            return self.rotate_key("marking")
        return _describe_signing(signing.create_signing_key(self.workspace.folder, name))

    def rotate_key(self, kind: KeyKind) -> KeyInfo:
        """Replace the key that marks or signs new outputs; the authority of signatures stays.

        Raises
        ------
        GenloomError
            trust.extra_missing: the extra `trust` is not installed; trust.damaged_key.
        """
        from genloom.store.keys import MarkingKeys
        from genloom.trust import signing

        if kind == "marking":
            return _describe_marking(MarkingKeys(self.workspace.folder).rotate(), is_active=True)
        return _describe_signing(signing.rotate_signing_key(self.workspace.folder))

    def revoke_key(self, id: str, reason: str = "") -> KeyInfo:
        """Revoke a key that others may have, or the authority of somebody else: it proves nothing from now on.

        A signing key of this workspace is deleted, and a new authority of the same name takes over if it was in use;
        only what this workspace signed with it itself is still trusted. A marking key stays for the replay of what it
        marked, and another one takes over; its marks are no evidence any more. `id` may be the beginning of one.

        Raises
        ------
        GenloomError
            trust.unknown_key; trust.already_revoked; trust.damaged_key.
        """
        from genloom.store.keys import MarkingKeys
        from genloom.trust import revocation, signing

        key, root = self.get_key(id), self.workspace.folder
        reason = " ".join(reason.split())[: revocation.MAX_REASON_CHARS]
        if key.revoked:
            raise GenloomError("trust.already_revoked", id=key.id, date=key.revoked[:10])
        if key.kind == "signing":
            return _describe_revoked(signing.revoke_signing_key(root, key.id, reason))
        if key.kind == "trusted":
            (certificate,) = (each for each in signing.list_trusted(root) if each.id == key.id)
            return _describe_revoked(signing.revoke_trusted(root, certificate, reason))
        if key.is_active:
            MarkingKeys(root).rotate()
        moment = revocation.get_timestamp()
        revoked = revocation.RevokedKey(key.id, "marking", moment, reason=reason, created=key.created)
        revocation.record_revocation(root, revoked)
        return _describe_revoked(revoked)

    def export_key(self, path: str | Path, kind: KeyKind = "signing", *, include_secret: bool = False) -> Path:
        """Write the authority's certificate, for others to trust; with `include_secret` the key itself.

        A file with a secret can be read by you only. Who has it can sign or mark in your name.

        Raises
        ------
        GenloomError
            trust.secret_not_asked: a marking key is nothing but a secret; trust.extra_missing.
        """
        from genloom.store.keys import MarkingKeys
        from genloom.trust import signing

        path, root = files.expand_home(path), self.workspace.folder
        if kind == "marking":
            if not include_secret:
                raise GenloomError("trust.secret_not_asked")
            content = f"{MarkingKeys(root).get_active().secret.hex()}\n"
        else:
            content = signing.export_secret(root) if include_secret else signing.export_certificate(root)
        files.write_atomic(path, content, 0o600 if include_secret else 0o666)
        return path

    def trust_certificate(self, path: str | Path) -> Listing[KeyInfo]:
        """Trust the signatures of the authority whose certificate is in a PEM file, and return it.

        Raises
        ------
        GenloomError
            trust.no_certificate: the file holds none; trust.revoked_certificate; trust.extra_missing.
        """
        from genloom.trust import signing

        trusted = signing.trust_certificate(self.workspace.folder, files.expand_home(path))
        return Listing(_describe_trusted(certificate) for certificate in trusted)


def _describe_marking(key: "MarkingKey", is_active: bool) -> KeyInfo:
    return KeyInfo(key.id, "marking", "", key.created.isoformat(timespec="seconds"), "", is_active)


def _describe_signing(key: "SigningKey") -> KeyInfo:
    return KeyInfo(key.id, "signing", key.name, key.created, key.expires, key.is_active, key.authority)


def _describe_trusted(certificate: "TrustedCertificate") -> KeyInfo:
    return KeyInfo(certificate.id, "trusted", certificate.name, "", certificate.expires, True, certificate.pem)


def _describe_revoked(key: "RevokedKey") -> KeyInfo:
    kinds: dict[str, Literal["marking", "signing", "trusted"]] = {"marking": "marking", "signing": "signing"}
    kind = kinds.get(key.kind, "trusted")
    return KeyInfo(key.id, kind, key.name, key.created, key.expires, False, key.certificate, key.revoked)
