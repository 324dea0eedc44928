"""Options of the tools of a chat, and the questions before their calls."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclopts import Parameter

from genloom.api.tools import open_toolbox
from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.cli.prompt_input import PromptInput
from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.assistant.tools.tool import Tool, ToolCall, ToolResult
    from genloom.assistant.tools.toolbox import CallDecision, Toolbox

_MAX_SHOWN_CHARS = 500  # of a result on the terminal


@Parameter(name="*")
@dataclass(frozen=True)
class ToolOptions:
    """The tools that a model may ask for."""

    tools: bool = False
    """Calculator, units, dates and own knowledge as tools; each call is confirmed."""

    mcp: list[str] | None = None
    """MCP server with further tools: a command, or an address. Repeatable."""

    allow_tool: list[str] | None = None
    """Tool whose calls run without a question. Repeatable."""

    @contextmanager
    def open(self, workspace: Workspace, console: Console, prompt_input: PromptInput) -> "Generator[Toolbox | None]":
        """Yield the tools, which are shown; None without any."""
        if not (self.tools or self.mcp):
            if self.allow_tool:
                raise GenloomError("tools.empty_allowance")
            yield None
            return
        observer = ConsoleObserver(console, prompt_input)
        with open_toolbox(
            workspace,
            built_in=self.tools,
            servers=self.mcp or (),
            allow=self.allow_tool or (),
            observer=observer,
        ) as toolbox:
            origins = dict.fromkeys(tool.origin for tool in toolbox.tools)
            for origin in origins:
                names = ", ".join(tool.name for tool in toolbox.tools if tool.origin == origin)
                console.print_note(f"Tools ({origin}): {names}")
            yield toolbox


DEFAULT_TOOL_OPTIONS = ToolOptions()


class ConsoleObserver:
    """Shows each call with its arguments, and asks the person before it runs; without a terminal it is refused."""

    def __init__(self, console: Console, prompt_input: PromptInput):
        self.console, self.prompt_input = console, prompt_input

    def confirm(self, tool: "Tool", call: "ToolCall") -> "CallDecision":
        from genloom.assistant.tools.toolbox import CallDecision

        self.console.print_note(f"⚙ {call}  [{tool.origin}]")
        if not self.prompt_input.is_terminal:
            self.console.print_note(f"  refused: nobody is asked here. To allow it: --allow-tool {tool.name}")
            return CallDecision.NO
        while True:
            try:
                answer = (
                    self.prompt_input.read("  Run it? y yes, n no, a always in this conversation › ").strip().lower()
                )
            except EOFError:
                return CallDecision.NO
            for decision in CallDecision:
                if answer and decision.value.startswith(answer):
                    return decision

    def show_call(self, tool: "Tool", call: "ToolCall") -> None:
        self.console.print_note(f"⚙ {call}  [{tool.origin}, allowed]")

    def show_result(self, call: "ToolCall", result: "ToolResult") -> None:
        text = " ".join(result.text.split())
        shown = text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + " …"
        self.console.print_note(f"  {'✗' if result.is_error else '='} {shown}")
