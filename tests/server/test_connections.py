"""A running server beside clients that are slow, greedy, broken or gone."""

import json
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import httpx2
import pytest

from genloom.server import protocol
from tests.server.reach import Reach

PATIENCE = 300  # seconds for what an idle machine does at once
Serve = Callable[..., AbstractContextManager[Reach]]


@contextmanager
def connect(reach: Reach) -> Generator[socket.socket]:
    with socket.create_connection(("127.0.0.1", reach.guard.config.port), timeout=PATIENCE) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def get_status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def check_alive(reach: Reach) -> None:
    assert httpx2.get(f"{reach.base_url}/healthz", timeout=PATIENCE).json() == {"status": "ok"}


def start_request(reach: Reach, length: int, key: str) -> bytes:
    lines = ["POST /api/things HTTP/1.1", f"Host: 127.0.0.1:{reach.guard.config.port}", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, "Content-Type: application/json", f"Content-Length: {length}", "", ""]).encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 1_000_000, 400),
        (b"GET /" + b"x" * 1_000_000, 400),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, x\r\n\r\n", 501),
    ],
)
def test_what_is_not_a_request_gets_an_error_object(running_reach: Reach, sent: bytes, status: int) -> None:
    with connect(running_reach) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # refused before all was sent
            pass
        answer = read_all(connection)
        if answer:
            assert get_status(answer) in (status, 400)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
        check_alive(running_reach)


