"""The n-gram model on Shakespeare: its loss, and the time that counting and predicting take.

    python bench/ngram.py

The first nine tenths of the text that ships with Genloom are counted, the last tenth is held out. The peer is the plain
way to count the same n-grams, a `collections.Counter` over slices.
"""

import gzip
import time
from collections import Counter
from importlib.resources import files

import numpy as np
from paired import Spread, time_paired

from genloom.networks.kneser_ney import KneserNey

ROUNDS = 7


def main() -> None:
    text = gzip.decompress(files("genloom.collect").joinpath("builtin/shakespeare.txt.gz").read_bytes())
    ids = np.frombuffer(text, np.uint8)
    num_train = len(ids) * 9 // 10
    train, held_out = ids[:num_train], ids[num_train:]
    print(
        f"{num_train:,} characters counted, {len(held_out):,} held out; "
        f"times in ms, median [least, greatest] of {ROUNDS}"
    )
    rng = np.random.default_rng(0)
    for order in range(3, 8):
        model = KneserNey.fit(train, 256, order)
        fit = format_spread(lambda order=order: KneserNey.fit(train, 256, order))
        size = sum(array.nbytes for array in model.to_arrays().values()) / 1e6
        print(f"order {order}: {-model.log_prob(held_out).mean():.4f} nats a character, fit {fit}, {size:.1f} MB")
        for rows in (1, 32 * 64, 64 * 256):
            at = rng.integers(0, num_train, rows)
            contexts = model.gather_contexts(train, at)
            times = format_spread(lambda model=model, c=contexts: model.predict_probs(c, is_log=True, dtype=np.float32))
            print(f"  {rows:6} rows of 256: {times}")
    counted = time_paired(lambda: KneserNey.fit(train, 256, 5), lambda: count_plainly(text[:num_train], 5), 3)
    print(f"order 5, fitting against counting with a Counter: {counted}")


def count_plainly(text: bytes, order: int) -> list[Counter]:
    return [Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(1, order + 1)]


def format_spread(do) -> Spread:
    do()
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        do()
        seconds.append(1e3 * (time.perf_counter() - started))
    return Spread.of(seconds)


if __name__ == "__main__":
    main()
