"""Thin shims for clients of other APIs: Anthropic's messages, Ollama's five addresses, and MCP."""

from fastapi import APIRouter

from genloom.server.others import anthropic, mcp
from genloom.server.others.mcp import run_mcp as run_mcp


def build_router() -> APIRouter:
    """Return the routes of Anthropic's messages and of MCP; Ollama's have a port of their own."""
    router = APIRouter()
    router.include_router(anthropic.router)
    router.routes.append(mcp.build_route())
    return router
