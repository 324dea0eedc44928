"""The views of notebooks: lists as tables, and values by their MIME type."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from genloom.text_format import remove_controls

if TYPE_CHECKING:
    from genloom.types import Display

_STYLE = "white-space: pre-wrap; margin: .4em 0"


class TableRow(Protocol):
    """A row of a list."""

    def to_record(self) -> dict[str, Any]: ...


T = TypeVar("T", bound=TableRow)


class Listing(list[T], Generic[T]):
    """A list that notebooks show as a table."""

    def to_records(self) -> list[dict[str, Any]]:
        return [element.to_record() for element in self]

    def _repr_html_(self) -> str:
        return render_table(self.to_records())


def build_mimebundle(shown: "Display", description: str) -> dict[str, Any]:
    """Return what Jupyter shows: a text as text, an image as image, other values as HTML."""
    if shown.mime == "text/plain":
        # Consoles of Jupyter print it: a text must not move the cursor there.
        return {"text/plain": remove_controls(shown.text), "text/html": to_html(shown)}
    if shown.mime in ("image/png", "image/jpeg"):
        return {"text/plain": description, shown.mime: base64.b64encode(shown.data).decode()}
    return {"text/plain": description, "text/html": to_html(shown)}


def to_html(shown: "Display") -> str:
    """Return HTML that shows a value by its MIME type; other files become a link."""
    kind = shown.mime.partition("/")[0]
    if kind == "text" and shown.mime != "text/html":
        return f'<pre style="{_STYLE}">{escape(shown.data.decode("utf-8", "replace"))}</pre>'
    source = f"data:{shown.mime};base64,{base64.b64encode(shown.data).decode()}"
    match kind:
        case "image":
            return f'<img src="{source}" style="min-width: 96px; image-rendering: pixelated" alt="">'
        case "audio":
            return f'<audio controls src="{source}"></audio>'
        case "video":
            return f'<video controls src="{source}" style="max-width: 100%"></video>'
    return f'<pre style="{_STYLE}">{escape(shown.text)}</pre><a download href="{source}">{escape(shown.mime)}</a>'


def render_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of equal keys as an HTML table."""
    if not rows:
        return "<p>none</p>"
    header = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_to_cell(value)}</td>' for value in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _to_cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
    return escape(text if len(text) <= 80 else text[:79] + "…")
