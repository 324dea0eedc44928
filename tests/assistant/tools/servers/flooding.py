"""A program that answers whatever comes with one endless line, or that floods its answer of a call."""

import json
import sys

if sys.argv[1:] == ["line"]:
    sys.stdin.readline()
    while True:
        sys.stdout.write("x" * (1 << 20))
        sys.stdout.flush()

from mcp.server import MCPServer

server = MCPServer("flooding")


@server.tool()
def flood(size: int) -> str:
    """Return so many characters."""
    return json.dumps("y" * size)


if __name__ == "__main__":
    server.run("stdio")
