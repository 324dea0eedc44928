"""Verbs in a workspace of many outputs and ratings: `python bench/many_ratings.py [OUTPUTS RATINGS]`.

Makes up outputs of 500 prompts, and ratings of two people (three thumbs to one choice), then times each verb in a
process of its own, by the clock and in processor seconds. The model is that of the workspace of an earlier version.
"""

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from genloom.rate.ratings import build_choice
from genloom.store import names, records
from genloom.store.ledger import NewEvent, open_ledger

OLD_WORKSPACE = Path(__file__).parents[1] / "tests" / "old_workspace.tar.gz"
VERBS = ("rate last --up", "list", "ratings", "doctor", "doctor --verify", "rate plays --check length:max_length=8")
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "was",
    "his",
    "that",
    "I",
    "you",
    "my",
    "not",
    "it",
    "with",
    "for",
    "be",
    "as",
    "thy",
    "have",
]
NUM_PROMPTS, BATCH_EVENTS = 500, 5000


def store_outputs(root: Path, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Write outputs as `save_output` does, without waiting for the disk."""
    start, stored = datetime(2026, 11, 20, tzinfo=UTC), []
    for n in range(count):
        moment, prompt = start + timedelta(milliseconds=500 * n), f"PERSON {n % NUM_PROMPTS}: What news"
        output, text = names.make_timed_id(moment), " ".join(rng.choices(WORDS, k=12))
        folder = root / "outputs" / f"{moment:%Y-%m-%d}"
        folder.mkdir(parents=True, exist_ok=True)
        data = f"{prompt} {text}".encode()
        (folder / f"{output}.txt").write_bytes(data)
        record: dict[str, Any] = {"model": "plays/1", "medium": "text", "prompt": prompt, "written": text, "row": 0}
        record |= {"id": output, "file": f"{output}.txt", "created": moment.isoformat(), "sequence": n + 1}
        record["sha256"] = hashlib.sha256(data).hexdigest()
        record["digest"] = records.hash_output_record(record)
        (folder / f"{output}.json").write_text(json.dumps(record))
        stored.append(record)
    return stored


def record_ratings(root: Path, stored: list[dict[str, Any]], count: int, rng: random.Random) -> None:
    ledger, events = open_ledger(root), []
    for n in range(count):
        rater, position = ("ann", "bob")[n % 2], rng.randrange(len(stored) - NUM_PROMPTS)
        record, other = stored[position], stored[position + NUM_PROMPTS]  # of the same prompt
        if n % 4 == 3:
            events.append(NewEvent("choice", build_choice(record, other, rng.choice(["a", "b"]), rater, False)))
            continue
        body = {"output": record["id"], "sha256": record["sha256"], "rater": rater, "scale": "thumb", "note": ""}
        events.append(NewEvent("rating", body | {"value": rng.choice([-1, 1]), "machine": False}))
    for begin in range(0, len(events), BATCH_EVENTS):
        ledger.append_all(events[begin : begin + BATCH_EVENTS])


def main(num_outputs: int = 50_000, num_ratings: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(OLD_WORKSPACE) as archive:
            archive.extractall(folder, filter="data")
        old_root, root, rng = next(Path(folder).iterdir()), Path(folder) / "many", random.Random(0)
        root.mkdir()
        (old_root / "models").rename(root / "models")
        record_ratings(root, store_outputs(root, num_outputs, rng), num_ratings, rng)
        for verb in VERBS:
            command = [sys.executable, "-m", "genloom", *verb.split(), "--workspace", str(root)]
            used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
            cpu_seconds = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
            print(f"{verb:40} {seconds:7.1f} s {cpu_seconds:7.1f} core-s", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
