"""Calls in a block of JSON, which some models of the Hermes family write in place of its markers (Qwen2.5-Coder)."""

import re

_OPENING = "```json\n{"
_BLOCK = re.compile(r"```(?:json)?\n(\{[^`]*\})\s*```")


def read_block(text: str) -> str:
    """Return the JSON of an answer that is one block of it; "" for any other answer."""
    match = _BLOCK.fullmatch(text.strip())
    return match[1] if match else ""


def is_block_start(text: str) -> bool:
    """Return whether the beginning of an answer may become a block of JSON."""
    beginning = text.lstrip()
    return beginning.startswith(_OPENING) or (bool(beginning) and _OPENING.startswith(beginning))
