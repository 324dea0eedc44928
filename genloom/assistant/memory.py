"""Memory: facts that a person lets a chat know, in a Markdown file that they can read and edit."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from genloom.assistant.prompts.template import clean_value
from genloom.errors import GenloomError
from genloom.settings import read_bounded_text
from genloom.store.files import lock_folder, write_atomic
from genloom.store.names import validate_name

FOLDER = "memories"  # of a workspace
SUFFIX = ".md"
MAX_FILE_BYTES = 256_000
MAX_FACT_CHARS = 500
_BULLET = re.compile(r"^\s*[-*]\s+(?P<fact>.*\S)\s*$")


@dataclass(frozen=True)
class Memory:
    """A file of facts: each is a line that begins with "- "; all other lines are the person's own notes."""

    name: str
    path: Path
    lines: tuple[str, ...] = ()

    @property
    def facts(self) -> list[str]:
        """The facts, oldest first."""
        return [match["fact"] for line in self.lines if (match := _BULLET.match(line))]


def open_memory(root: Path, name: str) -> Memory:
    """Return the memory of this name in a workspace; an empty one if it does not exist yet.

    Raises
    ------
    GenloomError
        store.bad_name_chars and its like; core.unreadable_file: it is too large or not UTF-8.
    """
    name = validate_name(name, "memory")
    path = root / FOLDER / f"{name}{SUFFIX}"
    if not path.exists():
        return Memory(name, path)
    text = str(clean_value(read_bounded_text(path, "this memory", MAX_FILE_BYTES)))
    return Memory(name, path, tuple(text.splitlines()))


def add_fact(memory: Memory, fact: str) -> Memory:
    """Add a fact at the end of the file, and return the memory; one that it has already changes nothing.

    Raises
    ------
    GenloomError
        assistant.empty_fact, assistant.fact_too_long, assistant.memory_full.
    """
    fact = " ".join(str(clean_value(fact)).split())
    if not fact:
        raise GenloomError("assistant.empty_fact")
    if len(fact) > MAX_FACT_CHARS:
        raise GenloomError("assistant.fact_too_long", size=len(fact), limit=MAX_FACT_CHARS)
    with lock_folder(memory.path.parent):
        current = open_memory(memory.path.parent.parent, memory.name)
        if fact.casefold() in (known.casefold() for known in current.facts):
            return current
        return _write(replace(current, lines=(*current.lines, f"- {fact}")))


def remove_facts(memory: Memory, which: str) -> tuple[Memory, list[str]]:
    """Remove the fact of this number, or those that contain this text; return the memory and the removed facts.

    Raises
    ------
    GenloomError
        assistant.no_such_fact.
    """
    with lock_folder(memory.path.parent):
        current = open_memory(memory.path.parent.parent, memory.name)
        facts = current.facts
        if which.isascii() and which.isdecimal() and 1 <= int(which) <= len(facts):
            numbers = {int(which) - 1}
        else:
            sought = which.casefold().strip()
            numbers = {n for n, fact in enumerate(facts) if sought and sought in fact.casefold()}
        if not numbers:
            raise GenloomError("assistant.no_such_fact", which=which, count=len(facts))
        kept, position = [], 0
        for line in current.lines:
            is_fact = _BULLET.match(line) is not None
            if not (is_fact and position in numbers):
                kept.append(line)
            position += is_fact
        return _write(replace(current, lines=tuple(kept))), [facts[n] for n in sorted(numbers)]


def choose_facts(memory: Memory, limit: int, count_tokens: Callable[[str], int]) -> list[str]:
    """Return the newest facts that fit into `limit` tokens together, oldest first."""
    chosen: list[str] = []
    for fact in reversed(memory.facts):
        if count_tokens(describe_facts([fact, *chosen])) > limit:
            break
        chosen.insert(0, fact)
    return chosen


def describe_facts(facts: list[str]) -> str:
    """Return the facts as a system message tells them, in words that a small model heeds, too."""
    lines = ["The user says about themselves:", *(f"- {fact}" for fact in facts), "Use these facts to answer."]
    return "\n".join(lines) if facts else ""


def _write(memory: Memory) -> Memory:
    text = "\n".join(memory.lines) + "\n" if memory.lines else ""
    if len(text.encode()) > MAX_FILE_BYTES:
        raise GenloomError("assistant.memory_full", name=memory.name, limit=MAX_FILE_BYTES)
    write_atomic(memory.path, text, mode=0o600)
    return memory
