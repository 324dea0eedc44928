"""An index of training documents, by which those that share a long span with an output are found without reading all.

Of each document, the hashes of the k-grams at every s-th position are stored, in sorted segments of bounded size. A
span of at least k + s - 1 characters contains one of them; a long one contains a run of them, at the same distance in
the output as in the document. The documents with the longest runs are candidates, which the caller compares exactly.
"""

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genloom.store import files
from genloom.trust.text_chunks import to_code_points

Numbers = NDArray[np.int64]

VERSION = 1  # of the files; another one is built beside it
MAX_CANDIDATES = 256  # documents of a text that are compared exactly
MIN_CANDIDATES = 8  # of which the first holds the longest span, and others the next ones
_MAX_PLACES = 1024  # of a k-gram that are looked at; more frequent ones say little
_SEGMENT_SAMPLES = 2**22  # 50 MB
_SLICE_CHARS = 2**20
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class SpanIndex:
    """The sampled k-grams of documents; files are read as far as they are needed."""

    gram: int  # k, in characters
    stride: int  # s
    starts: NDArray[np.uint64]  # the number of the first sample of each document
    segments: Sequence[tuple[NDArray[np.uint32], NDArray[np.uint64]]]  # sorted hashes, and their samples' numbers

    def find_candidates(self, text: str) -> list[int]:
        """Return the numbers of documents that can share the longest span with a text, the likeliest first.

        [] if no span of `gram + stride - 1` characters is shared.
        """
        queries = hash_grams(text, self.gram, 1)
        pairs = [_look_up(queries, *segment) for segment in self.segments]
        none = np.zeros(0, np.int64)
        positions, samples = (np.concatenate([none, *(pair[side] for pair in pairs)]) for side in (0, 1))
        if not len(samples):
            return []
        diagonals = samples * self.stride - positions
        order = np.lexsort((samples, diagonals))
        diagonals, samples = diagonals[order], samples[order]
        is_new = np.ones(len(samples), bool)
        is_new[1:] = (np.diff(diagonals) != 0) | (np.diff(samples) != 1)
        firsts = np.flatnonzero(is_new)
        runs = np.diff(np.append(firsts, len(samples)))
        documents = np.searchsorted(self.starts, samples[firsts].astype(np.uint64), "right") - 1
        order = np.lexsort((documents, -runs))
        longest = dict.fromkeys(documents[order][runs[order] >= runs.max() - 1].tolist())  # others have shorter spans
        ranked = dict.fromkeys(documents[order].tolist())
        return list(ranked)[: min(max(len(longest), MIN_CANDIDATES), MAX_CANDIDATES)]


def open_span_index(folder: Path, texts: Iterable[str], gram: int, stride: int) -> SpanIndex:
    """Open the index in a folder; build it from the texts, which are read once, if it is not there yet."""
    if not (folder / "index.json").is_file():
        files.remove_stale_drafts(folder.parent)
        with files.temp_folder(folder.parent) as draft:
            build_span_index(draft, texts, gram, stride)
            files.commit_folder(draft, folder)
    facts = json.loads((folder / "index.json").read_text())
    segments = [
        (np.load(folder / f"hashes-{n}.npy", mmap_mode="r"), np.load(folder / f"samples-{n}.npy", mmap_mode="r"))
        for n in range(facts["segments"])
    ]
    return SpanIndex(facts["gram"], facts["stride"], np.load(folder / "starts.npy"), segments)


def build_span_index(folder: Path, texts: Iterable[str], gram: int, stride: int) -> None:
    """Write the index of texts into a folder; memory holds one text and one segment."""
    starts, num_samples, num_segments = array("Q"), 0, 0
    pending: list[tuple[NDArray[np.uint32], NDArray[np.uint64]]] = []

    def write_segment() -> None:
        hashes, samples = (np.concatenate([pair[side] for pair in pending]) for side in (0, 1))
        order = np.argsort(hashes, kind="stable")
        np.save(folder / f"hashes-{num_segments}.npy", hashes[order])
        np.save(folder / f"samples-{num_segments}.npy", samples[order])

    size = 0
    for text in texts:
        starts.append(num_samples)
        for begin in range(0, max(len(text) - gram + 1, 0), _SLICE_CHARS):
            hashes = hash_grams(text[begin : begin + _SLICE_CHARS + gram - 1], gram, stride)
            pending.append((hashes, np.arange(num_samples, num_samples + len(hashes), dtype=np.uint64)))
            num_samples, size = num_samples + len(hashes), size + len(hashes)
            if size >= _SEGMENT_SAMPLES:
                write_segment()
                num_segments, size = num_segments + 1, 0
                pending.clear()
        num_samples += 1  # a gap, so that no run reaches over two documents
    if pending:
        write_segment()
        num_segments += 1
    np.save(folder / "starts.npy", np.asarray(starts, np.uint64))
    facts = {"gram": gram, "stride": stride, "segments": num_segments}
    (folder / "index.json").write_text(json.dumps(facts))


def hash_grams(text: str, gram: int, stride: int) -> NDArray[np.uint32]:
    """Return the hashes of the substrings of `gram` characters at every `stride`-th position."""
    code_points = to_code_points(text)
    count = max(len(code_points) - gram, -1) // stride + 1
    hashes = np.zeros(count, np.uint64)
    if count:
        for i in range(gram):
            hashes *= _BASE
            hashes += code_points[i : i + (count - 1) * stride + 1 : stride]
        hashes ^= hashes >> np.uint64(29)
        hashes *= _BASE
    return (hashes >> np.uint64(32)).astype(np.uint32)


def _look_up(
    queries: NDArray[np.uint32], hashes: NDArray[np.uint32], samples: NDArray[np.uint64]
) -> tuple[Numbers, Numbers]:
    """Return the position of each query with the number of each sample of its hash."""
    lows = np.searchsorted(hashes, queries, "left")
    counts = np.minimum(np.searchsorted(hashes, queries, "right") - lows, _MAX_PLACES)
    positions = np.repeat(np.arange(len(queries)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return positions, np.asarray(samples[np.repeat(lows, counts) + offsets], np.int64)
