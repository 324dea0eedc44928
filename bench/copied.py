"""The speed of the searches for copied spans and for nearest passages in training text.

    python bench/copied.py                 # 50 MB
    python bench/copied.py --megabytes 10

The training text is made from the Shakespeare that ships with Genloom, words exchanged so that no part stands twice;
the outputs, of 1 kB, are written by a 6-gram model of it. The peer is the standard library,
`difflib.SequenceMatcher.find_longest_match`, on a part of the text, as it is far slower.
"""

import argparse
import difflib
import gzip
from importlib.resources import files

import numpy as np
from nearest_passages import find_nearest_passages
from paired import time_paired

from genloom.networks.kneser_ney import KneserNey
from genloom.trust.copied_spans import find_longest_copies, measure_copied_spans
from genloom.types import Item

PEER_CHARACTERS = 300_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--megabytes", type=int, default=50)
    size = arguments.parse_args().megabytes * 1_000_000
    text = gzip.decompress(files("genloom.collect").joinpath("builtin/shakespeare.txt.gz").read_bytes()).decode()
    held, plays = [Item(text[-len(text) // 10 :], "held out")], text[: -len(text) // 10]
    documents = build_documents(plays, size)
    outputs = generate_outputs(plays, 10, 1000)
    total = sum(len(item.value) for item in documents)
    for count in (1, 10):
        times = time_paired(
            lambda count=count: find_longest_copies(outputs[:count], documents),
            lambda count=count: find_nearest_passages(outputs[:count], documents),
            3,
            warm_up=False,
        )
        spans, near = total / 1e6 / times.first.median, total / 1e6 / times.second.median
        print(
            f"{count:2} x 1 kB, {total / 1e6:.0f} MB: copied spans {spans:.0f} MB/s, nearest passages {near:.0f} MB/s"
        )
    report = measure_copied_spans(outputs, documents, held)
    print("longest copied:", [copy.length for copy in report.spans], "held-out text shares:", report.baseline)
    part = plays[:PEER_CHARACTERS]
    print(
        "one output, 0.3 MB, against difflib:",
        time_paired(lambda: find_with_genloom(outputs[0], part), lambda: find_with_difflib(outputs[0], part), 3),
    )
    assert find_with_genloom(outputs[0], part) == find_with_difflib(outputs[0], part)


def find_with_genloom(output: str, text: str) -> int:
    return find_longest_copies([output], [Item(text)])[0].length


def find_with_difflib(output: str, text: str) -> int:
    # difflib indexes its second sequence: the short one, as here too.
    return difflib.SequenceMatcher(None, text, output, autojunk=False).find_longest_match().size


def build_documents(plays: str, size: int) -> list[Item]:
    """Documents of about 20 kB: the plays again and again, every eighth word drawn from all words."""
    rng = np.random.default_rng(0)
    words = np.array(plays.split(" "))
    documents: list[Item] = []
    num_generated = 0
    while num_generated < size:
        copy = words.copy()
        copy[::8] = rng.choice(words, len(copy[::8]))
        copy = np.roll(copy, int(rng.integers(len(copy))))
        for start in range(0, len(copy), 3500):
            documents.append(Item(" ".join(copy[start : start + 3500]), f"document {len(documents)}"))
            num_generated += len(documents[-1].value)
    return documents


def generate_outputs(plays: str, count: int, length: int) -> list[str]:
    ids = np.frombuffer(plays.encode("latin-1", "replace"), np.uint8)
    model = KneserNey.fit(ids, 256, 6)
    rng = np.random.default_rng(1)
    tokens = np.tile(ids[:5].astype(np.int64), (count, 1))
    for _ in range(length):
        reach = model.predict_probs(tokens[:, -5:]).cumsum(1)
        next_tokens = (reach < rng.random((count, 1)) * reach[:, -1:]).sum(1)
        tokens = np.concatenate([tokens, next_tokens[:, None]], 1)
    return [bytes(row).decode("latin-1") for row in tokens[:, 5:].astype(np.uint8)]


if __name__ == "__main__":
    main()
