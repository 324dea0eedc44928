"""Rows of the index of outputs, from their records."""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.server.access import LOCAL_USER_ID
from genloom.store import manifest
from genloom.store.names import ID_ALPHABET, is_timed_id

_MAX_WORDS_CHARS = 20_000  # of a text that can be searched
# What genloom.assistant.knowledge.prompting writes before a question.
_PASSAGES = re.compile(r"\A<passages-(\w+)>\n.*?\n</passages-\1>\n\nQuestion: ", re.DOTALL)
_TO_BASE_32 = str.maketrans(ID_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # that `int` reads


def to_number(id: str) -> int:
    """Return a number in the order of ids: the day, and the six digits of the time."""
    return date.fromisoformat(id[:10]).toordinal() << 30 | int(id[11:].translate(_TO_BASE_32), 32)


def is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def is_day(name: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", name, re.ASCII) is not None


def read_output_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a file; None for one that is damaged, which `genloom doctor` reports."""
    try:
        record = manifest.read_json(path)
    except (OSError, GenloomError):
        return None
    is_readable = isinstance(record.get("id"), str) and isinstance(record.get("file"), str)
    return record if is_readable and is_timed_id(record["id"]) and is_date(record["id"][:10]) else None


def count_file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def get_question(record: Mapping[str, Any]) -> str:
    """Return the prompt of an output as the person wrote it, without the passages that stood before it."""
    prompt = str(record.get("prompt") or "")
    return _PASSAGES.sub("", prompt) if record.get("knowledge") else prompt


def insert_row(connection: Any, record: Mapping[str, Any], day: str, size: int) -> None:
    model, request = str(record.get("model") or ""), record.get("request") or {}
    nonces, row = list(request.get("nonces") or ()), record.get("row") or 0
    seed = nonces[row] if isinstance(row, int) and row < len(nonces) else None
    written, prompt = str(record.get("written") or ""), get_question(record)
    given = record.get("given") or {}
    cursor = connection.execute(
        "INSERT OR IGNORE INTO outputs (number, id, day, created, model, name, medium, prompt, seed, owner, job, arena,"
        " task, learn, given, is_text, file, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            to_number(record["id"]),
            record["id"],
            day,
            str(record.get("created") or ""),
            model,
            model.partition("/")[0],
            str(record.get("medium") or ""),
            prompt,
            seed if isinstance(seed, int) and seed < 2**63 else None,
            str(record.get("owner") or LOCAL_USER_ID),
            str(record.get("job") or ""),
            str(record.get("arena") or ""),
            str(record.get("arena_task") or prompt),
            str(record.get("learn") or ""),
            json.dumps(given),
            record.get("written") is not None,
            record["file"],
            size,
        ),
    )
    if cursor.rowcount:
        texts = (prompt, written[:_MAX_WORDS_CHARS], " ".join(map(str, given.values())))
        clean = tuple(text.encode("utf-8", "replace").decode() for text in texts)
        connection.execute(
            "INSERT INTO words (rowid, prompt, written, given) VALUES (?, ?, ?, ?)", (cursor.lastrowid, *clean)
        )


def delete_row(connection: Any, id: str) -> None:
    row = connection.execute("DELETE FROM outputs WHERE id = ? RETURNING number", (id,)).fetchone()
    if row is not None:
        connection.execute("DELETE FROM words WHERE rowid = ?", (row["number"],))
