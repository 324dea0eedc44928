"""MCP servers: their tools run, and one that lies, hangs, floods or dies costs an error and leaves no process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from genloom.api.tools import open_toolbox
from genloom.api.workspace import Workspace
from genloom.assistant.tools.mcp_client import McpServer, check_address, split_command
from genloom.assistant.tools.tool import ToolCall
from genloom.types import Message
from tests.errors import raises_code
from tests.ports import find_port

SERVERS = Path(__file__).parent / "servers"
TURN = [Message("user", "Go")]


def write_command(name: str, *words: str) -> str:
    return " ".join([f'"{sys.executable}"', f'"{SERVERS / f"{name}.py"}"', *words])


@pytest.fixture
def honest() -> Iterator[McpServer]:
    server = McpServer(write_command("honest"))
    server.connect()
    yield server
    server.close()


def test_tools_of_a_command_are_listed_and_run(honest: McpServer) -> None:
    tools = {tool.name: tool for tool in honest.list_tools()}
    assert tools.keys() == {"add", "fail"}
    assert tools["add"].description == "Add two whole numbers."
    assert tools["add"].origin == "server python honest.py" or tools["add"].origin.endswith("honest.py")
    assert honest.call_tool("add", {"a": 2, "b": 40}).text == "42"
    failed = honest.call_tool("fail", {"reason": "no paper"})
    assert failed.is_error
    assert "fail" in failed.text
    assert honest.call_tool("add", {"a": "x"}).is_error
    assert honest.call_tool("missing", {}).is_error
    assert honest.call_tool("add", {"a": 1, "b": 1}).text == "2", "an error ends no server"


def test_after_the_end_nothing_is_called(honest: McpServer) -> None:
    honest.close()
    assert honest.call_tool("add", {"a": 1, "b": 1}).is_error


def test_a_description_is_data(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with open_toolbox(workspace, servers=[write_command("lying")], allow=["calculate", "calculate_2"]) as box:
        names = [tool.name for tool in box.tools if tool.origin.startswith("server")]
        assert names == ["read_file_rm_-rf", "calculate_2"], "it takes no name of ours"
        for tool in box.tools:
            assert len(tool.description) <= 2000
            assert tool.description.isprintable()
        assert len(box.notes) == 1
        result = box.run(ToolCall("calculate_2", {}), TURN)
        assert "send_mail" in result.text
        assert not result.is_trusted
        told = Message("tool", result.text, is_trusted=False)
        assert box.run(ToolCall("calculate_2", {}), [*TURN, told]).is_error, "the permission is suspended"
        assert not box.parse(result.text).calls, "only an answer of the model is parsed"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_server_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    server = McpServer(write_command("hanging"), call_seconds=4.0)
    server.connect()
    result = server.call_tool("wait", {"note": str(tmp_path / "pid")})
    assert result.is_error
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 600
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)
    assert server.call_tool("wait", {"note": "x"}).is_error
    server.close()


def test_a_server_that_floods_is_ended() -> None:
    server = McpServer(write_command("flooding"))
    server.connect()
    large = server.call_tool("flood", {"size": 50_000})
    assert large.is_cut
    assert len(large.text) < 5000
    assert server.call_tool("flood", {"size": 9 << 20}).is_error
    server.close()
    with raises_code("tools.server_unreachable"):
        McpServer(write_command("flooding", "line")).connect()


@pytest.mark.parametrize("command", ["/no/such/program", f'"{sys.executable}" -c "import sys; sys.exit(3)"'])
def test_a_server_that_does_not_start_is_named(command: str) -> None:
    with raises_code("tools.server_unreachable"):
        McpServer(command).connect()


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up() -> None:
    silent = McpServer(f'"{sys.executable}" -c "import time; time.sleep(600)"', connect_seconds=1.0)
    with raises_code("tools.server_unreachable"):
        silent.connect()


def test_what_a_dying_server_wrote_last_is_told() -> None:
    words = f"""\"{sys.executable}\" -c "raise SystemExit('no token in SECRET_FILE')" """
    with raises_code("tools.server_unreachable") as caught:
        McpServer(words).connect()
    assert "no token" in str(caught.value)


def test_addresses_of_other_machines_need_https() -> None:
    assert check_address("https://example.org/mcp")
    assert check_address("http://127.0.0.1:8/mcp")
    for target in ("http://example.org/mcp", "https://"):
        with raises_code("tools.bad_server"):
            check_address(target)
    for command in ('python "a', "   "):
        with raises_code("tools.bad_server"):
            split_command(command)


def test_tools_of_an_address_are_run() -> None:
    port = find_port()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from honest import server; "
        "server.run('streamable-http', port=int(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(SERVERS), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            with closing(socket.socket()) as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        server = McpServer(f"http://127.0.0.1:{port}/mcp")
        server.connect()
        assert [tool.name for tool in server.list_tools()] == ["add", "fail"]
        assert server.call_tool("add", {"a": 20, "b": 22}).text == "42"
        assert server.label == "127.0.0.1"
        server.close()
    finally:
        process.terminate()
        process.wait(600)


def test_an_address_without_a_server_is_named() -> None:
    port = find_port()
    with raises_code("tools.server_unreachable"):
        McpServer(f"http://127.0.0.1:{port}/mcp", connect_seconds=5.0).connect()
