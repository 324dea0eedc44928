"""The program in an answer of a model: strictly what stands in a code block, or an answer that is a program itself."""

import re
from dataclasses import dataclass

from genloom.assistant.code.python_source import list_definitions, parse_or_none

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$", re.MULTILINE)
_LANGUAGES = ("", "python", "py", "python3")
# A model that continues a program goes on with others: where the function ends, its program does.
STOP = ("\ndef ", "\nclass ", "\nif ", "\nprint", "\n#", "\n@", "\nassert ", "\nimport ", "\nfrom ", "\n>>>", "\n```")


@dataclass(frozen=True)
class Extracted:
    """The program of an answer; "" if it has none, with the reason."""

    program: str
    reason: str = ""


def extract_program(answer: str, name: str = "") -> Extracted:
    """Return the program of an answer in a chat.

    Of several blocks it is the first that defines the function, without one the first of all. Without blocks, an
    answer that is a program itself is one. A block that was cut off at its end is read up to there.
    """
    answer = answer.replace("\r\n", "\n")
    blocks = [block for language, block in iter_blocks(answer) if language.lower() in _LANGUAGES]
    if blocks:
        chosen = next((block for block in blocks if name and name in list_definitions(block)), blocks[0])
        return Extracted(chosen)
    if iter_blocks(answer):
        return Extracted("", "its code block is of another language")
    if list_definitions(answer):
        return Extracted(answer.strip("\n") + "\n")
    return Extracted("", "it has no code block")


def iter_blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the content of each code block; the last may lack its end."""
    blocks: list[tuple[str, str]] = []
    fence, language, start = "", "", 0
    for match in _FENCE.finditer(text):
        if not fence:
            fence, language, start = match[1], match[2], match.end() + 1
        elif match[1][0] == fence[0] and len(match[1]) >= len(fence) and not match[2]:
            blocks.append((language, remove_margin(text[start : match.start()])))
            fence = ""
    if fence and (content := text[start:]).strip():
        blocks.append((language, remove_margin(content)))
    return blocks


def remove_margin(block: str) -> str:
    """Return a block without the blanks that all its lines begin with, as those in lists have."""
    import textwrap

    return textwrap.dedent(block)


def complete_program(prompt: str, continuation: str) -> Extracted:
    """Return the program that a model wrote on after a prompt: the longest part up to a line end that parses.

    A text of which nothing parses is returned whole, so that the verdict says why.
    """
    lines = continuation.replace("\r\n", "\n").split("\n")
    for count in range(len(lines), 0, -1):
        program = prompt + "\n".join(lines[:count]).rstrip() + "\n"
        if parse_or_none(program) is not None:
            return Extracted(program)
    return Extracted(prompt + continuation)
