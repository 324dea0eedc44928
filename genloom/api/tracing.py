"""Traces: where an output, model, data set, document or file comes from, and what was made from it."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.store.files import expand_home, write_atomic

if TYPE_CHECKING:
    from genloom.api.datasets import Dataset
    from genloom.api.models import Model
    from genloom.api.outputs import Output
    from genloom.api.workspace import Workspace
    from genloom.trust.trace.graph import Trace as Graph

RootKind = Literal["", "output", "model", "data", "document", "file"]


@dataclass(frozen=True)
class Trace:
    """A trace; `print` shows it as a tree, notebooks as a drawing."""

    graph: "Graph"

    @property
    def problems(self) -> list[str]:
        """The parts of the trace that are changed, removed or missing."""
        return self.graph.problems

    @property
    def is_intact(self) -> bool:
        """Whether nothing in the trace is changed since it was written; removed and missing things may be."""
        return self.graph.is_intact

    def to_json(self) -> dict[str, Any]:
        """Return the nodes and edges as JSON values."""
        return self.graph.to_json()

    def render_html(self) -> str:
        """Return the trace as one page that loads nothing from elsewhere."""
        from genloom.trust.trace.page import render_page

        return render_page(self.graph)

    def save(self, path: str | Path) -> Path:
        """Write the page to a path and return it."""
        path = expand_home(path)
        write_atomic(path, self.render_html())
        return path

    def __str__(self) -> str:
        from genloom.trust.trace.outline import render_lines

        return "\n".join(render_lines(self.graph))

    def __repr__(self) -> str:
        return f"<Trace of {self.graph.nodes[self.graph.root].title}: {len(self.graph.nodes)} nodes>"

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.render_html())}" style="width: 100%; height: 40em; border: 0"></iframe>'


def trace(
    workspace: "Workspace",
    thing: "Output | Model | Dataset | str | Path",
    *,
    forward: bool = False,
    kind: RootKind = "",
    quick: bool = False,
) -> Trace:
    """Return where something comes from, or with `forward` what was made from it.

    Backward: an output's prompt, source and model, the models and ratings before it, their runs, data sets and
    documents with licences. What is missing, in the bin or changed since it was written is named as such.

    Parameters
    ----------
    thing
        Output or its id, "last", model, data set (NAME or NAME@DIGEST), id of a document, or a file, which is found
        among outputs, sources of edits and documents by its content.
    forward
        Direction: what was made from it (models, outputs, ratings, and what learned from those).
    kind
        Kind, where a name means several things: output, model, data, document or file. "": the first of these.
    quick
        Sizes instead of digests of models and data sets, which takes less time.

    Raises
    ------
    GenloomError
        trust.nothing_to_trace, trust.file_not_known; store.in_bin: it was removed.
    """
    from genloom.api.datasets import Dataset
    from genloom.api.models import Model
    from genloom.api.outputs import Output
    from genloom.trust.trace.resolve import build_trace

    match thing:
        case Output():
            name, kind = thing.id, "output"
        case Model():
            name, kind = thing.ref, "model"
        case Dataset():
            name, kind = f"{thing.name}@{thing.digest}", "data"
        case Path():
            name, kind = str(thing), "file"
        case "last":
            name = workspace.output("last").id
        case _:
            name = str(thing)
    return Trace(build_trace(workspace.store, workspace.ledger, name, kind=kind, is_forward=forward, is_quick=quick))
