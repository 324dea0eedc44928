"""Signed files: how many of 1,000 changed bytes a format's verification finds, how long signing and reading take.

`--edits 50` is a quick look. With `--second-reader`, every signed file and 100 changed ones are also judged by
encypher-c2pa (`pip install encypher-c2pa`), which shares no code with the library that Genloom uses.
"""

import argparse
import importlib
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genloom.trust import signing
from genloom.trust.manifests import EMBEDDING_FORMATS, SignedFile, read_bytes, sign_bytes
from genloom.trust.signing import Anchors, SigningKey

FACTS = {"output": "2026-11-30-abcdef", "model": "icons/2", "model_digest": "0" * 64, "medium": "image"}
CONTAINER_BYTES = 12, 4  # of the chunk around a manifest: before, and after


def build_files() -> dict[str, bytes]:
    """Return a file of each format: a picture of 64 × 64 pixels, half a second of sound, and bytes of no format."""
    import soundfile

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    found = {}
    for suffix, format in ((".png", "PNG"), (".jpg", "JPEG"), (".webp", "WEBP"), (".gif", "GIF"), (".tiff", "TIFF")):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format)
        found[suffix] = buffer.getvalue()
    wave = np.sin(np.arange(8000) / 9).astype(np.float32) / 4
    for suffix in (".wav", ".flac", ".mp3"):
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, 16000, format=suffix[1:].upper())
        found[suffix] = buffer.getvalue()
    for suffix in (".txt", ".mid", ".json"):
        found[suffix] = np.random.default_rng(1).integers(32, 127, 4000, dtype=np.uint8).tobytes()
    return found


def find_manifest(signed: SignedFile) -> range:
    """Return the places of the manifest in a file that holds it, with the chunk around it."""
    start = signed.data.find(b"jumb") - 4
    size = int.from_bytes(signed.data[start : start + 4], "big")
    before, after = CONTAINER_BYTES
    return range(start - before, start + size + after) if start >= 0 else range(0)


def iter_edits(signed: SignedFile, count: int) -> Iterator[bytes]:
    """Yield copies of a file, each with one byte outside the manifest changed."""
    rng, manifest = np.random.default_rng(2), find_manifest(signed)
    places = np.array([place for place in range(len(signed.data)) if place not in manifest])
    for place in rng.choice(places, count):
        edited = bytearray(signed.data)
        edited[place] ^= int(rng.integers(1, 256))
        yield bytes(edited)


def measure_signatures(key: SigningKey, anchors: Anchors, suffix: str, data: bytes, edits: int) -> dict[str, float]:
    """Return the share of the changes that were found, and the median times in milliseconds."""
    signing_times, reading_times, num_found = [], [], 0
    signed = sign_bytes(key, data, suffix, FACTS)
    for _ in range(20):
        start = time.perf_counter()
        sign_bytes(key, data, suffix, FACTS)
        signing_times.append(time.perf_counter() - start)
    intact = read_bytes(signed.data, suffix, anchors, signed.sidecar)
    assert intact is not None
    assert intact.state == "unchanged"
    for edited in iter_edits(signed, edits):
        start = time.perf_counter()
        manifest = read_bytes(edited, suffix, anchors, signed.sidecar)
        reading_times.append(time.perf_counter() - start)
        num_found += manifest is None or manifest.state != "unchanged"
    return {
        "bytes": len(data),
        "added_bytes": len(signed.data) - len(data) + len(signed.sidecar or b""),
        "edits": edits,
        "found": num_found,
        "sign_ms": round(1000 * statistics.median(signing_times), 2),
        "read_ms": round(1000 * statistics.median(reading_times), 2),
    }


def judge_again(key: SigningKey, suffix: str, data: bytes, edits: int) -> str:
    """Return how the second reader judges a signed file, and how many changed ones it finds."""
    encypher_c2pa: Any = importlib.import_module("encypher_c2pa")
    options = {"trust_pem": key.authority, "no_default_trust": True}
    signed = sign_bytes(key, data, suffix, FACTS)
    if signed.sidecar is not None:
        return "not read: formats with a manifest beside the file"
    report = encypher_c2pa.verify(signed.data, EMBEDDING_FORMATS[suffix], **options)
    num_found = 0
    for edited in iter_edits(signed, edits):
        try:
            found = encypher_c2pa.verify(edited, EMBEDDING_FORMATS[suffix], **options)
            num_found += found["integrity"] != "valid"
        except ValueError:  # it does not know the file as one of this format any more
            num_found += 1
    return f"{report['integrity']}, trust {report['trust']['status']}; {num_found} of {edits} changed bytes found"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--second-reader", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        key = signing.load_signing_key(Path(folder))
        if arguments.second_reader:
            for suffix, data in build_files().items():
                print(f"{suffix:<8} {judge_again(key, suffix, data, min(arguments.edits, 100))}", flush=True)
            return
        results = {
            suffix: measure_signatures(key, Anchors(key.authority, ""), suffix, data, arguments.edits)
            for suffix, data in build_files().items()
        }
    print(f"{'format':<8} {'bytes':>7} {'added':>7} {'edits':>6} {'found':>6} {'sign ms':>8} {'read ms':>8}")
    for suffix, row in results.items():
        shown = (row["bytes"], row["added_bytes"], row["edits"], row["found"], row["sign_ms"], row["read_ms"])
        print(f"{suffix:<8} {shown[0]:>7} {shown[1]:>7} {shown[2]:>6} {shown[3]:>6} {shown[4]:>8} {shown[5]:>8}")


if __name__ == "__main__":
    main()
