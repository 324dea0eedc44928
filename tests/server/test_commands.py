"""`genloom studio`, `serve` and `access`, as people start them."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genloom.api.workspace import Workspace
from genloom.cli import run
from genloom.cli.commands.serve import draw_qr_code
from genloom.cli.options import serving
from genloom.server.app import build_ollama_app
from genloom.server.config import Config, list_private_addresses
from genloom.server.run import build_http_server, end_on_hangup, listen_as_ollama, open_sockets
from genloom.server.running import find_running_urls, hold_workspace, publish_urls
from genloom.server.sessions import open_access
from tests.errors import raises_code
from tests.ports import find_port
from tests.server.reach import Reach


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that a command would have served, while it held the workspace."""
    configs: list[Config] = []

    def serve(workspace: Workspace, config: Config, sockets: list[socket.socket], announce: Any) -> None:
        configs.append(config)
        assert find_running_urls(workspace) == config.list_urls()
        announce()
        for each in sockets:
            each.close()

    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "ws"))
    monkeypatch.setattr("genloom.server.run.run_server", serve)
    return configs


def test_a_terminal_that_is_closed_ends_a_server_as_sigterm_does() -> None:
    received: list[int] = []
    previous_handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may ignore it
        end_on_hangup()
        signal.raise_signal(signal.SIGHUP)
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
    assert received == [signal.SIGTERM]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.7", "192.168.1.2", "studio-pc"])
