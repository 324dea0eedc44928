"""The files of outputs: `<day>/<id>.<ext>` with its record `<id>.json`, and the originals of edited outputs.

`folder` is always the folder `outputs` of a workspace.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError, format_message
from genloom.store import files, manifest, records
from genloom.store.clock import get_now
from genloom.store.names import is_timed_id, make_timed_id

NEWEST_FILE = "newest.json"  # the id and number of the newest output
_RESERVED_SUFFIX = ".reserved"  # of a file that holds the id of an output, with the process that generates it


def reserve_id(folder: Path) -> str:
    """Return an id for an output that is still being generated."""
    with files.lock_folder(folder):
        moment = get_now()
        day_folder = folder / f"{moment:%Y-%m-%d}"
        day_folder.mkdir(exist_ok=True)
        output = _find_free_id(day_folder, moment)
        (day_folder / f"{output}{_RESERVED_SUFFIX}").write_text(str(os.getpid()))
    return output


def release_id(folder: Path, output: str) -> None:
    """Give up a reserved id."""
    get_record_path(folder, output).with_suffix(_RESERVED_SUFFIX).unlink(missing_ok=True)


def release_dead_ids(folder: Path) -> None:
    """Give up the ids that processes had reserved which have died since."""
    for path in list_reservations(folder):
        with suppress(OSError, ValueError):  # another process does the same
            if not files.is_process_alive(int(path.read_text())):
                path.unlink()


def list_reservations(folder: Path) -> list[Path]:
    """List the files of reserved ids."""
    return sorted(folder.glob(f"*/*{_RESERVED_SUFFIX}"))


def write_output(
    folder: Path, content: str | bytes | Path, suffix: str, record: Mapping[str, Any], reserved: str = ""
) -> str:
    """Write an output and, last, its record; return its id: that which was reserved, or a new one.

    A file on the same disk, for content that is too long for the memory, is moved.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    extension = suffix.lstrip(".")
    assert extension.isalnum(), suffix
    assert not reserved or is_timed_id(reserved), reserved
    moment = get_now()
    day_folder = folder / (reserved[:10] or f"{moment:%Y-%m-%d}")
    with files.lock_folder(folder):
        output = reserved or _find_free_id(day_folder, moment)
        # The record is <id>.json, so that the value of a medium of JSON files has another name.
        path = day_folder / (f"{output}.value.json" if extension == "json" else f"{output}.{extension}")
        if isinstance(data, Path):
            files.move_file(data, path)
        else:
            files.write_atomic(path, data)
        identity = {
            "id": output,
            "file": path.name,
            "created": moment.isoformat(timespec="microseconds"),
            "sha256": files.hash_file(path),
            "sequence": _count_output(folder, output),
        }
        full_record: dict[str, Any] = json.loads(json.dumps({**record, **identity}))  # as it will be read
        full_record["digest"] = records.hash_output_record(full_record)
        manifest.write_json(day_folder / f"{output}.json", full_record)
        if reserved:
            release_id(folder, output)
    return output


def _count_output(folder: Path, output: str) -> int:
    """Return the number of a new output, one more than that of the newest, and make it the newest."""
    sequence = find_newest(folder)[1] + 1
    manifest.write_record(folder / NEWEST_FILE, {"id": output, "sequence": sequence})
    return sequence


def _find_free_id(day_folder: Path, moment: datetime) -> str:
    """Return an id of this moment that no output in the folder of the day has, and that is not reserved."""
    offset = 0
    # Looking for every suffix would read the whole folder, which may have a hundred thousand files.
    while any(
        (day_folder / f"{make_timed_id(moment, offset)}{suffix}").exists() for suffix in (".json", _RESERVED_SUFFIX)
    ):
        offset += 1
    return make_timed_id(moment, offset)


def find_newest(folder: Path) -> tuple[str, int]:
    """Return the id and number of the output that was generated last, whatever the clock says; "" and 0 if none."""
    try:
        newest = manifest.read_json(folder / NEWEST_FILE)
        if has_record(folder, str(newest["id"])):
            return newest["id"], int(newest["sequence"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # of an earlier version, removed or damaged
    ranked = [(record.get("sequence", 0), record["id"]) for _, record in list_records(folder)]
    return max(ranked, default=(0, ""))[::-1]


def get_record_path(folder: Path, output: str) -> Path:
    return Path(f"{folder}/{output[:10]}/{output}.json")


def has_record(folder: Path, output: str) -> bool:
    """Return whether there is an output with this id."""
    return is_timed_id(output) and get_record_path(folder, output).is_file()


def list_ids(folder: Path) -> list[str]:
    """List the ids of all outputs, oldest first."""
    return sorted(p.stem for p in folder.glob("*/*.json") if is_timed_id(p.stem))


def list_records(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """List the path and record of every output, oldest first; skip damaged ones."""
    return manifest.load_readable(lambda output: read_output(folder, output), list_ids(folder))


def read_output(folder: Path, output: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of an output and its record. Raise GenloomError if the record is damaged or was changed."""
    record_path = get_record_path(folder, output)
    if not has_record(folder, output):
        raise manifest.damaged_error(record_path, "the file is missing")
    content = manifest.read_json(record_path)
    is_intact = records.has_digest(content)
    if problem := records.find_output_problem(content, is_intact):
        raise manifest.damaged_error(record_path, problem)
    if content["id"] != output or ("digest" in content and not is_intact):
        raise GenloomError("store.output_record_changed", path=record_path)
    path = record_path.parent / Path(content["file"]).name
    if not path.is_file():
        raise manifest.damaged_error(record_path, "the output it describes is missing")
    return path, content


def require_file(path: Path, record: Mapping[str, Any]) -> None:
    """Raise GenloomError if the file of an output is gone, as after its workspace was moved."""
    if not path.is_file():
        raise GenloomError("store.output_gone", path=path, id=record.get("id"))


def verify_output(path: Path, record: Mapping[str, Any]) -> None:
    """Raise GenloomError if the file of an output is not the one that its record describes, or is gone."""
    require_file(path, record)
    if files.hash_file(path) != record["sha256"]:
        id, target = record.get("id"), shlex.quote(str(path))
        cure = format_message("store.output_cure_by_backup", id=id)
        if "request" in record and not record.get("imported"):
            cure = format_message("store.output_cure_by_replay", id=id, target=target)
        raise GenloomError("store.output_changed", path=path, id=id, cure=cure)


def restore_output(path: Path, data: bytes) -> None:
    """Write the bytes of an output, as they were generated, to its own path in the workspace."""
    files.write_atomic(path, data)


def save_original(folder: Path, data: bytes, suffix: str) -> str:
    """Store the source of edited outputs once, as `originals/<sha256>.<ext>`; return its digest."""
    digest = hashlib.sha256(data).hexdigest()
    files.write_atomic(folder / "originals" / f"{digest}{suffix}", data)
    return digest


def load_original(folder: Path, digest: str) -> bytes:
    """Return the bytes with this digest. Raise GenloomError if they are missing or changed."""
    matches = list((folder / "originals").glob(f"{Path(digest).name}.*"))
    if not matches or files.hash_file(matches[0]) != digest:
        raise GenloomError("store.original_gone", digest=digest[:12])
    return matches[0].read_bytes()
