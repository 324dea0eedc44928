"""The items of a long result for scripts, kept in a file until all are known, so that memory does not grow."""

import json
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any

from genloom.cli.console import Console
from genloom.text_format import escape_json_controls

_MAX_MEMORY_BYTES = 1 << 20


@dataclass
class ItemList:
    """The items of one JSON object, which is printed as a whole or, after an error, not at all."""

    file: "SpooledTemporaryFile[str]"
    is_json: bool
    count: int = 0

    def add(self, item: Mapping[str, Any]) -> None:
        """Keep an item, if there is a result for scripts."""
        if self.is_json:
            text = escape_json_controls(json.dumps(item, ensure_ascii=False, default=str))
            self.file.write(f"{',' if self.count else ''}\n  {text}")
            self.count += 1

    def print(self, name: str, rest: Mapping[str, Any]) -> None:
        """Print an object with the items in the list `name`, one a line, and the rest."""
        if not self.is_json:
            return
        sys.stdout.write(f"{{\n {json.dumps(name)}: [")
        self.file.seek(0)
        shutil.copyfileobj(self.file, sys.stdout)
        sys.stdout.write("\n ]")
        for key, value in rest.items():
            sys.stdout.write(f",\n {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
        sys.stdout.write("\n}\n")
        sys.stdout.flush()


@contextmanager
def open_item_list(console: Console) -> Generator[ItemList]:
    """Open an empty list; names of files that are no text are kept as they are."""
    with SpooledTemporaryFile(_MAX_MEMORY_BYTES, "w+", encoding="utf-8", errors="surrogatepass") as file:
        yield ItemList(file, console.is_json)
