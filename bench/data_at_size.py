"""Collecting and encoding more data than fits in memory: memory over size, speed per core, and a cluster beside it.

    python bench/data_at_size.py --gigabytes 0.5 1 2          # collect and encode, each size in a fresh process
    python bench/data_at_size.py --gigabytes 1 4 --only collect  # memory of collecting alone
    python bench/data_at_size.py --gigabytes 50 --folder /data  # as large as the disk allows; needs 3.5 times the size
    python bench/data_at_size.py --cluster --gigabytes 0.5    # collect on a cluster of this machine, of 1 and 2 workers

The corpora are written by a generator of words (Zipf's law over the words of Shakespeare), in files of 64 MB of JSON
lines of about 2 kB, with exact copies and near-duplicates of earlier documents, one in fifty each. Memory is what
processes cannot give back: the private pages without files (RssAnon), of all processes together, sampled five times a
second; pages of mapped files are cache. CPU seconds are those of all processes, by the same samples.

On a machine that is busy with other work, the clock says little about two workers. So their speed is also computed from
processor seconds: what the command itself computes (comparing, writing) is done by one, the rest is shared by two.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

FILE_BYTES = 64_000_000
WORDS_PER_DOCUMENT = 360  # about 2 kB
COPIES, NEAR_COPIES = 0.02, 0.02  # shares of the documents
VOCABULARY = 8192  # tokens of the codec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 1, 2])
    parser.add_argument("--folder", type=Path, help="where the corpora and workspaces are for the time of the run")
    parser.add_argument("--workers", type=int, default=0, help="processes of collect; 0: by the number of cores")
    parser.add_argument(
        "--only", default="", choices=("", "collect"), help="without encoding, which takes ten times as long"
    )
    parser.add_argument("--cluster", action="store_true", help="collect on a cluster of this machine instead")
    parser.add_argument("--step", nargs=4, metavar=("STEP", "CORPUS", "WORKSPACE", "WORKERS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, corpus, workspace, workers = args.step
        {"collect": collect_corpus, "encode": encode_corpus, "cluster": collect_on_cluster}[step](
            Path(corpus), Path(workspace), int(workers)
        )
        return
    for gigabytes in args.gigabytes:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            corpus = Path(folder, "corpus")
            started = time.perf_counter()
            planted = write_corpus(corpus, int(gigabytes * 1e9))
            size = sum(path.stat().st_size for path in corpus.iterdir()) / 1e9
            seconds = time.perf_counter() - started
            print(f"corpus: {size:.2f} GB in {seconds:.0f} s, {planted:,} planted duplicates", flush=True)
            if args.cluster:
                measure_cluster(corpus, Path(folder), size)
                continue
            measure_step("collect", corpus, Path(folder, "w"), args.workers, size)
            shutil.rmtree(corpus)
            if not args.only:
                measure_step("encode", corpus, Path(folder, "w"), 1, size)


def measure_step(step: str, corpus: Path, workspace: Path, workers: int, size: float) -> dict[str, float]:
    """Run a step in a process of its own; print and return its speed and its memory."""
    command = [sys.executable, __file__, "--step", step, str(corpus), str(workspace), str(workers)]
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watch = MemoryWatch(child.pid)
    output, _ = child.communicate()
    seconds, peaks = time.perf_counter() - started, watch.stop()
    if child.returncode:
        raise SystemExit(f"{step} failed")
    facts = json.loads(output.splitlines()[-1])
    cpu_seconds = watch.count_cpu_seconds()
    print(
        f"{step:8} {size:6.2f} GB: {1000 * size / seconds:6.1f} MB/s, {1000 * size / cpu_seconds:6.1f} MB/s per core, "
        f"memory at its peak {max(peaks):.0f} MB (first half {max(peaks[: len(peaks) // 2 + 1]):.0f} MB), {facts}",
        flush=True,
    )
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak": max(peaks), **facts}


def measure_cluster(corpus: Path, folder: Path, size: float) -> None:
    """Collect on clusters of one and two workers, and on none; compare the results and the speed."""
    local = measure_step("collect", corpus, folder / "local", 1, size)
    found = {n: measure_step("cluster", corpus, folder / f"cluster-{n}", n, size) for n in (1, 2)}
    assert len({local["digest"], *(each["digest"] for each in found.values())}) == 1, "the data sets differ"
    ratio = found[1]["work_seconds"] / found[2]["work_seconds"]
    print(
        f"two workers are {ratio:.2f} times as fast as one ({ratio / 2:.2f} of linear); the same data set", flush=True
    )
    one, own = found[1]["cpu_seconds"], found[2]["own_seconds"]
    ratio = one / (own + (found[2]["cpu_seconds"] - own) / 2)
    print(f"by processor seconds {ratio:.2f} times ({ratio / 2:.2f} of linear): {own:.1f} s of the command", flush=True)


class MemoryWatch:
    """Samples the memory without files of a process and its children, in MB, and their processor seconds."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._samples = [0.0]
        self._cpu_seconds: dict[int, float] = {}  # of each process, also of those that have ended
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.2):
            total = 0.0
            try:
                processes = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in processes:
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    times = process.cpu_times()
                except (OSError, psutil.Error):
                    continue
                self._cpu_seconds[process.pid] = times.user + times.system
                total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1e3
            self._samples.append(total)

    def count_cpu_seconds(self) -> float:
        return sum(self._cpu_seconds.values())

    def stop(self) -> list[float]:
        self._stopped.set()
        self._thread.join()
        return self._samples


