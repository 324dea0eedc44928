"""A workspace on S3, as moto plays it: conditional writes, two machines, and verbs of the command line."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from genloom.store import mirror
from genloom.store.ledger import open_ledger
from genloom.store.storage import ABSENT, ObjectConflict, open_storage
from genloom.store.workspace import Workspace
from tests.errors import raises_code
from tests.ports import find_port
from tests.store.test_workspace import fill_model, make_data

pytestmark = pytest.mark.slow
GENLOOM = [sys.executable, "-c", "from genloom.cli import main; main()"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a server that speaks S3, with the bucket `lab`."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    port = find_port()
    url = f"http://127.0.0.1:{port}"
    names = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        try:
            wait_for(port)
            import s3fs

            s3fs.S3FileSystem(skip_instance_cache=True).mkdir("lab")
            yield url
        finally:
            server.terminate()
            server.wait()
            mirror._mirrors.clear()


def wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("the server does not answer")


def open_on(machine: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine))
    return Workspace.from_option(url)


def test_an_object_is_created_once_and_replaced_only_as_it_was_read(endpoint: str) -> None:
    storage = open_storage("s3://lab/conditions")
    token = storage.write("a/b.json", b"1", ABSENT)
    assert storage.write("a/b.json", b"1", ABSENT) == token, "a repeated request meets its own object"
    with pytest.raises(ObjectConflict):
        storage.write("a/b.json", b"2", ABSENT)
    newer = storage.write("a/b.json", b"2", token)
    with pytest.raises(ObjectConflict):
        storage.write("a/b.json", b"3", token)
    assert {key: state.token for key, state in storage.list_objects().items()} == {"a/b.json": newer}
    assert storage.read("a/b.json") == b"2"
    storage.copy("a/b.json", "c.json")
    storage.remove(["a/b.json", "none"])
    assert list(storage.list_objects()) == ["c.json"]
    with pytest.raises(FileNotFoundError):
        storage.read("a/b.json")


def test_two_machines_share_a_workspace(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "s3://lab/shared"
    here, there = (open_on(tmp_path / name, url, monkeypatch) for name in ("here", "there"))
    data = make_data(here, "letters", ["a", "b", "c", "d"])
    for workspace in (here, there):
        staged = workspace.create_model("notes")
        with staged as folder:
            fill_model(folder, bytes(3 << 20))
    open_ledger(here.root).append("rating", {"number": 1})
    open_ledger(there.root).append("rating", {"number": 2})
    third = open_on(tmp_path / "third", url, monkeypatch)
    assert third.get_dataset("letters").digest == data.digest
    assert [model.version for model in third.list_models()] == [1, 2]
    third.get_model("notes/1").verify()
    events = list(open_ledger(third.root).iter_events())
    assert [event.body["number"] for event in events] == [1, 2]
    assert third.list_faults() == []


def test_a_bucket_that_is_not_there_is_named(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises_code("store.storage_missing"):
        make_data(open_on(tmp_path, "s3://nobody/workspace", monkeypatch), "letters", ["a"])


def test_verbs_work_on_the_address_of_a_bucket(endpoint: str, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    for number in range(40):
        (letters / f"{number}.txt").write_text(f"Letter {number}: the boats of bay {number * 7} came home late. " * 20)

    def call(machine: str, *arguments: str) -> str:
        places = {"GENLOOM_HOME": "s3://lab/verbs", "XDG_CACHE_HOME": str(tmp_path / machine)}
        ended = subprocess.run(
            [*GENLOOM, *arguments], env=os.environ | places, capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    call("here", "collect", str(letters), "--name", "letters")
    parts = ["network.name=transformer", "codec.name=bpe", "codec.vocab_size=300", "network.softcap=0"]
    settings = [word for part in parts for word in ("--set", part)]
    call("here", "train", "letters", "--steps", "2", "--params", "100000", *settings)
    listed = call("there", "list")
    assert "letters" in listed
    assert listed.startswith("Workspace s3://lab/verbs")
    call("there", "generate", "letters", "--prompt", "Letter", "--max-tokens", "8")
    call("there", "rate", "last", "--up")
    assert "1" in call("here", "ratings")
    call("here", "export", "letters", str(tmp_path / "out"))
    assert any((tmp_path / "out").iterdir())
