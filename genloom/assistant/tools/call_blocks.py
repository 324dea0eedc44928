"""Calls in a block of JSON, which some models of the Hermes family write in place of its markers (Qwen2.5-Coder)."""

import re

_OPENING = "```json\n{"
_BLOCK = re.compile(r"```(?:json)?\n(\{[^`]*\})\s*```")


def read_block(text: str) -> str:
    """Return the JSON of an answer that is one block of it; "" for any other answer."""
    match = _BLOCK.fullmatch(text.strip())
    return match[1] if match else ""


def may_be_block(text: str) -> bool:
    """Return whether the beginning of an answer may become a block of JSON."""
    begun = text.lstrip()
    return begun.startswith(_OPENING) or (bool(begun) and _OPENING.startswith(begun))
