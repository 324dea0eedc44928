"""A collection and an encoding that are killed again and again end with the data of those that were not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genloom.codecs import bytes as byte_codec
from genloom.collect import collect
from genloom.collect.builtin import load_shakespeare
from genloom.store.workspace import Workspace
from genloom.train.data.token_shards import list_shards
from genloom.train.data.token_stream import read_token_stream, write_token_stream

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def run_killed(kind: str, source: Path, target: Path) -> int:
    """Let tests/collect/kills.py do the work, and return how many of its processes were killed."""
    command = [sys.executable, "-m", "tests.collect.kills", kind, str(source), str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *killed, last = json.loads(done.stdout)
    assert (last, set(killed)) == (0, {-9}), done.stderr
    return len(killed)


def test_a_collection_that_is_killed_again_and_again_makes_the_same_data_set(tmp_path: Path) -> None:
    folder, play = tmp_path / "notes", load_shakespeare()
    folder.mkdir()
    for n in range(8):
        (folder / f"{n}.txt").write_text(play[n * 6000 : n * 6000 + 7000])
    *_, last = collect([folder], Workspace(tmp_path / "whole"), "notes")
    assert run_killed("collect", folder, tmp_path / "killed") > 4
    workspace = Workspace(tmp_path / "killed")
    assert last.report is not None
    assert workspace.get_dataset("notes").digest == last.report.digest
    assert list((workspace.root / "collecting").iterdir()) == []


def test_an_encoding_that_is_killed_again_and_again_makes_the_same_tokens(tmp_path: Path) -> None:
    texts, codec = [f"document {n} " * (n % 9) for n in range(150)], byte_codec.Codec.fit((), byte_codec.Config())
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    write_token_stream(texts, codec, tmp_path / "whole.symbols")
    path = tmp_path / "killed" / "train.symbols"
    assert run_killed("encode", tmp_path / "texts.json", path) > 2
    whole, killed = (read_token_stream(each, 256) for each in (tmp_path / "whole.symbols", path))
    assert len(list_shards(path)) > 3
    assert list(killed[: len(killed)].__array__()) == list(whole[: len(whole)].__array__())
