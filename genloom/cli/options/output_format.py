"""Options of the format that a text keeps to."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genloom.errors import GenloomError
from genloom.settings import read_bounded_text

MAX_FORMAT_BYTES = 1 << 20


@Parameter(name="*")
@dataclass(frozen=True)
class FormatOptions:
    """The one format of a text: a schema, a regular expression, choices or a grammar."""

    schema: Path | None = None
    """JSON schema that a text keeps to: a file."""

    regex: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Regular expression of a whole text."""

    choices: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Texts to choose from: yes,no,"a, b"."""

    grammar: Path | None = None
    """Lark grammar of a text: a file."""

    def read(self) -> dict[str, Any]:
        """Return the keywords of `Model.generate`; raise GenloomError for a file that cannot be read."""
        found: dict[str, Any] = {}
        if self.schema is not None:
            found["schema"] = read_schema(self.schema)
        if self.regex is not None:
            found["regex"] = self.regex
        if self.choices is not None:
            found["choices"] = split_choices(self.choices)
        if self.grammar is not None:
            found["grammar"] = read_bounded_text(self.grammar, "this grammar", MAX_FORMAT_BYTES)
        if empty := [name for name, value in found.items() if name != "schema" and value in ("", [])]:
            raise GenloomError("cli.empty_format", option=empty[0])
        return found


DEFAULT_FORMAT_OPTIONS = FormatOptions()


def read_schema(path: Path) -> Any:
    """Return the schema in a JSON file."""
    if str(path).lstrip().startswith(("{", "[")) and not path.exists():
        raise GenloomError("cli.schema_not_file", given=str(path)[:40])
    text = read_bounded_text(path, "this schema", MAX_FORMAT_BYTES)
    if not text.strip():
        raise GenloomError("cli.schema_empty", path=path)
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenloomError("cli.schema_not_json", path=path, reason=str(error)[:200]) from None
    if not isinstance(schema, dict | bool):
        from genloom.generate.output_format import name_json_type

        raise GenloomError("generate.schema_no_object", kind=name_json_type(schema))
    return schema


def split_choices(text: str) -> list[str]:
    """Return the texts of "yes,no"; one with a comma is quoted."""
    try:
        return [each for row in csv.reader([text], skipinitialspace=True, strict=True) for each in row]
    except csv.Error as error:
        raise GenloomError("cli.bad_choices", value=text, reason=str(error)) from None
