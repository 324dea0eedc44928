"""Signed metadata in every format: what it tells, that changes are found, and that sources keep theirs."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from genloom.trust import manifests, signing
from genloom.trust.manifests import EMBEDDING_FORMATS, Ingredient, SignedFile, read_bytes, sign_bytes
from genloom.trust.signing import Anchors, SigningKey

FACTS = {"output": "2026-11-30-abcdef", "model": "tiles/1", "created": "2026-11-30T10:00:00+00:00"}
NOBODY = Anchors("", "")


def draw(format: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def play(format: str) -> bytes:
    import soundfile

    buffer, wave = io.BytesIO(), np.sin(np.arange(4000) / 9).astype(np.float32) / 4
    soundfile.write(buffer, wave, 16000, format=format)
    return buffer.getvalue()


def build_pdf() -> bytes:
    import pypdfium2

    document, buffer = pypdfium2.PdfDocument.new(), io.BytesIO()
    document.new_page(100, 100)
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def build_mp4() -> bytes:
    """Return the boxes of an MP4 file without a track."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    header = bytes(12) + (1000).to_bytes(4, "big") + bytes(4) + b"\0\1\0\0\1\0" + bytes(10)
    header += (
        b"".join(n.to_bytes(4, "big") for n in (65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)) + bytes(24) + b"\0\0\0\1"
    )
    ftyp = box(b"ftyp", b"isom\0\0\2\0isommp41")
    return ftyp + box(b"moov", box(b"mvhd", header)) + box(b"mdat", bytes(range(200)))


FILES: dict[str, Callable[[], bytes]] = {
    ".png": lambda: draw("PNG"),
    ".jpg": lambda: draw("JPEG"),
    ".jpeg": lambda: draw("JPEG"),
    ".webp": lambda: draw("WEBP"),
    ".gif": lambda: draw("GIF"),
    ".tif": lambda: draw("TIFF"),
    ".tiff": lambda: draw("TIFF"),
    ".avif": lambda: draw("AVIF"),
    ".svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="3" height="3"/></svg>',
    ".wav": lambda: play("WAV"),
    ".flac": lambda: play("FLAC"),
    ".mp3": lambda: play("MP3"),
    ".m4a": build_mp4,
    ".mp4": build_mp4,
    ".mov": build_mp4,
    ".pdf": build_pdf,
}
BOUND = {".txt": b"Once upon a time", ".mid": b"MThd\0\0\0\6", ".json": b'{"a": 1}', ".bmp": draw("BMP"), "": b"x"}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing.load_signing_key(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def anchors(key: SigningKey) -> Anchors:
    return Anchors(key.authority, "")


def test_every_embedding_format_has_a_file_here() -> None:
    assert FILES.keys() == EMBEDDING_FORMATS.keys()


@pytest.mark.parametrize("suffix", FILES)
def test_a_file_holds_its_manifest(suffix: str, key: SigningKey, anchors: Anchors) -> None:
    data = FILES[suffix]()
    assert read_bytes(data, suffix, anchors) is None
    signed = sign_bytes(key, data, suffix.upper(), FACTS)
    assert signed.sidecar is None
    manifest = read_bytes(signed.data, suffix, anchors)
    assert manifest is not None
    assert (manifest.state, manifest.authority, manifest.problems) == ("unchanged", "workspace", ())
    assert manifest.facts == FACTS
    assert manifest.source_type == "trainedAlgorithmicMedia"
    assert manifest.actions == ("c2pa.created",)
    assert manifest.generator.startswith("Genloom ")
    assert not manifest.is_sidecar


@pytest.mark.parametrize("suffix", BOUND)
def test_other_files_have_it_beside_them(suffix: str, key: SigningKey, anchors: Anchors) -> None:
    signed = sign_bytes(key, BOUND[suffix], suffix, FACTS)
    assert signed.data == BOUND[suffix]
    assert signed.sidecar is not None
    manifest = read_bytes(signed.data, suffix, anchors, signed.sidecar)
    assert manifest is not None
    assert (manifest.state, manifest.authority, manifest.is_sidecar) == ("unchanged", "workspace", True)
    for other in (signed.data + b"\0", signed.data[:-1]):
        changed = read_bytes(other, suffix, anchors, signed.sidecar)
        assert changed is not None
        assert changed.state == "changed"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tif"])
def test_a_signature_changes_no_pixel(suffix: str, key: SigningKey) -> None:
    data = FILES[suffix]()
    signed = sign_bytes(key, data, suffix, FACTS)
    before, after = (np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in (data, signed.data))
    assert np.array_equal(before, after)


def test_there_are_no_thumbnails(key: SigningKey) -> None:
    assert len(sign_bytes(key, FILES[".png"](), ".png", FACTS).data) - len(FILES[".png"]()) < 8000


def list_edits(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        edited, place = bytearray(data), int(rng.integers(len(data)))
        edited[place] ^= int(rng.integers(1, 256))
        yield bytes(edited)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".wav", ".txt"])
