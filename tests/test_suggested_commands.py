"""Commands that texts suggest can be typed as they stand: names with blanks are quoted, in messages and in hints."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from genloom.errors import format_message
from genloom.program import quote_fields, quote_name

ROOT = Path(__file__).parents[1]
VERBS = "|".join(path.stem.strip("_") for path in (ROOT / "genloom" / "cli" / "commands").glob("[a-z]*.py"))
COMMAND = re.compile(rf"\bgenloom (?:{VERBS})\b ?[^.;,()]*$")
UNQUOTED = re.compile(r"\bid\b|\.id\b|version|next_command|names|restored|item|number|quote_name|NAME")


@pytest.mark.parametrize("name", ["mail", "mail 2", "Grüße", "it's", "a$b", 'say "hi"', "notes/2", "dir/a b.csv"])
def test_a_name_is_one_word_of_a_shell(name: str) -> None:
    assert shlex.split(quote_name(name)) == [name]


def test_a_plain_name_stays_plain() -> None:
    assert quote_name("Grüße-2.csv") == "Grüße-2.csv"


@pytest.mark.parametrize(
    ("code", "fields", "command"),
    [
        (
            "assistant.examples_missing",
            {"name": "my mails"},
            ["genloom", "prompts", "improve", "my mails", "--examples", "FILE.jsonl"],
        ),
        ("knowledge.no_knowledge", {"model": "my model"}, ["genloom", "chat", "my model", "--knowledge", "FOLDER"]),
        ("store.promote_another", {"name": "a b"}, ["genloom", "promote", "a b", "--to", "N"]),
    ],
)
def test_commands_in_messages_quote_names(code: str, fields: dict[str, str], command: list[str]) -> None:
    words = shlex.split(format_message(code, **fields).rpartition(": ")[2])
    assert words[-len(command) + 1 :] == command[1:]


def test_names_outside_of_commands_are_not_quoted() -> None:
    assert (
        quote_fields("{name} is gone. Use: genloom list {kind}") == "{name} is gone. Use: genloom list {quoted[kind]}"
    )
    assert quote_fields("The model {name} is gone.") == "The model {name} is gone."


def iter_values_in_commands() -> Iterator[tuple[str, str]]:
    """Yield the place and the source of each value that an f-string inserts into a command."""
    for path in sorted((ROOT / "genloom").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "genloom " in text else ():
            if not isinstance(node, ast.JoinedStr):
                continue
            before = ""
            for part in node.values:
                if isinstance(part, ast.Constant):
                    before += str(part.value)
                elif isinstance(part, ast.FormattedValue):
                    if COMMAND.search(before):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(part.value)
                    before += "…"


def test_commands_in_hints_quote_names() -> None:
    values = list(iter_values_in_commands())
    assert len(values) > 8, "the search finds commands"
    assert not [f"{place}: {value}" for place, value in values if not UNQUOTED.search(value)]
