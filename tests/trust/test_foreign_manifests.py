"""Files that others signed: valid, expired, changed, with chains of sources; judged as the C2PA library judges them.

The test files of c2patool are on no package registry, so these are made here, with certificates of other authorities.
"""

import io
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom.trust.manifests import Ingredient, Manifest, read_bytes
from genloom.trust.signing import Anchors

c2pa = pytest.importorskip("c2pa")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
NOBODY = Anchors("", "")
KEY_TYPES = {"ES256": 256, "ES384": 384, "PS256": 2048, "ED25519": 0}


@dataclass(frozen=True)
class Signer:
    """A certificate of another authority, with its key, as PEM."""

    chain: str
    authority: str
    key: str
    algorithm: str

    def sign(self, data: bytes, source: bytes | None = None, **definition: Any) -> bytes:
        """Return a PNG with a manifest of this signer."""
        settings = {"version": 1, "builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
        info = c2pa.C2paSignerInfo(
            getattr(c2pa.C2paSigningAlg, self.algorithm), self.chain.encode(), self.key.encode(), None
        )
        made = {"action": "c2pa.created", "digitalSourceType": f"{IPTC}digitalCapture"}
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}}
        actions = [made] if source is None else [opened, {"action": "c2pa.cropped"}]
        content = {
            "claim_generator_info": [{"name": "Other camera", "version": "9"}],
            "title": "theirs.png",
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
            **definition,
        }
        context = c2pa.Context(c2pa.Settings.from_dict(settings), c2pa.Signer.from_info(info))
        builder = c2pa.Builder.from_json(json.dumps(content), context)
        if source is not None:
            about = {"title": "source.png", "relationship": "parentOf", "label": "source"}
            builder.add_ingredient(about, "image/png", io.BytesIO(source))
        signed = io.BytesIO()
        builder.sign("image/png", io.BytesIO(data), signed)
        return signed.getvalue()


IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@cache
def make_signer(
    algorithm: str = "ES256",
    begin: timedelta = -DAY,
    end: timedelta = 365 * DAY,
    name: str = "Other Press",
) -> Signer:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def make_key() -> Any:
        match algorithm:
            case "ED25519":
                return ed25519.Ed25519PrivateKey.generate()
            case "PS256":
                return rsa.generate_private_key(65537, KEY_TYPES[algorithm])
        return ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())

    def certify(subject: str, issuer: str, key: Any, issuer_key: Any, is_authority: bool) -> x509.Certificate:
        usage = x509.KeyUsage(not is_authority, False, False, False, False, is_authority, is_authority, False, False)
        names = [
            x509.Name(
                [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each), x509.NameAttribute(NameOID.COMMON_NAME, each)]
            )
            for each in (subject, issuer)
        ]
        span = (-40 * DAY, 3650 * DAY) if is_authority else (begin, end)
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[0])
            .issuer_name(names[1])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + span[0])
            .not_valid_after(NOW + span[1])
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if not is_authority:
            oid = ExtendedKeyUsageOID.EMAIL_PROTECTION
            builder = builder.add_extension(x509.ExtendedKeyUsage([oid]), critical=False)
        return builder.sign(issuer_key, None if algorithm == "ED25519" else hashes.SHA256())

    authority_key, key = make_key(), make_key()
    authority = certify(f"{name} CA", f"{name} CA", authority_key, authority_key, True)
    leaf = certify(name, f"{name} CA", key, authority_key, False)
    pems = [each.public_bytes(Encoding.PEM).decode() for each in (leaf, authority)]
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Signer("".join(pems), pems[1], secret, algorithm)


@cache
def draw_picture(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def read(data: bytes, trusted: str = "") -> Manifest:
    manifest = read_bytes(data, ".png", Anchors("", trusted))
    assert manifest is not None
    return manifest


def judge_by_library(data: bytes, trusted: str = "") -> str:
    """Return the verdict of the C2PA library itself: Valid, Trusted or Invalid."""
    trust = {"trust": {"user_anchors": trusted}} if trusted else {}
    settings = {"version": 1, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}, **trust}
    with c2pa.Reader("image/png", io.BytesIO(data), context=c2pa.Context(c2pa.Settings.from_dict(settings))) as reader:
        return str(reader.get_validation_state())


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("algorithm", KEY_TYPES)
def test_a_valid_file_is_of_an_unknown_authority_until_it_is_trusted(algorithm: str) -> None:
    signer = make_signer(algorithm)
    data = signer.sign(draw_picture())
    found = read(data)
    assert (found.state, found.authority, found.signer) == ("unchanged", "unknown", "Other Press")
    assert (found.generator, found.source_type, found.facts) == ("Other camera 9", "digitalCapture", {})
    trusted = read(data, signer.authority)
    assert (trusted.state, trusted.authority, trusted.problems) == ("unchanged", "trusted", ())
    assert judge_by_library(data, signer.authority) == "Trusted"
    assert read(data, make_signer(name="Third").authority).authority == "unknown"