def test_a_changed_byte_is_found(suffix: str, key: SigningKey, anchors: Anchors) -> None:
    """Of the content; bench/marks_signatures.py tries a thousand."""
    original = FILES[suffix]() if suffix in FILES else BOUND[suffix] * 20
    signed = sign_bytes(key, original, suffix, FACTS)
    manifest_places = find_manifest(signed)
    for edited in list_edits(signed.data, 25):
        (place,) = (n for n, (a, b) in enumerate(zip(edited, signed.data, strict=True)) if a != b)
        manifest = read_bytes(edited, suffix, anchors, signed.sidecar)
        if place not in manifest_places:
            assert manifest is None or manifest.state != "unchanged", place


def find_manifest(signed: SignedFile) -> range:
    """Return the places of the manifest in a file that holds it, with the header and the checksum of its chunk."""
    start = signed.data.find(b"jumb") - 4
    size = int.from_bytes(signed.data[start : start + 4], "big")
    return range(start - 12, start + size + 4) if start >= 0 else range(0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 8000), extra=st.binary(max_size=20))
def test_a_damaged_file_never_seems_unchanged(cut: int, extra: bytes, key: SigningKey, anchors: Anchors) -> None:
    signed = sign_bytes(key, FILES[".png"](), ".png", FACTS)
    damaged = signed.data[:cut] + extra
    manifest = read_bytes(damaged, ".png", anchors)
    if damaged != signed.data:
        assert manifest is None or manifest.state != "unchanged"


def test_an_unknown_authority_is_told_from_a_trusted_one(tmp_path: Path, key: SigningKey) -> None:
    signed = sign_bytes(key, FILES[".png"](), ".png", FACTS)
    other = signing.load_signing_key(tmp_path)
    for anchors, authority in (
        (NOBODY, "unknown"),
        (Anchors(other.authority, ""), "unknown"),
        (Anchors(other.authority, key.authority), "trusted"),
        (Anchors("", key.authority), "trusted"),
        (Anchors(key.authority, other.authority), "workspace"),
    ):
        manifest = read_bytes(signed.data, ".png", anchors)
        assert manifest is not None
        assert (manifest.state, manifest.authority) == ("unchanged", authority)


def test_a_signature_outlives_the_rotation_of_its_key(tmp_path: Path) -> None:
    signed = sign_bytes(signing.load_signing_key(tmp_path), FILES[".png"](), ".png", FACTS)
    signing.rotate_signing_key(tmp_path)
    signing.create_signing_key(tmp_path, "Somebody else")
    manifest = read_bytes(signed.data, ".png", signing.read_anchors(tmp_path))
    assert manifest is not None
    assert (manifest.state, manifest.authority) == ("unchanged", "workspace")


