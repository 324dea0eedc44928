"""Acknowledged events are on the disk, once, in one chain: with threads, killed processes and a team's server."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from genloom.program import name_program
from genloom.store.ledger import Ledger, NewEvent, open_ledger
from tests.errors import raises_code


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty ledger on each database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        return
    yield request.getfixturevalue("team_ledger")


@pytest.fixture
def ledger(url: str, tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path, url)
    yield opened
    opened.database.engine.dispose()


def test_what_was_written_is_read_in_order(ledger: Ledger) -> None:
    assert list(ledger.iter_events()) == []
    assert ledger.get_head() is None
    written = [
        ledger.append(kind, {"n": n, "words": "Zoë 😀", "parts": [1, None, 0.1]})
        for n, kind in enumerate(("rating", "choice", "rating", "withdrawal"))
    ]
    assert list(ledger.iter_events()) == written
    assert [e.seq for e in written] == [1, 2, 3, 4]
    assert len({e.id for e in written}) == 4
    assert [e.body["n"] for e in ledger.iter_events(["rating"])] == [0, 2]
    assert list(ledger.iter_events(["rating", "withdrawal"], after=2)) == [written[2], written[3]]
    assert ledger.get_event(written[1].id) == written[1]
    assert ledger.get_head() == written[-1]
    ledger.verify()


def test_each_event_fixes_all_before_it(ledger: Ledger) -> None:
    first, second = (ledger.append("rating", {"value": 1}) for _ in range(2))
    assert (first.previous, second.previous) == ("", first.digest)
    assert first.digest != second.digest


def test_an_event_with_a_repeated_id_is_stored_once(ledger: Ledger) -> None:
    first = ledger.append("rating", {"value": 1}, id="mine")
    assert ledger.append("rating", {"value": 1}, id="mine") == first
    assert list(ledger.iter_events()) == [first]
    with raises_code("store.event_id_taken", id="mine", kind="rating"):
        ledger.append("rating", {"value": -1}, id="mine")
    assert list(ledger.iter_events()) == [first]


def test_threads_share_a_wait_for_the_disk_and_lose_nothing(ledger: Ledger) -> None:
    acknowledged: list[str] = []

    def write(name: int) -> None:
        acknowledged.extend(ledger.append("rating", {"name": name, "n": n}, id=f"{name}/{n}").id for n in range(5))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acknowledged) == sorted(each.id for each in ledger.iter_events())
    assert len(acknowledged) == 40
    for name in range(8):
        assert [e.body["n"] for e in ledger.iter_events() if e.body["name"] == name] == [0, 1, 2, 3, 4]
    ledger.verify()


def test_many_events_come_in_pages(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloom.store.ledger._PAGE_EVENTS", 3)
    for n in range(7):
        ledger.append("rating", {"n": n})
    seen = []
    for each in ledger.iter_events():  # a slow reader does not block writers
        seen.append(each.body["n"])
        if each.seq == 1:
            ledger.append("rating", {"n": 7})
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7]


def test_the_database_refuses_to_change_or_remove_what_was_written(ledger: Ledger) -> None:
    ledger.append("rating", {"value": 1})
    for statement in ("UPDATE genloom_events SET kind = 'choice'", "DELETE FROM genloom_events"):
        with (
            pytest.raises(SQLAlchemyError, match="append-only"),
            ledger.database.engine.begin() as connection,
        ):
            connection.execute(sql.text(statement))
    ledger.verify()


@pytest.mark.parametrize(
    ("tampering", "code", "seq"),
    [
        ("UPDATE genloom_events SET body = '{\"n\":9}' WHERE seq = 2", "entry_changed", 2),
        ("UPDATE genloom_events SET at = '2020' WHERE seq = 3", "entry_changed", 3),
        ("DELETE FROM genloom_events WHERE seq = 2", "entry_missing", 2),
        ("DELETE FROM genloom_events WHERE seq = 1", "entry_missing", 1),
        ("UPDATE genloom_events SET previous = 'x' WHERE seq = 3", "entry_unchained", 3),
    ],
)
def test_verify_names_the_first_changed_entry(tampering: str, code: str, seq: int, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for n in range(4):
        ledger.append("rating", {"n": n}, id=f"e{n}")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("DROP TRIGGER genloom_no_update")
        connection.execute("DROP TRIGGER genloom_no_delete")
        connection.execute(tampering)
    connection.close()
    with raises_code(f"store.{code}", seq=seq):
        ledger.verify()
    with raises_code(f"store.{code}", seq=seq):
        open_ledger(tmp_path).append("rating", {"n": 5})
    assert count_rows(tmp_path) == 4 - tampering.startswith("DELETE"), "nothing is appended to a changed ledger"


def count_rows(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        return connection.execute("SELECT count(*) FROM genloom_events").fetchone()[0]


def test_a_cut_off_end_is_noticed(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for n in range(4):
        ledger.append("rating", {"n": n})
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection, connection:
        connection.execute("DROP TRIGGER genloom_no_delete")
        connection.execute("DELETE FROM genloom_events WHERE seq > 2")
    for check in (ledger.verify, open_ledger(tmp_path).verify_new, lambda: open_ledger(tmp_path).append("rating", {})):
        with raises_code("store.ledger_cut_off", seq=2, expected=4):
            check()
    (tmp_path / "ledger.sqlite.head.json").unlink()  # the cure for an older backup
    assert open_ledger(tmp_path).append("rating", {}).seq == 3
    ledger.verify()


def test_a_ledger_that_was_deleted_is_missed(tmp_path: Path) -> None:
    open_ledger(tmp_path).append_all([NewEvent("rating", {"n": n}) for n in range(3)])
    (tmp_path / "ledger.sqlite").unlink()
    ledger = open_ledger(tmp_path)
    for check in (ledger.verify, ledger.verify_new, ledger.verify_end, lambda: ledger.append("rating", {})):
        with raises_code("store.ledger_gone", expected=3, head=tmp_path / "ledger.sqlite.head.json"):
            check()


def test_a_ledger_without_the_file_beside_it_is_read(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    head = tmp_path / "ledger.sqlite.head.json"
    ledger.append("rating", {})
    assert ledger.is_end_known()
    head.write_text("")  # as a power cut may leave it
    ledger.verify()
    assert not ledger.is_end_known()
    head.unlink()
    ledger.verify()
    assert not ledger.is_end_known()
    assert ledger.append("rating", {}).seq == 2
    assert ledger.is_end_known()
    assert head.stat().st_size > 0


@pytest.mark.parametrize(
    "content", ["{", "[]", "\0\xff", '{"seq": "2"}', '{"seq": 0, "digest": ""}', '{"seq": true, "digest": "x"}']
)
def test_a_damaged_file_beside_the_ledger_is_told(content: str, tmp_path: Path) -> None:
    """Else the end of the ledger could be cut off by whoever damages that file too."""
    open_ledger(tmp_path).append_all([NewEvent("rating", {"n": n}) for n in range(2)])
    head = tmp_path / "ledger.sqlite.head.json"
    head.write_text(content)
    ledger = open_ledger(tmp_path)
    for check in (ledger.verify, ledger.verify_new, ledger.verify_end, lambda: ledger.append("rating", {})):
        with raises_code("store.ledger_head_damaged", head=head):
            check()
    head.unlink()  # the cure
    assert ledger.append("rating", {}).seq == 3


def test_many_events_are_appended_together_or_not_at_all(ledger: Ledger) -> None:
    events = ledger.append_all([NewEvent("rating", {"n": n}, f"e{n}") for n in range(5)])
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert ledger.append_all([NewEvent("rating", {"n": n}, f"e{n}") for n in range(3, 7)])[:2] == events[3:]
    with raises_code("store.event_id_taken", id="e1"):
        ledger.append_all([NewEvent("rating", {"n": 9}, "e1")])
    assert [event.body["n"] for event in ledger.iter_events()] == list(range(7))
    assert ledger.append_all([]) == []


def test_a_file_left_in_wal_mode_is_taken_out_of_it(tmp_path: Path) -> None:
    """Old SQLite libraries can corrupt such a file."""
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    open_ledger(tmp_path).append("rating", {})
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_a_commit_waits_for_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3.dbapi2, "connect", cast(Any, sqlite3.dbapi2.connect).func)  # as outside the tests
    with open_ledger(tmp_path).database.open_transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3, "EXTRA"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


def test_a_full_disk_is_reported_and_acknowledged_events_stay(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    stored = ledger.append("rating", {"n": 1})

    @event.listens_for(ledger.database.engine, "connect")
    def fill(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # SQLite keeps to what the file has already

    with raises_code("store.ledger_unavailable", action="written") as error:
        ledger.append("rating", {"words": "x" * 100_000})
    assert "disk is full. Free some space" in error.value.fields["reason"]
    assert list(open_ledger(tmp_path).iter_events()) == [stored]
    assert open_ledger(tmp_path).append("rating", {}).seq == 2


def test_a_ledger_on_a_disk_that_is_read_only_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ledger.sqlite").mkdir()  # which SQLite cannot open, as it cannot create a journal on such a disk
    ledger = open_ledger(tmp_path)
    with raises_code("store.ledger_unavailable", action="written"):
        ledger.append("rating", {})
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with raises_code("store.read_only", path=tmp_path / "ledger.sqlite") as error:
        ledger.append("rating", {})
    assert "ledger=" in error.value.fields["hint"]


def test_the_reason_of_a_database_ends_as_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    ledger = open_ledger(tmp_path, "postgresql://nobody@127.0.0.1:1/x")
    with raises_code("store.ledger_unavailable") as error:
        ledger.append("rating", {})
    assert "?." not in str(error.value)
    assert "Start the server" in str(error.value)


def test_reading_creates_nothing(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "new")
    assert (list(ledger.iter_events()), ledger.get_head()) == ([], None)
    ledger.verify()
    assert not (tmp_path / "new").exists()


def test_the_environment_names_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_LEDGER", f"sqlite:///{tmp_path}/team/ours.db")
    open_ledger(tmp_path).append("rating", {})
    assert sorted(p.name for p in (tmp_path / "team").iterdir()) == ["ours.db", "ours.db.head.json"]


@pytest.mark.parametrize(
    ("address", "code", "url"),
    [
        ("nonsense", "bad_ledger_url", None),
        ("mysql://me:secret@host/x", "ledger_url_unsupported", "mysql://me:***@host/x"),
        ("sqlite://", "ledger_url_unsupported", "sqlite://"),
    ],
)
def test_an_invalid_address_is_refused(address: str, code: str, url: str | None, tmp_path: Path) -> None:
    with raises_code(f"store.{code}", url=url):
        open_ledger(tmp_path, address)


def test_a_missing_server_is_reported_without_the_password(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, f"postgresql://me:secret@/x?host={tmp_path}")
    with raises_code("store.ledger_unavailable", action="written") as error:
        ledger.append("rating", {})
    assert "Start the server" in error.value.fields["reason"]
    assert "secret" not in str(error.value)


def test_a_file_that_is_not_a_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"something else" * 1000)
    with raises_code("store.ledger_unavailable", action="written") as error:
        open_ledger(tmp_path).append("rating", {})
    assert "not a database. Move that file away" in error.value.fields["reason"]
    with raises_code("store.ledger_unavailable", action="read", place=str(tmp_path / "ledger.sqlite")):
        list(open_ledger(tmp_path).iter_events())


def test_a_rating_beyond_the_largest_file_is_refused_with_a_cure(tmp_path: Path) -> None:
    """As with `ulimit -f`; the entries before stay whole."""
    open_ledger(tmp_path).append("rating", {"n": 1})
    program = (
        "import resource, sys; from pathlib import Path; from genloom.store.ledger import open_ledger\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    open_ledger(Path(sys.argv[1])).append('rating', {'n': 2})\n"
        "except ValueError as error:\n    print(error.code, error.fields['reason'])"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "store.ledger_unavailable" in result.stdout
    assert "ulimit -f" in result.stdout
    ledger = open_ledger(tmp_path)
    ledger.verify()
    assert [event.body for event in ledger.iter_events()] == [{"n": 1}]


@pytest.mark.parametrize("id", ["x" * 65, "a\nb"])
def test_ids_are_short_and_printable(id: str, tmp_path: Path) -> None:
    with raises_code("store.invalid_event_id", limit=64):
        open_ledger(tmp_path).append("rating", {}, id=id)


def test_an_unknown_event_names_the_command_that_lists_events(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    with raises_code("store.nothing_known"):
        ledger.get_event("abcdeg")
    ledger.append("rating", {}, id="abcdef")
    with raises_code("store.unknown_id", id="abcdeg", command=name_program("genloom ratings")):
        ledger.get_event("abcdeg")


def survivors(tmp_path: Path, writers: int, seconds: float, url: str = "") -> tuple[int, int]:
    """Kill writers; check that acknowledged events are stored once. Return the counts of killed and acknowledged."""
    notes = tmp_path / "notes"
    notes.mkdir()
    command = [sys.executable, Path(__file__).with_name("writers.py"), tmp_path, notes, str(writers), str(seconds)]
    environment = {**os.environ, "GENLOOM_LEDGER": url}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    ledger = open_ledger(tmp_path, url)
    ledger.verify()
    found = Counter((each.body["rater"], each.body["number"]) for each in ledger.iter_events())
    ledger.database.engine.dispose()
    acknowledged = {(file.name, n) for file in notes.iterdir() for n in range(len(file.read_text().splitlines()))}
    assert acknowledged <= found.keys()
    assert set(found.values()) <= {1}
    assert len(found) <= len(acknowledged) + writers, "at most one unacknowledged rating per writer"
    return int(done.stdout), len(acknowledged)


def test_no_rating_is_lost_or_doubled_when_writers_are_killed(tmp_path: Path) -> None:
    killed, acknowledged = survivors(tmp_path, writers=4, seconds=1)
    assert killed > 3
    assert acknowledged > 3


@pytest.mark.slow
def test_sixteen_writers_killed_at_random_lose_and_double_nothing(tmp_path: Path, url: str) -> None:
    killed, acknowledged = survivors(tmp_path, writers=16, seconds=30, url=url)
    assert killed > 100
    assert acknowledged > 100
