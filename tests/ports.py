"""Ports of servers that tests start in processes of their own, or whose port has to be known before they start."""

import secrets
import socket
from contextlib import suppress


def find_port() -> int:
    """Return a port of this machine that is free and stays so: the system gives none of these to who asks for any."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
