"""An MCP server with two tools: it adds, and it fails on demand."""

from mcp.server import MCPServer

server = MCPServer("honest")


@server.tool()
def add(a: int, b: int) -> str:
    """Add two whole numbers."""
    return str(a + b)


@server.tool()
def fail(reason: str) -> str:
    """Fail with a reason."""
    raise ValueError(reason)


if __name__ == "__main__":
    server.run("stdio")
