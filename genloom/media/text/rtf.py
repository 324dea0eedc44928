"""Extraction of the text of Rich Text files."""

import re
from dataclasses import dataclass, field, replace

from genloom.errors import GenloomError
from genloom.media.text.bounded import ExtractedText

_TOKEN = re.compile(r"\\([A-Za-z]{1,32})(-?\d{1,10})? ?|\\'[0-9A-Fa-f]{2}|\\[^A-Za-z]|[{}]|[^\\{}]+", re.DOTALL)
_HIDING = frozenset(("v", "deleted"))  # hidden text, and text whose deletion is tracked
_CHARACTERS = frozenset(
    [
        "u",
        "line",
        "tab",
        "emdash",
        "endash",
        "emspace",
        "enspace",
        "qmspace",
        "bullet",
        "lquote",
        "rquote",
        "ldblquote",
        "rdblquote",
    ]
)  # by their names


@dataclass(frozen=True)
class _Group:
    """The state of a group: the words that hide its text, whether it holds no text, and where it is written."""

    target: list[str]
    hiding: frozenset[str] = frozenset()
    is_destination: bool = False


@dataclass
class _ShownMarkup:
    """The markup that is shown, that of the footnotes, and the number of hidden passages."""

    body: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_hidden: int = 0

    def join(self) -> str:
        """Return the markup with the footnotes, which stand within the text, at its end."""
        body = "".join(self.body)
        end = body.rfind("}") if body.rstrip().endswith("}") else len(body)
        return body[:end] + "".join(self.notes) + body[end:]


def extract_rtf(markup: str) -> ExtractedText:
    """Extract the text of a Rich Text file without hidden and deleted text; one that was cut off as far as it goes."""
    from striprtf.striprtf import destinations, rtf_to_text

    if not markup.lstrip().startswith("{\\rtf"):
        raise GenloomError("media.not_rtf")
    bare = re.sub(r"\\[\\{}]", "", markup)
    problems = (GenloomError("media.cut_off"),) if bare.count("{") > bare.count("}") else ()
    shown = _remove_hidden(markup, frozenset(destinations))
    if shown.num_hidden:
        problems += (GenloomError("media.hidden_text", count=shown.num_hidden),)
    text = _join_surrogates(rtf_to_text(shown.join(), errors="replace"))
    return ExtractedText(re.sub(r"\n{3,}", "\n\n", text).strip(), problems=problems)


def _remove_hidden(markup: str, destinations: frozenset[str]) -> _ShownMarkup:
    shown = _ShownMarkup()
    group, outer = _Group(shown.body), list[_Group]()
    position, was_hidden = 0, False
    while token := _TOKEN.match(markup, position):
        content, word, number = token[0], token[1], token[2]
        position = token.end()
        if word == "bin":  # of a picture: bytes that are no markup
            position += max(0, int(number or 0))
            continue
        if content == "{":
            outer.append(group)
        elif content == "}":
            inner, group = group, outer.pop() if outer else group
            if inner.target is not group.target:
                inner.target.append(content)
        elif word == "footnote" and not group.is_destination:
            group = replace(group, target=shown.notes)
            content = "\\par {"
        elif word:
            group = _change_group(group, word, number, destinations)
        elif content == "\\*":
            group = replace(group, is_destination=True)
        if group.hiding and not group.is_destination and _is_text(content, word):
            is_blank = not word and not content.strip()
            shown.num_hidden += not was_hidden and not is_blank
            was_hidden = was_hidden or not is_blank
            continue
        was_hidden = was_hidden and (content in ("{", "}") or bool(word))
        group.target.append(content)
    group.target.append(markup[position:])
    return shown


def _change_group(group: _Group, word: str, number: str | None, destinations: frozenset[str]) -> _Group:
    """Return the state of a group after a control word."""
    if word in destinations or word in ("fonttbl", "colortbl"):
        return replace(group, is_destination=True)
    if word in _HIDING:
        return replace(group, hiding=group.hiding - {word} if number == "0" else group.hiding | {word})
    return replace(group, hiding=group.hiding - {"v"}) if word == "plain" else group


def _is_text(content: str, word: str | None) -> bool:
    """Return whether a token is text or a character, not a brace, a break or a property."""
    return word in _CHARACTERS if word else content not in ("{", "}", "\\*")


def _join_surrogates(text: str) -> str:
    """Return text whose characters outside the first plane, which the format writes in two halves, are whole."""
    if not re.search("[\ud800-\udfff]", text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
