"""Collects in parts, and encodes in shards, in processes that are killed one after the other; started by test_kills.py.

Each attempt is a fork that gets SIGKILL before a later disk operation than the one before it, until one ends. Standard
output is the list of the exit codes. Arguments: "collect" SOURCES WORKSPACE or "encode" TEXTS FILE.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from genloom.codecs import bytes as byte_codec
from genloom.collect import collect, parts
from genloom.store.workspace import Workspace
from genloom.train.data import token_shards
from genloom.train.data.token_stream import write_token_stream
from tests.collect.test_parts import OneProcess
from tests.train.kills import Death

FIRST_CALL = {"collect": 8, "encode": 4}  # disk operation before which the first attempt is killed
STEP = {"collect": 3, "encode": 1}  # by which the next attempt lives longer


def collect_parts(sources: str, workspace: str) -> None:
    parts.PART_FILES = 1  # ty: ignore[invalid-assignment]
    for _ in collect([Path(sources)], Workspace(Path(workspace)), "notes", cluster=OneProcess(1)):
        pass


def encode_shards(texts: str, path: str) -> None:
    token_shards.SHARD_TOKENS = 2000  # ty: ignore[invalid-assignment]
    write_token_stream(json.loads(Path(texts).read_text()), byte_codec.Codec.fit((), byte_codec.Config()), Path(path))


def run_killed(work: Callable[[], None], call: int) -> int:
    """Do the work in a fork that is killed before a disk operation, and return its exit code: -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            Death(call)
            work()
            os._exit(0)
        except BaseException as error:
            traceback.print_exception(error)
            sys.stderr.flush()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(kind: str, source: str, target: str) -> None:
    work = {"collect": collect_parts, "encode": encode_shards}[kind]
    codes = [-9]
    while codes[-1] == -9:
        codes.append(run_killed(lambda: work(source, target), FIRST_CALL[kind] + STEP[kind] * len(codes)))
    print(json.dumps(codes[1:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
