"""The search in a workspace's knowledge as a tool that a model may ask for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genloom.api.knowledge import list_names, open_knowledge

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.assistant.knowledge.retrieval import Source
    from genloom.assistant.tools.tool import Tool

_NUM_SOURCES = 3  # passages that the tool returns


def list_search_tools(workspace: "Workspace") -> "list[Tool]":
    """Return a tool that searches all knowledge of a workspace; none if it has none. Its results are not trusted."""
    from genloom.assistant.tools.tool import Tool

    names = list_names(workspace)
    if not names:
        return []
    described = f"Search the person's own documents ({', '.join(names[:8])}) and return the best passages."
    parameters = {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "what to look for, in a few words"}},
        "required": ["query"],
        "additionalProperties": False,
    }

    def search_knowledge(arguments: "Mapping[str, Any]") -> str:
        return _search_all(workspace, str(arguments["query"]))

    return [Tool("search_knowledge", described, parameters, search_knowledge, "knowledge")]


def _search_all(workspace: "Workspace", query: str) -> str:
    """Return the best passages of all knowledge as text; those that read like instructions are left out."""
    found: list[Source] = []
    for name in list_names(workspace):
        with open_knowledge(workspace, name, update=False, progress=False) as known:
            found += known.retrieve(query).safe_sources
    best = sorted(found, key=lambda source: -source.hit.similarity - source.hit.coverage)[:_NUM_SOURCES]
    return "\n\n".join(f"{source.title}\n{source.text}" for source in best) or "Nothing was found."
