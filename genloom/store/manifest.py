"""The manifest that makes a folder complete: its files with their digests, written last."""

import hashlib
import json
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from genloom.errors import GenloomError, format_message
from genloom.store import files, mirror, records
from genloom.store.clock import get_now
from genloom.store.names import is_timed_id

Entry = TypeVar("Entry")

RECORD_DIGEST = "record_digest"  # the field of a manifest with the digest of all its other fields
RECORD_FILES = "record_files"  # the field of a record with the digests of the files beside it
_DIGEST_CHARS = 64
_FORMAT = 1
_MAX_BYTES = 64 << 20
_PACKAGE = Path(__file__).parents[1]  # its models are built in
_RUN_PATH = re.compile(r"/runs/(?P<id>\d{4}-\d\d-\d\d-[0-9a-z]{6})/")
_VERSION_PATH = re.compile(r"/(?P<kind>models|data)/(?P<id>[^/]+/(?:\d{1,9}(?=/|$)|[0-9a-f]{12}))")


def finalize_manifest(
    folder: Path, name: str, is_covered: Callable[[str], bool], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Complete the manifest `name` that a writer left in `folder`: digests of every file and of the folder, the time.

    The folder's digest covers the files whose relative path `is_covered`; equal content has equal digests.
    """
    path = folder / name
    assert path.is_file(), f"the writer of a folder must create {name}"
    content = read_json(path)
    inside = sorted(p for p in folder.rglob("*") if p.is_file() and p != path)
    entries = _describe_files(folder, (file.relative_to(folder).as_posix() for file in inside))
    folder_hash = hashlib.sha256()
    for relative_path, entry in entries.items():
        if is_covered(relative_path):
            folder_hash.update(f"{entry['sha256']} {entry['bytes']} {relative_path}\n".encode())
    final_content = content | {
        **extra,
        "format": _FORMAT,
        "created": get_now().isoformat(timespec="microseconds"),
        "digest": folder_hash.hexdigest(),
        "files": entries,
    }
    final_content[RECORD_DIGEST] = final_content.pop(RECORD_DIGEST, "")  # it is the last field; see `verify_record`
    final_content[RECORD_DIGEST] = hash_record(json.loads(json.dumps(final_content)))
    write_json(path, final_content)
    return final_content


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a complete manifest; ValueError, naming the file and the cure, if it is damaged or from a newer Genloom."""
    content = read_json(path)
    if isinstance(content.get("format"), int) and content["format"] > _FORMAT:
        raise GenloomError("store.newer_format", path=path, format=content["format"])
    if problem := records.find_problem(records.ManifestRecord, content):
        raise damaged_error(path, problem)
    return content


def read_sequence(path: Path) -> int:
    """Return the number of a version of a data set in the order collected; 0 of an earlier Genloom, or damaged."""
    try:
        return int(read_manifest(path).get("sequence", 0))
    except GenloomError:
        return 0


def hash_record(content: Mapping[str, Any]) -> str:
    """Return SHA-256 over all fields of a manifest but this digest itself."""
    fields = {name: value for name, value in content.items() if name != RECORD_DIGEST}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def verify_record(path: Path) -> None:
    """Raise ValueError if a byte of a manifest is not as it was written; earlier versions of Genloom wrote no digest.

    The digest is the last field, so that a manifest whose field has lost its name is not taken for an earlier one.
    """
    read_manifest(path)
    verify_digest(path)


def verify_digest(path: Path) -> None:
    """Raise ValueError if a byte of a JSON file with a digest of its content is not as it was written."""
    content = read_json(path)
    last = next(reversed(content), "")
    value = content.get(last)
    is_earlier = last != RECORD_DIGEST and not (isinstance(value, str) and len(value) == _DIGEST_CHARS)
    if is_earlier:
        return
    if content.get(RECORD_DIGEST) != hash_record(content) or path.read_bytes() != encode_json(content):
        raise damaged_error(path, "its content was changed")


def verify_sizes(folder: Path, content: Mapping[str, Any]) -> None:
    """Compare every file's size with that in the manifest; ValueError names the first that is missing or differs."""
    for relative_path, entry in content["files"].items():
        path = folder / relative_path
        if ".." in Path(relative_path).parts or Path(relative_path).is_absolute():
            raise damaged_error(path, "the manifest points outside its folder")
        size = path.stat().st_size if path.is_file() else mirror.get_stored_size(path)
        if size is None:
            raise damaged_error(path, "the file is missing")
        if size != entry["bytes"]:
            raise damaged_error(path, f"it has {size:,} bytes, but {entry['bytes']:,} were written")


def verify_digests(folder: Path, content: Mapping[str, Any]) -> None:
    """Compare every file's digest with that in the manifest; ValueError names the first that differs."""
    verify_sizes(folder, content)
    mirror.fetch_files(folder)
    for relative_path, entry in content["files"].items():
        if files.hash_file(folder / relative_path) != entry["sha256"]:
            raise damaged_error(folder / relative_path, "its content was changed")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file of at most 64 MB; ValueError for anything else."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):  # such as a pipe, which would be waited for
        raise damaged_error(path, "not a regular file")
    if info.st_size > _MAX_BYTES:
        raise damaged_error(path, f"{info.st_size:,} bytes is too large")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise damaged_error(path, f"not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise damaged_error(path, "not a JSON object")
    return content


def load_readable(load: Callable[[str], Entry], names: Iterable[str]) -> list[Entry]:
    """Load the entries with these names; skip damaged ones, which `Workspace.list_faults` reports."""
    entries = []
    for name in names:
        try:
            entries.append(load(name))
        except ValueError:
            continue
    return entries


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically; write lone surrogates, which UTF-8 cannot encode, as escapes."""
    files.write_atomic(path, encode_json(content))


def write_record(path: Path, content: Mapping[str, Any], names: Iterable[str] = ()) -> None:
    """Write a JSON object with its own digest last, and those of the files with these names beside it."""
    names = list(names)
    fields = {name: value for name, value in content.items() if name not in (RECORD_DIGEST, RECORD_FILES)}
    if entries := _describe_files(path.parent, names):
        fields[RECORD_FILES] = entries
        for name in names:
            mirror.publish_content(path.parent / name)
    fields[RECORD_DIGEST] = hash_record(json.loads(json.dumps(fields)))
    write_json(path, fields)


def read_record(path: Path) -> dict[str, Any]:
    """Read a file of `write_record`, without its digests; ValueError if it is not as it was written."""
    verify_digest(path)
    return {name: value for name, value in read_json(path).items() if name not in (RECORD_DIGEST, RECORD_FILES)}


def verify_written(path: Path) -> None:
    """Raise ValueError if a byte of a file of `write_record`, or of those that it names, is not as it was written."""
    verify_digest(path)
    entries = read_json(path).get(RECORD_FILES)
    verify_digests(path.parent, {"files": entries if isinstance(entries, dict) else {}})


def _describe_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the size and digest of each of the files in a folder."""
    paths = [folder / name for name in names]
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": files.hash_file(path)}
        for path in paths
    }


def encode_json(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as it is written to a file."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def damaged_error(path: Path, reason: str) -> GenloomError:
    """Return the error for something in the workspace that is not as it was written."""
    cure = format_message("store.delete_folder")
    if run := _RUN_PATH.search(path.as_posix()):
        cure = format_message("store.delete_one", kind="runs", id=run["id"])
    if version := _VERSION_PATH.search(path.as_posix()):
        cure = format_message("store.delete_one", kind=version["kind"], id=version["id"])
    if is_timed_id(path.stem):  # an output or a conversation, whose folder has others
        kind = "conversations" if path.parent.name == "conversations" else "outputs"
        cure = format_message("store.delete_one", kind=kind, id=path.stem)
    if path.is_relative_to(_PACKAGE):
        cure = format_message("store.install_again")
    return GenloomError("store.damaged", path=path, reason=reason, cure=cure)
