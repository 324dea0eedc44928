"""Writers of one ledger that are killed at random and go on where they stood; test_ledger.py starts it.

Each writer appends ratings numbered from 0 on, under an id for each, and notes on a line of its own file what was
acknowledged. Its successor begins with the first that was not: that rating may be in the ledger already. SQLAlchemy is
imported once and every life is a fork. Prints how many lives were ended.
"""

import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

from genloom.store.ledger import open_ledger


def write(root: Path, notes: Path, name: str) -> None:
    """Append until killed."""
    ledger = open_ledger(root)
    notebook = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for n in count(len(notes.read_text().splitlines())):
        ledger.append("rating", {"rater": name, "number": n}, id=f"{name}-{n}")
        os.write(notebook, b"kept\n")


def started(root: Path, folder: Path, name: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            write(root, folder / name, name)
        finally:
            os._exit(1)  # only an error gets here
    return child


def main(root: str, folder: str, writers: str, seconds: str) -> None:
    chance, ended, until = random.Random(0), 0, time.monotonic() + float(seconds)
    lives = {name: started(Path(root), Path(folder), name) for name in (f"writer{n}" for n in range(int(writers)))}
    while time.monotonic() < until:
        time.sleep(chance.expovariate(20))
        name = chance.choice(sorted(lives))
        end(lives[name])
        ended += 1
        lives[name] = started(Path(root), Path(folder), name)
    for life in lives.values():
        end(life)
    print(ended)


def end(life: int) -> None:
    os.kill(life, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(life, 0)[1]) == -signal.SIGKILL, "a writer died of an error"


if __name__ == "__main__":
    main(*sys.argv[1:])
