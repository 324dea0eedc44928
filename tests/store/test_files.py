"""Files and folders appear complete or not at all, even if the writer is killed."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genloom.errors import format_message
from genloom.store import files
from tests.errors import raises_code


def test_write_atomic_writes_text_and_bytes_into_new_folders(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "a" / "b" / "note.txt", "grün ☃")
    files.write_atomic(tmp_path / "raw", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "grün ☃".encode()
    assert (tmp_path / "raw").read_bytes() == b"\x00\xff"
    assert files.list_drafts(tmp_path) == []


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_disk_full_keeps_the_old_content_and_names_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path = tmp_path / "card.json"
    files.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, fails, full)
    with raises_code("store.disk_full", path=path):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "no_permission"),
        (errno.EPERM, "no_permission"),
        (errno.EROFS, "read_only"),
        (errno.EDQUOT, "disk_full"),
        (errno.ENAMETOOLONG, "name_too_long_here"),
        (errno.EFBIG, "file_too_large"),
        (errno.EISDIR, "folder_blocks_file"),
        (errno.EIO, "io_error"),
        (errno.ENOENT, "write_failed"),
    ],
)
def test_each_errno_has_its_message(tmp_path: Path, number: int, code: str) -> None:
    with raises_code(f"store.{code}", path=tmp_path / "x"), files.translate_errors(tmp_path / "x"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.EISDIR])
def test_errors_about_other_files_pass_unchanged(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match="theirs") as caught, files.translate_errors(tmp_path / "ours"):
        raise OSError(number, os.strerror(number), str(tmp_path / "theirs"))
    assert not isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("number", "code", "fields"),
    [
        (errno.ENOENT, "system_error", {"prefix": "x/y: ", "reason": "no such file or directory"}),
        (errno.ENOSPC, "disk_full", {"path": "x/y"}),
        (errno.EFBIG, "file_too_large", {"path": "x/y"}),
    ],
)
def test_an_unexpected_error_is_one_line(number: int, code: str, fields: dict[str, str]) -> None:
    hint = format_message("store.workspace_hint")
    line = files.describe_error(OSError(number, os.strerror(number), "x/y"))
    assert line == format_message(f"store.{code}", **fields, hint=hint)
    assert "\n" not in line
    unnamed = files.describe_error(OSError(errno.EMFILE, "Too many open files"))
    assert unnamed == format_message("store.system_error", prefix="", reason="Too many open files")


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with raises_code("store.file_blocks_folder", path=tmp_path / "models"):
        files.write_atomic(tmp_path / "models" / "notes" / "card.json", "{}")
    with (
        raises_code("store.file_blocks_folder", path=tmp_path / "models"),
        files.atomic_folder(tmp_path / "models" / "notes"),
    ):
        pytest.fail("the block must not start")
    assert (tmp_path / "models").read_text() == "in the way"


def test_an_atomic_folder_appears_only_when_complete(tmp_path: Path) -> None:
    final = tmp_path / "made" / "1"
    with files.atomic_folder(final) as draft:
        (draft / "deep").mkdir()
        (draft / "deep" / "part").write_text("x")
        assert draft.parent == final.parent
        assert not final.exists()
    assert (final / "deep" / "part").read_text() == "x"
    assert list(final.parent.iterdir()) == [final]


def test_an_atomic_folder_is_removed_on_any_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(tmp_path / "1") as draft:
        (draft / "part").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_parent_created_for_a_draft_is_removed_unless_it_existed_or_is_in_use(tmp_path: Path) -> None:
    def fail_in(parent: Path, neighbour: str = "") -> None:
        with pytest.raises(RuntimeError), files.temp_folder(parent):
            if neighbour:
                (parent / neighbour).touch()
            raise RuntimeError

    fail_in(tmp_path / "new" / "newer")
    assert not (tmp_path / "new" / "newer").exists()
    (tmp_path / "old").mkdir()
    fail_in(tmp_path / "old")
    fail_in(tmp_path / "shared", neighbour="made by another process")
    assert {path.name for path in tmp_path.iterdir()} == {"new", "old", "shared"}


def test_an_atomic_folder_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "own").write_text("old")
    with raises_code("store.exists", path=tmp_path / "1"), files.atomic_folder(tmp_path / "1") as draft:
        (draft / "part").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1" / "own").read_text() == "old"


def test_disk_full_while_filling_a_folder_leaves_nothing(tmp_path: Path) -> None:
    with raises_code("store.disk_full"), files.atomic_folder(tmp_path / "1") as draft:
        (draft / "part").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_errors_about_the_users_own_files_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), files.atomic_folder(tmp_path / "1"):
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/else.txt")


_KILLED_WRITER = """
import sys, time
from pathlib import Path
from genloom.store import files
with files.atomic_folder(Path(sys.argv[1]) / "1") as draft:
    (draft / "part").write_text("half")
    print(draft, flush=True)
    time.sleep(60)
"""


def test_the_draft_of_a_killed_writer_is_invisible_and_removed_later(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _KILLED_WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        draft = Path(writer.stdout.readline().strip())
        long_ago = time.time() - 3600
        os.utime(draft, (long_ago, long_ago))
        assert files.remove_stale_drafts(tmp_path) == [], "a living writer's draft stays"
        assert files.list_drafts(tmp_path) == [draft]
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=600)
    assert not (tmp_path / "1").exists()
    os.utime(draft, (long_ago, long_ago))
    assert files.remove_stale_drafts(tmp_path) == [draft]
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_draft_is_left_alone(tmp_path: Path) -> None:
    draft = tmp_path / ".0123456789ab.draft"
    draft.mkdir()
    assert files.remove_stale_drafts(tmp_path) == []
    assert draft.is_dir()


_KILLED_REWRITER = """
import sys
from pathlib import Path
from genloom.store import files
path, n = Path(sys.argv[1]), 0
while True:
    n += 1
    files.write_atomic(path, f"{n}:" + str(n % 10) * 200_000)
    if n == 1:
        print("begun", flush=True)
"""


def test_kill_at_random_moments_never_leaves_a_part(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for delay in (0.0, 0.003, 0.011, 0.017):
        writer = subprocess.Popen([sys.executable, "-c", _KILLED_REWRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        time.sleep(delay)
        writer.kill()
        writer.communicate(timeout=600)
        number, _, content = path.read_text().partition(":")
        assert content == str(int(number) % 10) * 200_000


def failing_with(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("way", ["supported", "missing", "not on this file system"])
def test_reserved_space_is_allocated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "missing":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif way == "not on this file system":
        monkeypatch.setattr(os, "posix_fallocate", failing_with(errno.EOPNOTSUPP), raising=False)
    size = (1 << 20) + 4097  # more than is written at once
    files.reserve_space(tmp_path / "table", size)
    assert (tmp_path / "table").read_bytes() == bytes(size)
    assert (tmp_path / "table").stat().st_blocks * 512 >= size


def test_nothing_is_reserved_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing_with(errno.ENOSPC), raising=False)
    with pytest.raises(OSError, match="No space left"):
        files.reserve_space(tmp_path / "table", 4096)


def test_the_home_of_an_unknown_user_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert files.expand_home("~/notes") == Path("/home/anna/notes")
    assert files.expand_home("notes~") == Path("notes~")
    with raises_code("store.unknown_home", path="~nobody-of-this-name/x"):
        files.expand_home("~nobody-of-this-name/x")


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_free_bytes_of_a_path_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert files.get_free_bytes(tmp_path / "not" / "yet") > 0