def test_an_upgrade_to_a_web_socket_is_not_accepted(run_reach: Serve) -> None:
    with run_reach() as reach, connect(reach) as connection:
        key = reach.create_key()
        lines = [
            "GET /api/things/l1 HTTP/1.1",
            f"Host: 127.0.0.1:{reach.guard.config.port}",
            f"Authorization: Bearer {key}",
            "Origin: https://evil.example",
            "Connection: Upgrade, close",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert get_status(read_all(connection)) == 403


def test_slow_headers_and_slow_bodies_are_ended_while_others_are_served(
    run_reach: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.4)
    with run_reach(body_seconds=0.4) as reach, connect(reach) as silent, connect(reach) as head, connect(reach) as body:
        start = time.monotonic()
        key = reach.create_key()
        head.sendall(b"GET / HTTP/1.1\r\nHost: ")
        body.sendall(start_request(reach, 1000, key) + b'{"name": ')
        check_alive(reach)
        for connection in (silent, head, body):
            answer = read_all(connection)  # until it is closed
            assert get_status(answer) == 408
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"].startswith("server.")
        assert time.monotonic() - start < PATIENCE
        assert reach.done == []


def test_a_trickle_does_not_keep_a_connection(run_reach: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.5)
    with run_reach(body_seconds=0.5) as reach, connect(reach) as head, connect(reach) as body:
        body.sendall(start_request(reach, 1000, reach.create_key()))
        start = time.monotonic()
        head.sendall(b"GET / HTTP/1.1\r\nX: ")
        for connection in (head, body):
            with pytest.raises(OSError):  # noqa: PT011  # reset or broken pipe
                while time.monotonic() - start < 2 * PATIENCE:
                    connection.sendall(b" ")
                    time.sleep(0.02)
        assert time.monotonic() - start < PATIENCE


def test_a_large_body_is_not_swallowed(run_reach: Serve) -> None:
    with run_reach() as reach, connect(reach) as connection:
        connection.sendall(start_request(reach, 10_000_000_000, reach.create_key()))
        num_sent = 0
        try:
            while num_sent < 1_000_000_000:
                num_sent += connection.send(b" " * 65536)
        except OSError:
            pass
        assert num_sent < 20_000_000
        check_alive(reach)


def test_a_client_that_goes_away_leaves_nothing_behind(run_reach: Serve) -> None:
    with run_reach() as reach:
        key = reach.create_key()
        for _ in range(50):
            with connect(reach) as connection:
                connection.sendall(start_request(reach, 1000, key) + b"{")
            with connect(reach) as connection:
                lines = [
                    "GET /api/stream HTTP/1.1",
                    f"Host: 127.0.0.1:{reach.guard.config.port}",
                    f"Authorization: Bearer {key}",
                ]
                connection.sendall("\r\n".join([*lines, "", ""]).encode())
                connection.recv(100)
        deadline = time.monotonic() + PATIENCE
        gauge = reach.guard.metrics.open
        while gauge._value.get() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert gauge._value.get() == 0
        assert not reach.guard._channels
        check_alive(reach)


def test_a_client_that_does_not_read_holds_up_nobody_and_fills_no_memory(run_reach: Serve) -> None:
    with run_reach() as reach, ExitStack() as stack:
        headers = {"authorization": f"Bearer {reach.create_key()}"}
        with httpx2.Client(timeout=PATIENCE) as client:
            for _ in range(5):
                stack.enter_context(client.stream("GET", f"{reach.base_url}/api/flood", headers=headers))
            num_pieces = -1
            while num_pieces < len(reach.done):  # until nothing more is made, since nobody reads
                num_pieces = len(reach.done)
                time.sleep(0.5)
            check_alive(reach)
            assert len(reach.done) < 500


def test_the_server_ends_at_once_beside_open_channels(run_reach: Serve) -> None:
    with run_reach(shutdown_seconds=10.0 * PATIENCE) as reach:
        headers = {"authorization": f"Bearer {reach.create_key()}"}
        ends: list[str] = []

        def read() -> None:
            with httpx2.stream("GET", f"{reach.base_url}/api/stream", headers=headers, timeout=PATIENCE) as response:
                ends.append("".join(response.iter_text()))

        threads = [threading.Thread(target=read) for _ in range(5)]
        for thread in threads:
            thread.start()
        while len(reach.guard._channels) < 5:
            time.sleep(0.01)
        start = time.monotonic()
    assert time.monotonic() - start < PATIENCE
    for thread in threads:
        thread.join(PATIENCE)
    assert ends == ["data: 1\n\n"] * 5


OPEN_CHANNELS = """
import resource, socket, sys
count, port, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
request = f"GET /api/stream HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nAuthorization: Bearer {key}\\r\\n\\r\\n".encode()
connections = []
for _ in range(count):
    connections.append(socket.create_connection(("127.0.0.1", port), timeout=600))
    connections[-1].sendall(request)
print(sum(connection.recv(12) == b"HTTP/1.1 200" for connection in connections), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_ten_thousand_open_channels_leave_room_for_others(run_reach: Serve) -> None:
    count = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard > count + 500, "this machine allows too few open files for the test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 500, hard))
    try:
        with run_reach(max_channels=20_000, max_rate=1e6) as reach:
            key = reach.create_key()
            command = [sys.executable, "-c", OPEN_CHANNELS, str(count), str(reach.guard.config.port), key]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
                assert client.stdout is not None
                assert int(client.stdout.readline()) == count
                check_alive(reach)
                headers = {"authorization": f"Bearer {key}"}
                url = f"{reach.base_url}/api/things"
                assert httpx2.post(url, json={"name": "a"}, headers=headers).status_code == 200
                assert reach.guard.metrics.open._value.get() >= count
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_channels_above_the_limit_are_told_to_come_back(run_reach: Serve) -> None:
    with run_reach(max_channels=3) as reach, ExitStack() as stack, httpx2.Client(timeout=PATIENCE) as client:
        headers = {"authorization": f"Bearer {reach.create_key()}"}
        url = f"{reach.base_url}/api/stream"
        open_ones = [stack.enter_context(client.stream("GET", url, headers=headers)) for _ in range(3)]
        assert [response.status_code for response in open_ones] == [200] * 3
        refused = client.get(url, headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "6")
        check_alive(reach)
        assert client.get(f"{reach.base_url}/api/things/l1", headers=headers).status_code == 200


def test_connections_above_the_limit_are_refused(run_reach: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 5)
    with run_reach() as reach, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connect(reach))
        time.sleep(0.2)
        with connect(reach) as connection:
            answer = read_all(connection)
        assert get_status(answer) == 503
        assert b"retry-after: 5" in answer.lower()
