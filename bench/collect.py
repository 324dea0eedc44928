"""The speed and memory of collecting text, end to end; the peer is a plain loop over the same libraries.

    python bench/collect.py                    # 50, 100 and 200 MB, three runs each
    python bench/collect.py --megabytes 20     # quicker

The corpora are made from real text (the Python standard library, the documentation of installed packages and
Shakespeare): paragraphs drawn at random with every eighth word exchanged; one document in twenty is a near-duplicate,
one in forty an exact copy of an earlier one. They come as a folder of files, one large file, and rows of about 1 kB.
CPU seconds are those of all processes. Memory is the proportional set size (PSS) of all processes together, sampled
ten times a second.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

RUNS = 3
SHAPES = ("files", "one file", "rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--run", nargs=3, metavar=("WHO", "CORPUS", "WORKSPACE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        who, corpus, workspace = args.run
        {"genloom": run_genloom, "peer": run_peer}[who](Path(corpus), Path(workspace))
        return
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in args.megabytes:
            for shape in args.shapes:
                if shape != "files" and megabytes != min(args.megabytes):
                    continue
                corpus = Path(folder, f"{shape}-{megabytes}")
                planted = write_corpus(corpus, megabytes * 1_000_000, shape)
                figures += [measure_speed(who, corpus, shape, planted, args.runs) for who in ("genloom", "peer")]
                subprocess.run(["rm", "-r", str(corpus)], check=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def measure_speed(who: str, corpus: Path, shape: str, planted: int, runs: int) -> dict:
    """Median and spread of MB/s over runs in fresh processes; the peer, far slower, runs once on large corpora."""
    size = sum(path.stat().st_size for path in corpus.rglob("*.*")) / 1e6
    rates, peaks, busy, counts = [], [], [], {}
    for _ in range(runs if who == "genloom" or size < 60 else 1):
        with tempfile.TemporaryDirectory() as workspace:
            started, cpu_start = time.perf_counter(), _get_cpu_seconds()
            command = [sys.executable, __file__, "--run", who, str(corpus), workspace]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            peak = _Peak(child.pid)
            output, _ = child.communicate()
            seconds = time.perf_counter() - started
            peaks.append(peak.stop())
            if child.returncode:
                raise SystemExit(f"{who} failed on {shape}")
            counts = json.loads(output.splitlines()[-1])
            rates.append(size / seconds)
            busy.append(_get_cpu_seconds() - cpu_start)
    middle = statistics.median(rates)
    found = f"kept {counts['kept']:,}, duplicates {counts['duplicates']:,} of {planted:,} planted"
    speed = f"{middle:6.1f} MB/s ({min(rates):.1f} to {max(rates):.1f}, {len(rates)} runs)"
    cost = f"{statistics.median(busy):.1f} CPU s, peak {max(peaks):.0f} MB"
    print(f"{who:8} {shape:9} {size:6.1f} MB: {speed}, {cost}, {found}", flush=True)
    return {
        "who": who,
        "shape": shape,
        "MB": size,
        "MB/s": rates,
        "CPU s": busy,
        "peak MB": peaks,
        "planted": planted,
        **counts,
    }


def _get_cpu_seconds() -> float:
    """Processor seconds of all children so far, which other programs on the machine do not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Peak:
    """Samples the memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            total = 0
            try:
                for process in [self._process, *self._process.children(recursive=True)]:
                    memory = process.memory_full_info()
                    total += getattr(memory, "pss", memory.uss)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            self._peak = max(self._peak, total / 1e6)

    def stop(self) -> float:
        self._stopped.set()
        self._thread.join()
        return self._peak


def run_genloom(corpus: Path, workspace: Path) -> None:
    from genloom.collect import collect
    from genloom.store.workspace import Workspace

    *_, last = collect([corpus], Workspace(workspace), "bench")
    assert last.report is not None
    removed = last.report.drop_counts
    print(
        json.dumps(
            {"kept": last.report.documents_kept, "duplicates": removed["exact copy"] + removed["near-duplicate"]}
        )
    )


def run_peer(corpus: Path, workspace: Path) -> None:
    """A program of an afternoon: ftfy, py3langid and rensa in a loop, the result to Parquet."""
    import ftfy
    import py3langid
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rensa import RMinHash, RMinHashLSH  # ty: ignore[missing-module-member]  # compiled, without stubs

    index, kept, duplicates, rows = RMinHashLSH(0.8, 128, 16), [], 0, []
    for text in _iter_texts(corpus):
        text = ftfy.fix_text(text).strip()
        language, _ = py3langid.classify(text[:1000])
        words = text.lower().split()
        sketch = RMinHash(128, 1)
        sketch.update([" ".join(gram) for gram in zip(*(words[i:] for i in range(5)), strict=False)] or [text])
        if any(sketch.jaccard(kept[other]) >= 0.8 for other in index.query(sketch)):
            duplicates += 1
            continue
        index.insert(len(kept), sketch)
        kept.append(sketch)
        rows.append({"text": text, "language": language})
    pq.write_table(pa.Table.from_pylist(rows), workspace / "peer.parquet", compression="zstd")
    print(json.dumps({"kept": len(kept), "duplicates": duplicates}))


def _iter_texts(corpus: Path) -> Iterator[str]:
    for path in sorted(corpus.iterdir()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            yield from (json.loads(line)["text"] for line in text.splitlines())
        else:
            yield from (text[start : start + 50_000] for start in range(0, len(text), 50_000))


def write_corpus(folder: Path, size: int, shape: str) -> int:
    """Writes a corpus of `size` bytes; returns how many of its documents are planted duplicates."""
    folder.mkdir()
    draw = np.random.default_rng(7)
    paragraphs = load_paragraphs()
    vocabulary = np.array(sorted({word for p in paragraphs[::7] for word in p.split()}), dtype=object)
    typical = 900 if shape == "rows" else 20_000
    written = planted = number = 0
    earlier = ""
    single = folder / {"rows": "rows.jsonl", "one file": "all.txt", "files": "unused.txt"}[shape]
    with single.open("w", encoding="utf-8") as together:
        while written < size:
            lot, text = draw.random(), ""
            if earlier and lot < 0.075 and shape != "one file":
                text = earlier if lot < 0.025 else edit_text(earlier, 0.01, vocabulary, draw)
                planted += 1
            else:
                text = build_document(paragraphs, vocabulary, int(draw.lognormal(np.log(typical), 0.7)), draw)
                earlier = text if draw.random() < 0.3 or not earlier else earlier
            if shape == "files":
                Path(folder, f"{number:06}.txt").write_text(text, encoding="utf-8")
            else:
                together.write(json.dumps({"text": text}) + "\n" if shape == "rows" else text + "\n\n")
            number, written = number + 1, written + len(text.encode())
    if shape == "files":
        single.unlink()
    return planted


def build_document(paragraphs: list[str], vocabulary: np.ndarray, size: int, draw: np.random.Generator) -> str:
    chosen, length = [], 0
    while length < size:
        paragraph = paragraphs[int(draw.integers(len(paragraphs)))]
        chosen.append(paragraph)
        length += len(paragraph)
    return edit_text("\n\n".join(chosen), 0.125, vocabulary, draw)


def edit_text(text: str, share: float, vocabulary: np.ndarray, draw: np.random.Generator) -> str:
    """The text with a share of its words exchanged for others, its blanks and lines as they were."""
    words = np.array(text.split(" "), dtype=object)
    places = np.flatnonzero(draw.random(len(words)) < share)
    words[places] = vocabulary[draw.integers(len(vocabulary), size=len(places))]
    return " ".join(words)


def load_paragraphs() -> list[str]:
    from genloom.collect.builtin import load_shakespeare

    library = Path(json.__file__).parent.parent
    packages = Path(np.__file__).parent.parent
    texts = [load_shakespeare()]
    for path in [*sorted(library.glob("*.py")), *sorted(library.glob("*/*.py")), *sorted(packages.glob("*/METADATA"))]:
        if path.is_relative_to(packages) or packages not in path.parents:
            texts.append(path.read_text(encoding="utf-8", errors="ignore"))
    return [p for text in texts for p in text.split("\n\n") if 80 < len(p) < 4000]


if __name__ == "__main__":
    main()
