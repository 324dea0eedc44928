"""Tools of a chat: built in, Python functions, and those of MCP servers; each call needs the person's consent."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from genloom.api.knowledge_tool import list_search_tools
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.api.workspace import Workspace
    from genloom.assistant.tools.tool import Tool, ToolCall, ToolResult
    from genloom.assistant.tools.toolbox import CallDecision, Toolbox, ToolObserver

# Functions that return further tools for a workspace, such as the search in its own knowledge.
TOOL_SOURCES: "list[Callable[[Workspace], Sequence[Tool]]]" = [list_search_tools]


def register_tool_source(source: "Callable[[Workspace], Sequence[Tool]]") -> None:
    """Add a function that returns further tools of a workspace, which `open_toolbox` offers too."""
    if source not in TOOL_SOURCES:
        TOOL_SOURCES.append(source)


@contextmanager
def open_toolbox(
    workspace: "Workspace",
    *,
    built_in: bool = True,
    functions: Sequence[Callable[..., Any]] = (),
    servers: Sequence[str] = (),
    allow: Sequence[str] = (),
    confirm: Callable[[Any], bool | str] | None = None,
    observer: "ToolObserver | None" = None,
    call_seconds: float | None = None,
) -> "Generator[Toolbox]":
    """Yield tools for a chat: `with ws.open_toolbox(servers=["python server.py"]) as tools: model.chat(tools=tools)`.

    Parameters
    ----------
    built_in
        Whether the calculator, the conversion of units, dates and the search in the workspace's knowledge are offered.
    functions
        Python functions with type hints.
    servers
        MCP servers: commands, which run while the block does, or addresses.
    allow
        Names of tools whose calls run without a question.
    confirm
        Function that gets each other call, and returns True, False, or "always" for its tool. None: they are refused.
    observer
        An object with `confirm`, `show_call` and `show_result`, in place of `confirm`.
    call_seconds
        Longest time of a call. None: 30 seconds.

    Raises
    ------
    GenloomError
        tools.server_unreachable, tools.bad_server: a server does not answer; tools.unknown_tool: `allow` names no
        tool; tools.package_missing.
    """
    from genloom.assistant.tools.functions import build_function_tool
    from genloom.assistant.tools.mcp_client import CALL_SECONDS, McpServer
    from genloom.assistant.tools.toolbox import SilentObserver, Toolbox

    tools = [build_function_tool(function) for function in functions]
    if built_in:
        from genloom.assistant.tools.built_in import list_built_in_tools

        tools += [*list_built_in_tools(), *(tool for source in TOOL_SOURCES for tool in source(workspace))]
    limits: dict[str, Any] = {} if call_seconds is None else {"call_seconds": call_seconds}
    with ExitStack() as stack:
        for target in servers:
            server = McpServer(target, call_seconds=call_seconds or CALL_SECONDS)
            stack.callback(server.close)
            server.connect()
            tools += rename_twins(server.list_tools(), {tool.name for tool in tools})
        watcher = observer or (SilentObserver() if confirm is None else FunctionObserver(confirm))
        yield Toolbox(tools, set(allow), watcher, **limits)


def rename_twins(tools: "Sequence[Tool]", taken: set[str]) -> "list[Tool]":
    """Return the tools of a server with other names where a name is taken: search, search_2."""
    from dataclasses import replace

    renamed, names = [], set(taken)
    for tool in tools:
        name, number = tool.name, 2
        while name in names:
            name, number = f"{tool.name[:60]}_{number}", number + 1
        names.add(name)
        renamed.append(replace(tool, name=name))
    return renamed


def build_toolbox(tools: Any, confirm: Callable[[Any], bool | str] | None) -> "Toolbox | None":
    """Return the tools of a chat from a toolbox, or a list of functions and tools; None without any.

    What a program gives here runs without a question, unless it has a function that confirms.
    """
    from genloom.assistant.tools.functions import build_function_tool
    from genloom.assistant.tools.tool import Tool
    from genloom.assistant.tools.toolbox import SilentObserver, Toolbox

    if isinstance(tools, Toolbox):
        return tools
    found = [each if isinstance(each, Tool) else build_function_tool(each) for each in tools]
    if not found:
        return None
    if confirm is None:
        return Toolbox(found, {tool.name for tool in found}, SilentObserver())
    return Toolbox(found, set(), FunctionObserver(confirm))


class FunctionObserver:
    """Decides about calls by a function of the program."""

    def __init__(self, decide: Callable[[Any], bool | str]):
        self.decide = decide

    def confirm(self, tool: "Tool", call: "ToolCall") -> "CallDecision":
        from genloom.assistant.tools.toolbox import CallDecision

        answer = self.decide(call)
        if answer == CallDecision.ALWAYS:
            return CallDecision.ALWAYS
        if not isinstance(answer, bool):
            raise GenloomError("tools.unknown_confirmation", value=repr(answer)[:80])
        return CallDecision.YES if answer else CallDecision.NO

    def show_call(self, tool: "Tool", call: "ToolCall") -> None:
        """Show nothing: the program that allowed the tool reads the conversation."""

    def show_result(self, call: "ToolCall", result: "ToolResult") -> None:
        """Show nothing: the result is in the conversation."""
