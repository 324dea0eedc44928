"""The template language of prompts: variables and optional parts, and nothing that runs.

    Write to {to}[[ about {about}]].        a variable, and a part that vanishes if one of its variables is empty
    {points|bullets}                        a list: comma, and, lines, bullets or numbered
    \\{to}  \\[[  \\\\                          the characters themselves

A brace that does not enclose a name is a brace, so JSON can stand in a template. An optional part that has a line, or
a paragraph, to itself vanishes with it. The text of a variable is inserted and never read again: it cannot contain a
variable, nor open or close a part.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from genloom.errors import GenloomError, format_suggestion
from genloom.text_format import fix_surrogates

MAX_CHARS = 50_000  # of a template
MAX_DEPTH = 8  # of parts in parts
FORMATS = ("comma", "and", "lines", "bullets", "numbered")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"\\(?P<escaped>[\\{}\[\]])|\{(?P<name>[A-Za-z_]\w*)(?:\|(?P<format>\w*))?\}|(?P<bracket>\[\[|\]\])", re.A
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

Value = str | Sequence[str]


@dataclass(frozen=True)
class Slot:
    """The place of a variable, and the format of a list in it."""

    name: str
    format: str


@dataclass(frozen=True)
class Part:
    """An optional part."""

    nodes: "tuple[Node, ...]"

    @property
    def slots(self) -> list[Slot]:
        """The places of the variables directly in it."""
        return [node for node in self.nodes if isinstance(node, Slot)]


Node = str | Slot | Part


class _Segment(NamedTuple):
    """A piece of a filled template."""

    kind: Literal["literal", "value", "gone"]  # of the template, of a variable, or in the place of a part that vanished
    text: str = ""


@dataclass(frozen=True)
class Template:
    """A parsed template."""

    source: str
    nodes: tuple[Node, ...]

    @property
    def variables(self) -> list[str]:
        """The names of its variables, each once, in the order of their first place."""
        return list(dict.fromkeys(slot.name for slot in _iter_slots(self.nodes)))

    def render(self, values: Mapping[str, Value]) -> str:
        """Return the text with the values of all variables; one that is not given is empty."""
        cleaned = {name: clean_value(value) for name, value in values.items()}
        return _join_segments(_render_nodes(self.nodes, cleaned))


def parse_template(source: str, location: str = "template") -> Template:
    """Parse a template; errors call it `location`, e.g. "email.prompt".

    Raises
    ------
    GenloomError
        assistant.template_too_long, assistant.template_too_deep; assistant.part_not_closed,
        assistant.part_not_opened, assistant.part_without_variable; assistant.unknown_format.
    """
    if len(source) > MAX_CHARS:
        raise GenloomError("assistant.template_too_long", location=location, size=len(source), limit=MAX_CHARS)
    stack: list[list[Node]] = [[]]
    opened: list[int] = []  # the positions of the brackets of the open parts
    position = 0
    for match in _TOKEN.finditer(source):
        _add_text(stack[-1], source[position : match.start()])
        position = match.end()
        if match["escaped"]:
            _add_text(stack[-1], match["escaped"])
        elif match["name"]:
            stack[-1].append(Slot(match["name"], _check_format(match, source, location)))
        elif match["bracket"] == "[[":
            if len(opened) == MAX_DEPTH:
                raise GenloomError("assistant.template_too_deep", location=location, limit=MAX_DEPTH)
            opened.append(match.start())
            stack.append([])
        else:
            _close_part(stack, opened, source, match.start(), location)
    if opened:
        raise GenloomError("assistant.part_not_closed", location=location, line=find_line(source, opened[-1]))
    _add_text(stack[0], source[position:])
    return Template(source, tuple(stack[0]))


def escape_text(text: str) -> str:
    """Return a template that renders as this text."""
    text = re.sub(r"\\(?=[\\{}\[\]])|\\$", r"\\\\", text)
    return re.sub(r"(\{(?=[A-Za-z_])|\[|\])", r"\\\1", text)


def check_variables(template: Template, known: Sequence[str], location: str) -> None:
    """Raise GenloomError (assistant.unknown_variable) for a variable of the template that is not among the known."""
    for name in template.variables:
        if name not in known:
            raise GenloomError(
                "assistant.unknown_variable",
                location=location,
                name=name,
                hint=format_suggestion(name, known),
                known=", ".join(known) or "—",
            )


def clean_value(value: Value) -> Value:
    """Return the text of a variable without control characters; line breaks are those of Unix, tabs stay."""
    if not isinstance(value, str):
        return [str(clean_value(item)) for item in value]
    return _CONTROLS.sub("", fix_surrogates(value).replace("\r\n", "\n").replace("\r", "\n"))


def is_empty(value: Value) -> bool:
    """Return whether a variable has no text."""
    return not value.strip() if isinstance(value, str) else all(not item.strip() for item in value)


def find_line(source: str, position: int) -> int:
    """Return the number of the line of a position, counted from 1."""
    return source.count("\n", 0, position) + 1


def find_control_character(text: str) -> tuple[int, str] | None:
    """Return the line and the code of the first character that no text has, except line breaks and tabs; else None."""
    match = _CONTROLS.search(text.replace("\r\n", "\n"))
    return (find_line(text, match.start()), f"U+{ord(match[0]):04X}") if match else None


def _add_text(nodes: list[Node], text: str) -> None:
    if text:
        if nodes and isinstance(nodes[-1], str):
            nodes[-1] += text
        else:
            nodes.append(text)


def _check_format(match: re.Match[str], source: str, location: str) -> str:
    if match["format"] is None:
        return FORMATS[0]
    if match["format"] not in FORMATS:
        raise GenloomError(
            "assistant.unknown_format",
            location=location,
            line=find_line(source, match.start()),
            format=match["format"],
            known=", ".join(FORMATS),
        )
    return match["format"]


def _close_part(stack: list[list[Node]], opened: list[int], source: str, position: int, location: str) -> None:
    if not opened:
        raise GenloomError("assistant.part_not_opened", location=location, line=find_line(source, position))
    start, nodes = opened.pop(), stack.pop()
    part = Part(tuple(nodes))
    if not part.slots:
        raise GenloomError("assistant.part_without_variable", location=location, line=find_line(source, start))
    stack[-1].append(part)


def _iter_slots(nodes: Sequence[Node]) -> Iterator[Slot]:
    for node in nodes:
        if isinstance(node, Slot):
            yield node
        elif isinstance(node, Part):
            yield from _iter_slots(node.nodes)


def _render_nodes(nodes: Sequence[Node], values: Mapping[str, Value]) -> "Iterator[_Segment]":
    for node in nodes:
        match node:
            case str():
                yield _Segment("literal", node)
            case Slot():
                yield _Segment("value", format_value(values.get(node.name, ""), node.format))
            case Part():
                if any(is_empty(values.get(slot.name, "")) for slot in node.slots):
                    yield _Segment("gone")
                else:
                    yield from _render_nodes(node.nodes, values)


def _join_segments(segments: Iterable[_Segment]) -> str:
    """Return the text without the lines of which nothing is left, nor a second blank line between two others."""
    lines: list[list[_Segment]] = [[]]
    for segment in segments:
        first, *others = segment.text.split("\n") if segment.kind == "literal" else [segment.text]
        lines[-1].append(_Segment(segment.kind, first))
        lines += [[_Segment("literal", text)] for text in others]
    kept: list[str] = []
    is_after_gone = False
    for line in lines:
        is_blank = all(segment.kind != "value" and not segment.text.strip() for segment in line)
        if is_blank and any(segment.kind == "gone" for segment in line):
            is_after_gone = True
        elif is_blank and is_after_gone and (not kept or not kept[-1].strip()):
            continue
        else:
            kept.append("".join(segment.text for segment in line))
            is_after_gone = is_after_gone and is_blank
    while is_after_gone and kept and not kept[-1].strip():
        kept.pop()
    return "\n".join(kept)


def format_value(value: Value, format: str) -> str:
    """Return the text of a variable: a list in this format, without its empty items."""
    if isinstance(value, str):
        return value
    items = [item for item in value if item.strip()]
    match format:
        case "bullets":
            return "\n".join(f"- {item}" for item in items)
        case "numbered":
            return "\n".join(f"{n}. {item}" for n, item in enumerate(items, start=1))
        case "lines":
            return "\n".join(items)
        case "and" if len(items) > 1:
            return f"{', '.join(items[:-1])} and {items[-1]}"
    return ", ".join(items)
