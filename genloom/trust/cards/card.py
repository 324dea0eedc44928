"""A card: facts for hubs and sections for people, as Markdown, HTML or JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark } body { max-width: 860px; margin: 0 auto; padding: 32px 24px;
  font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 26px } h2 { font-size: 18px; margin-top: 30px } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: 5px 16px 5px 0; border-top: 1px solid #8886; vertical-align: top;
  overflow-wrap: break-word; min-width: 5em; max-width: 28em }
th { border: 0; font-weight: 500; opacity: .7 } code { font-size: 14px }
"""


@dataclass(frozen=True)
class Table:
    """Rows of texts below a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading, and what is below it."""

    heading: str
    blocks: tuple[str | Table, ...]


@dataclass(frozen=True)
class Card:
    """The card of a model or data set."""

    title: str
    summary: str
    metadata: Mapping[str, Any]  # the front matter that the Hugging Face hub reads
    sections: tuple[Section, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON values

    def to_json(self) -> dict[str, Any]:
        """Return the metadata and facts as JSON values."""
        return {"title": self.title, "summary": self.summary, "metadata": dict(self.metadata), **self.facts}

    def render_markdown(self) -> str:
        """Return the card in Markdown, with the metadata as YAML before it."""
        lines = [
            "---",
            *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in self.metadata.items()),
            "---",
        ]
        parts = ["\n".join(lines), f"# {_escape_markdown(self.title)}", _escape_markdown(self.summary)]
        for section in self.sections:
            parts.append(f"## {section.heading}")
            parts += [_render_markdown_block(block) for block in section.blocks]
        return "\n\n".join(parts) + "\n"

    def render_html(self) -> str:
        """Return the card as one page without scripts and without anything from elsewhere."""
        head = f'<meta charset="utf-8"><title>{escape(self.title)}</title><style>{_STYLE}</style>'
        body = [f"<h1>{escape(self.title)}</h1><p>{escape(self.summary)}</p>"]
        for section in self.sections:
            body.append(f"<h2>{escape(section.heading)}</h2>")
            body += [_render_html_block(block) for block in section.blocks]
        return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _render_markdown_block(block: str | Table) -> str:
    if isinstance(block, str):
        return _escape_markdown(block)
    rows = [block.header, ("---",) * len(block.header), *block.rows]
    cells = [[_escape_markdown(cell) if cell != "---" else cell for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _render_html_block(block: str | Table) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    header = "".join(f"<th>{escape(cell)}</th>" for cell in block.header)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
    return f"<table><tr>{header}</tr>{rows}</table>"


def _escape_markdown(text: str) -> str:
    """Return text from outside so that it is no markup: no tags, links, images or cells of tables."""
    escaped = "".join(f"\\{c}" if c in r"\`*[]|<>#" else c for c in text)
    return " ".join(escaped.split())