def collect_corpus(corpus: Path, workspace: Path, workers: int) -> None:
    from genloom.collect import collect
    from genloom.store.workspace import Workspace

    *_, last = collect([corpus], Workspace(workspace), "bench", {"workers": workers})
    print_report(last.report, 0.0, 0.0)


def collect_on_cluster(corpus: Path, workspace: Path, workers: int) -> None:
    from genloom.cluster import import_ray, open_cluster
    from genloom.collect import collect
    from genloom.store.workspace import Workspace

    import_ray().init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    with open_cluster("ray") as cluster:
        started, own_start = time.perf_counter(), time.process_time()
        *_, last = collect([corpus], Workspace(workspace), "bench", cluster=cluster)
        print_report(last.report, time.perf_counter() - started, time.process_time() - own_start)


def print_report(report: object, work_seconds: float, own_seconds: float) -> None:
    from genloom.collect import Report

    assert isinstance(report, Report)
    removed = report.drop_counts["exact copy"] + report.drop_counts["near-duplicate"]
    facts = {"kept": report.documents_kept, "removed": removed, "digest": report.digest[:12]}
    print(json.dumps({**facts, "work_seconds": round(work_seconds, 1), "own_seconds": round(own_seconds, 1)}))


def encode_corpus(corpus: Path, workspace: Path, workers: int) -> None:
    """Encode the collected texts as tokens, as a run does before its first step; then read some blocks of them."""
    from itertools import islice

    from genloom.codecs import bpe
    from genloom.store.workspace import Workspace
    from genloom.train.data.stream_encoding import encode_stream
    from genloom.train.data.token_stream import TokenBlocks

    dataset = Workspace(workspace).get_dataset("bench")
    texts = (item.value for item in islice(dataset.iter_documents("train"), 2000))
    codec = bpe.Codec.fit(texts, bpe.Config(vocab_size=VOCABULARY))
    run = workspace / "runs" / "bench"
    run.mkdir(parents=True)
    started = time.perf_counter()
    tokens, _ = encode_stream(run, dataset, codec, None, None)
    seconds = time.perf_counter() - started
    blocks = TokenBlocks(tokens, 64, 1024)
    started = time.perf_counter()
    for step in range(100):
        blocks(step)
    milliseconds = 10 * (time.perf_counter() - started)
    num_shards = len(list(run.glob("train*.symbols")))
    facts = {"tokens": len(tokens), "shards": num_shards, "tokens_per_second": round(len(tokens) / seconds)}
    print(json.dumps({**facts, "milliseconds_per_batch": round(milliseconds, 2)}))


def write_corpus(folder: Path, size: int) -> int:
    """Write a corpus of about `size` bytes; return how many of its documents are planted duplicates."""
    from genloom.collect.builtin import load_shakespeare

    folder.mkdir()
    draw = np.random.default_rng(7)
    vocabulary = np.array(sorted({word for word in load_shakespeare().split() if word.isalpha()}), dtype=object)
    draw.shuffle(vocabulary)
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    cumulative = np.cumsum(weights / weights.sum())
    written = planted = number = 0
    earlier: np.ndarray | None = None
    while written < size:
        with Path(folder, f"{number:05}.jsonl").open("w", encoding="utf-8") as file:
            number, end = number + 1, min(size, written + FILE_BYTES)
            while written < end:
                lot = draw.random()
                if earlier is not None and lot < COPIES + NEAR_COPIES:
                    words, planted = earlier.copy(), planted + 1
                    if lot >= COPIES:
                        words[draw.integers(len(words))] = vocabulary[draw.integers(len(vocabulary))]
                else:
                    count = int(draw.integers(WORDS_PER_DOCUMENT // 2, WORDS_PER_DOCUMENT * 3 // 2))
                    words = vocabulary[np.searchsorted(cumulative, draw.random(count))]
                    earlier = words if earlier is None or draw.random() < 0.1 else earlier
                line = json.dumps({"text": " ".join(words)}) + "\n"
                file.write(line)
                written += len(line)
    return planted


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