def test_an_open_address_without_a_key_is_refused_with_three_cures(
    starts: list[Config], capsys: pytest.CaptureFixture[str], host: str
) -> None:
    assert run(["serve", "--host", host, "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert "[server.open_without_key]" in error
    assert all(cure in error for cure in ("--host 127.0.0.1", "genloom access new", "--lan"))
    assert run(["serve", "--public-url", "https://studio.example.org", "--port", "0"]) == 2
    assert "[server.open_without_key]" in capsys.readouterr().err
    assert starts == []


def test_an_open_address_with_a_key_is_served(starts: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["access", "new", "laptop"]) == 0
    capsys.readouterr()
    assert run(["serve", "--host", "0.0.0.0", "--port", "0"]) == 0
    assert "token" not in capsys.readouterr().out, "standard output may be a log"
    assert starts[0].is_open
    keys = Path(starts[0].keys or "")
    assert keys == Path(), "the keys are in the workspace"


def test_the_studio_takes_the_next_free_port_and_serve_does_not(
    starts: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["studio", "--no-browser", "--port", str(port)]) == 0
        assert starts[0].port > port
        assert f"http://127.0.0.1:{starts[0].port}/#token=" in capsys.readouterr().out
        assert run(["serve", "--port", str(port)]) == 2
        assert "[server.cannot_listen]" in capsys.readouterr().err


def test_a_second_studio_gives_another_link_and_a_second_serve_is_refused(
    starts: list[Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "ws")
    config = Config(port=7999)
    with hold_workspace(workspace):
        publish_urls(workspace, config)
        assert run(["studio", "--json"]) == 0
        (link,) = json.loads(capsys.readouterr().out)["links"]
        _, sessions = open_access(workspace, config)
        user = sessions.authenticate(sessions.redeem_link(link.partition("=")[2]) or "")
        assert user is not None
        assert "admin" in user.scopes
        assert run(["serve"]) == 2
        error = capsys.readouterr().err
        assert "[server.already_running]" in error
        assert "http://127.0.0.1:7999" in error
    assert starts == []
    assert find_running_urls(workspace) == []


def test_the_local_network_gets_a_link_without_the_right_to_manage_keys(
    starts: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("config", "run"):
        monkeypatch.setattr(f"genloom.server.{module}.list_private_addresses", lambda: ["127.0.0.2"])
    assert run(["studio", "--no-browser", "--lan", "--port", "0", "--json"]) == 0
    own, lan = json.loads(capsys.readouterr().out)["links"]
    assert lan.startswith("http://127.0.0.2:")
    _, sessions = open_access(Workspace(tmp_path / "ws"), starts[0])
    user = sessions.authenticate(sessions.redeem_link(lan.partition("=")[2]) or "")
    assert user is not None
    assert user.scopes == {"generate", "read", "rate", "train"}
    assert own.partition("=")[2] != lan.partition("=")[2]
    for module in ("config", "run"):
        monkeypatch.setattr(f"genloom.server.{module}.list_private_addresses", list)
    assert run(["studio", "--no-browser", "--lan"]) == 2
    assert "[server.no_lan]" in capsys.readouterr().err


def test_the_local_network_is_that_of_private_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["8.8.8.8", "fd00::1", "192.168.1.2", "2001:4860::8888", "10.0.0.1", "172.32.0.1", "203.0.113.7"]
    monkeypatch.setattr("genloom.server.config.list_addresses", lambda: found)
    assert list_private_addresses() == ["10.0.0.1", "192.168.1.2", "fd00::1"]
    assert Config(is_lan=True).list_urls()[:2] == ["http://127.0.0.1:7860", "http://10.0.0.1:7860"]
    assert Config(is_lan=True).list_urls()[-1] == "http://[fd00::1]:7860"


def test_it_listens_on_this_machine_and_those_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloom.server.run.list_private_addresses", lambda: ["127.0.0.3"])
    sockets, config = open_sockets(Config(port=0, is_lan=True))
    try:
        assert {each.getsockname() for each in sockets} == {("127.0.0.1", config.port), ("127.0.0.3", config.port)}
    finally:
        for each in sockets:
            each.close()


def test_keys_and_accounts_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["--workspace", str(tmp_path / "ws"), "--json"]

    def call(*arguments: str) -> dict[str, Any]:
        assert run(["access", *arguments, *place]) == 0
        return json.loads(capsys.readouterr().out)

    store, _ = open_access(Workspace(tmp_path / "ws"), Config())
    made = call("new", "laptop", "--scopes", "read", "--scopes", "train", "--days", "7")
    user = store.authenticate(made["key"])
    assert user is not None
    assert (user.id, user.scopes) == ("local", {"read", "train"})
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    call("add", "anna", "--scopes", "read")
    assert open_access(Workspace(tmp_path / "ws"), Config())[0].check_password("anna", "correct horse battery")
    hers = call("new", "her laptop", "--user", "anna")
    listed = call()
    assert [key["user"] for key in listed["keys"]] == ["local", "anna"]
    assert listed["accounts"] == [{"name": "anna", "scopes": ["read"]}]
    assert "hash" not in json.dumps(listed)
    call("revoke", made["id"])
    call("remove", "anna")
    store = open_access(Workspace(tmp_path / "ws"), Config())[0]
    assert store.authenticate(made["key"]) is None
    assert store.authenticate(hers["key"]) is None
    assert call() == {"keys": [], "accounts": []}
    for arguments in (["new"], ["list", "x"], ["revoke", "0"], ["remove", "anna"], ["new", "a", "--scopes", "all"]):
        assert run(["access", *arguments, *place]) == 2
    for arguments in (["list", "--days", "3"], ["add", "bea", "--days", "3"], ["new", "a", "--email", "a@example.org"]):
        assert run(["access", *arguments, *place]) == 2
        assert "cli.option_without_effect" in capsys.readouterr().err


def test_wrong_options_are_explained() -> None:
    with raises_code("server.bad_public_url"):
        Config(public_url="studio.example.org")
    with raises_code("server.open_keyless"):
        Config(host="0.0.0.0", keyless_prefix="/v1/")


def test_the_studio_starts_answers_and_ends(tmp_path: Path) -> None:
    # Background processes of a shell ignore SIGINT, and so would this one.
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{reset}; from genloom.cli import main; main()"
    command = [sys.executable, "-c", start, "studio", "--no-browser", "--port", "0", "--workspace", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        link = ""
        while not link and (line := process.stdout.readline()):
            link = (re.findall(r"http://\S+#token=\S+", line) or [""])[0]
        url, _, token = link.partition("/#token=")
        with httpx2.Client(base_url=url, timeout=600) as client:
            assert client.get("/").headers["content-type"].startswith("text/html")
            assert client.post("/api/login", json={"token": token}).status_code == 200
            assert client.get("/api/keys").json()["data"] == []
        process.send_signal(signal.SIGINT)
        process.wait(600)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert token not in errors


def test_the_port_of_ollama_answers_as_ollama_does_on_this_machine_only(
    build_reach: Callable[..., Reach], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = find_port()
    for module in ("app", "run"):
        monkeypatch.setattr(f"genloom.server.{module}.OLLAMA_PORT", port)
    sockets, config = open_sockets(Config(port=0))
    reach = build_reach("lan", port=config.port)
    ollama = build_ollama_app(reach.guard)
    server = build_http_server(reach.guard, config, lambda: None, ollama)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [*sockets, *listen_as_ollama()]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/").text == "Ollama is running"
            assert client.get("/api/tags").json()["models"] == []  # neither pictures nor music
            assert client.get("/api/keys").status_code == 404
            assert client.get("/api/tags", headers={"host": "evil.example"}).status_code == 421
            assert client.get("/api/tags", headers={"host": "192.168.7.20"}).status_code == 421
            assert client.get("/api/tags", headers={"origin": "https://evil.example"}).status_code == 403
        assert httpx2.get(f"http://127.0.0.1:{config.port}/api/keys").status_code == 401
    finally:
        server.should_exit = True
        thread.join()


def test_other_names_of_models_are_pairs(starts: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["studio", "--no-browser", "--port", "0", "--alias", "gpt-4o=notes", "--alias", "x=icons/2"]) == 0
    assert starts[0].aliases == {"gpt-4o": "notes", "x": "icons/2"}
    for wrong in ("gpt-4o", "=notes", "gpt-4o="):
        assert run(["studio", "--no-browser", "--port", "0", "--alias", wrong]) == 2
        assert "[server.bad_alias]" in capsys.readouterr().err


def test_the_qr_code_is_square_and_has_its_quiet_zone() -> None:
    lines = draw_qr_code("http://192.168.1.2:7860/#token=1f0c92ab-" + "x" * 43)
    assert {len(line) for line in lines} == {len(lines) * 2 - 1}
    assert set(lines[0]) == set(lines[1]) == {"█"}


def test_missing_packages_are_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda name: None if name in ("uvicorn", "mcp") else name)
    for verb in ("studio", "serve", "access"):
        assert run([verb]) == 2
        error = capsys.readouterr().err
        assert "mcp, uvicorn" in error
        assert "pip install 'genloom[studio]'" in error
