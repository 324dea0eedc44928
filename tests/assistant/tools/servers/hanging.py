"""An MCP server that never answers a call, and starts a child that would outlive it."""

import subprocess
import sys
import time
from pathlib import Path

from mcp.server import MCPServer

server = MCPServer("hanging")


@server.tool()
def wait(note: str) -> str:
    """Wait for ever, and write the process ids into a file."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(note).write_text(f"{child.pid}")
    time.sleep(600)
    return "done"


if __name__ == "__main__":
    server.run("stdio")
