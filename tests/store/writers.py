"""Writers of one ledger that are killed at random and resume; test_ledger.py runs this.

Each writer appends ratings numbered from 0, each with an id, and writes a line to its own file for each acknowledged
one. Its successor starts with the first unacknowledged rating, which may be in the ledger already. SQLAlchemy is
imported once, and every writer is a fork. Prints the number of killed writers.
"""

import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

from genloom.store.ledger import open_ledger

MIN_ACKNOWLEDGED = 3  # ratings, however long they take


def write(root: Path, notes: Path, name: str) -> None:
    """Append until killed."""
    ledger = open_ledger(root)
    notebook = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for n in count(len(notes.read_text().splitlines())):
        ledger.append("rating", {"rater": name, "number": n}, id=f"{name}-{n}")
        os.write(notebook, b"acknowledged\n")


def count_acknowledged(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.iterdir())


def start_writer(root: Path, folder: Path, name: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            write(root, folder / name, name)
        finally:
            os._exit(1)  # only an error gets here
    return child


def main(root: str, folder: str, writers: str, seconds: str) -> None:
    rng, num_killed, until = random.Random(0), 0, time.monotonic() + float(seconds)
    children = {
        name: start_writer(Path(root), Path(folder), name) for name in (f"writer{n}" for n in range(int(writers)))
    }
    while time.monotonic() < until or count_acknowledged(Path(folder)) <= MIN_ACKNOWLEDGED:  # on a busy machine
        time.sleep(rng.expovariate(20))
        name = rng.choice(sorted(children))
        kill(children[name])
        num_killed += 1
        children[name] = start_writer(Path(root), Path(folder), name)
    for child in children.values():
        kill(child)
    print(num_killed)


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "a writer died of an error"


if __name__ == "__main__":
    main(*sys.argv[1:])