def test_facts_that_were_changed_are_not_told(key: SigningKey, anchors: Anchors) -> None:
    signed = sign_bytes(key, FILES[".png"](), ".png", FACTS)
    forged = signed.data.replace(b"tiles/1", b"tiles/2")
    assert forged != signed.data
    manifest = read_bytes(forged, ".png", anchors)
    assert manifest is not None
    assert manifest.state == "changed"
    assert "tiles/2" not in json.dumps(dict(manifest.facts))


@pytest.mark.parametrize("suffix", [".png", ".txt"])
def test_a_source_keeps_its_manifest(suffix: str, tmp_path: Path, key: SigningKey, anchors: Anchors) -> None:
    """An edit names its source, and the manifest of somebody else in the source stays in it."""
    import c2pa

    stranger = signing.create_signing_key(tmp_path, "A stranger")
    source = sign_bytes(stranger, FILES[".jpg"](), ".jpg", {"said": "by the stranger"})
    content = FILES[suffix]() if suffix in FILES else BOUND[suffix]
    signed = sign_bytes(key, content, suffix, FACTS, ingredient=Ingredient(source.data, ".jpg", "source.jpg"))
    manifest = read_bytes(signed.data, suffix, anchors, signed.sidecar)
    assert manifest is not None
    assert (manifest.state, manifest.authority) == ("unchanged", "workspace")
    assert manifest.source_type == "compositeWithTrainedAlgorithmicMedia"
    assert manifest.actions == ("c2pa.opened", "c2pa.edited")
    assert manifest.ingredients == ("source.jpg",)
    format = EMBEDDING_FORMATS.get(suffix, "application/octet-stream")
    with c2pa.Reader(format, io.BytesIO(signed.data), signed.sidecar) as reader:
        store = json.loads(reader.json())
    assert len(store["manifests"]) == 2
    assert "by the stranger" in json.dumps(store)


def test_a_source_without_a_manifest_is_named(key: SigningKey, anchors: Anchors) -> None:
    for source in (Ingredient(FILES[".png"](), ".png", "source.png"), Ingredient(b"Once", ".txt", "source.txt")):
        signed = sign_bytes(key, FILES[".png"](), ".png", FACTS, ingredient=source)
        manifest = read_bytes(signed.data, ".png", anchors)
        assert manifest is not None
        assert (manifest.state, manifest.ingredients) == ("unchanged", (source.title,))


@pytest.mark.parametrize("sidecar", [b"", b"junk", bytes(100_000), b"\0\0\0\x10jumb" * 50])
def test_a_hostile_manifest_beside_a_file_is_unreadable(sidecar: bytes, anchors: Anchors) -> None:
    manifest = read_bytes(b"Once upon a time", ".txt", anchors, sidecar)
    assert manifest is None or manifest.state == "unreadable"


def test_a_manifest_is_found_beside_its_file(tmp_path: Path, key: SigningKey, anchors: Anchors) -> None:
    path = tmp_path / "tale.txt"
    path.write_bytes(BOUND[".txt"])
    assert manifests.read_manifest(path, anchors) is None
    sidecar = sign_bytes(key, BOUND[".txt"], ".txt", FACTS).sidecar
    assert sidecar is not None
    for name in ("tale.txt.c2pa", "tale.c2pa"):
        beside = tmp_path / name
        beside.write_bytes(sidecar)
        manifest = manifests.read_manifest(path, anchors)
        assert manifest is not None
        assert manifest.state == "unchanged"
        beside.unlink()


def test_threads_sign_with_one_key(key: SigningKey, anchors: Anchors) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        signed = list(pool.map(lambda n: sign_bytes(key, FILES[".png"](), ".png", {**FACTS, "n": n}), range(12)))
        read = list(pool.map(lambda each: read_bytes(each.data, ".png", anchors), signed))
    assert [manifest.facts["n"] for manifest in read if manifest is not None] == list(range(12))