def sign_before_the_end(data: bytes) -> tuple[Signer, bytes]:
    """Return a signer whose certificate has ended, and a file signed while it was valid; no library signs after."""
    for seconds in (2, 10, 60):
        end = datetime.now(UTC) - NOW + timedelta(seconds=seconds)
        signer = make_signer(end=end, name="Late Press")
        try:
            signed = signer.sign(data)
        except c2pa.C2paError:
            continue  # the machine was slower
        while datetime.now(UTC) <= NOW + end + timedelta(seconds=1):
            time.sleep(0.1)
        return signer, signed
    raise AssertionError("signing takes minutes here")


def test_an_expired_certificate_is_told_and_not_trusted() -> None:
    signer, data = sign_before_the_end(draw_picture())
    for trusted in ("", signer.authority):
        found = read(data, trusted)
        assert (found.state, found.is_trusted) == ("unchanged", False)
        assert "signingCredential.expired" in found.problems
        assert judge_by_library(data, trusted) == "Invalid"


def test_every_changed_byte_of_the_content_is_found() -> None:
    data = make_signer().sign(draw_picture())
    start = data.index(b"IDAT") + 4
    for place in range(start, start + 400, 13):
        assert read(flip(data, place)).state != "unchanged", place


def test_changed_manifests_are_judged_as_the_library_does() -> None:
    signer = make_signer()
    data = signer.sign(draw_picture())
    start, end = data.index(b"caBX"), data.index(b"IDAT")
    verdicts = set()
    for place in range(start + 8, end - 12, 37):
        changed = flip(data, place)
        found = read_bytes(changed, ".png", Anchors("", signer.authority))
        try:
            verdict = judge_by_library(changed, signer.authority)
        except c2pa.C2paError:
            verdict = "unreadable"
        verdicts.add(verdict)
        is_good = found is not None and found.state == "unchanged" and found.is_trusted
        assert is_good == (verdict == "Trusted"), (place, verdict, found)
    assert "Invalid" in verdicts


def test_another_signer_in_a_copied_manifest_is_found() -> None:
    first, second = make_signer(), make_signer(name="Third")
    data = first.sign(draw_picture())
    cut = data.replace(b"Other Press", b"Third Press")
    assert cut != data
    found = read_bytes(cut, ".png", Anchors("", second.authority))
    assert found is None or not found.is_trusted or found.state != "unchanged"


def test_a_chain_of_sources_is_kept_and_judged() -> None:
    camera, editor, agency = make_signer(), make_signer(name="Editor"), make_signer(name="Agency")
    taken = camera.sign(draw_picture())
    edited = editor.sign(draw_picture(1), taken, title="edited.png")
    sold = agency.sign(draw_picture(2), edited, title="sold.png")
    found = read(sold, agency.authority)
    assert (found.state, found.authority, found.ingredients) == ("unchanged", "trusted", ("source.png",))
    assert found.actions[0] == "c2pa.opened"
    with c2pa.Reader("image/png", io.BytesIO(sold)) as reader:
        assert len(json.loads(reader.json())["manifests"]) == 3
    assert judge_by_library(sold, agency.authority) == "Trusted"


def test_a_changed_source_does_not_hide_in_a_chain() -> None:
    camera, editor = make_signer(), make_signer(name="Editor")
    taken = camera.sign(draw_picture())
    changed = flip(taken, taken.index(b"IDAT") + 40)
    edited = editor.sign(draw_picture(1), changed)
    found = read(edited, editor.authority)
    assert found.state == "unchanged", "the editor's own statement and pixels are as signed"
    assert found.source_problems, "and the source was not what its camera had signed"
    assert read(editor.sign(draw_picture(1), taken), editor.authority).source_problems == ()


def test_a_changed_manifest_inside_a_chain_is_found() -> None:
    editor = make_signer(name="Editor")
    edited = editor.sign(draw_picture(1), make_signer().sign(draw_picture()))
    assert edited.count(b"Other camera") >= 2
    place = edited.index(b"Other camera")
    for trusted in ("", editor.authority):
        assert judge_by_library(flip(edited, place), trusted) == "Invalid"
        assert read(flip(edited, place), trusted).state == "changed"


def test_what_genloom_made_of_a_foreign_file_tells_the_problems_of_its_source(tmp_path: Any) -> None:
    from genloom.trust import signing
    from genloom.trust.manifests import sign_bytes

    key = signing.load_signing_key(tmp_path)
    taken = make_signer().sign(draw_picture())
    for source, is_good in ((taken, True), (flip(taken, taken.index(b"IDAT") + 40), False)):
        signed = sign_bytes(key, draw_picture(1), ".png", {}, ingredient=Ingredient(source, ".png", "theirs.png"))
        found = read_bytes(signed.data, ".png", Anchors(key.authority, ""))
        assert found is not None
        assert (found.state, found.authority, found.ingredients) == ("unchanged", "workspace", ("theirs.png",))
        assert (found.source_problems == ()) == is_good


def test_a_file_whose_metadata_were_removed_has_no_evidence() -> None:
    signed = make_signer().sign(draw_picture())
    buffer = io.BytesIO()
    Image.open(io.BytesIO(signed)).save(buffer, "PNG")
    assert read_bytes(buffer.getvalue(), ".png", NOBODY) is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_never_unchanged(share: float) -> None:
    signed = make_signer().sign(draw_picture())
    found = read_bytes(signed[: int(share * len(signed))], ".png", NOBODY)
    assert found is None or found.state != "unchanged"
