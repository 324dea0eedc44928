"""`doctor --deep` finds any changed byte of outputs, sources of edits, data sets, models, cards and the ledger."""

import contextlib
import hashlib
import json
import random
import shutil
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sql

import genloom as gl
from genloom.cli import run
from genloom.errors import GenloomError
from genloom.evaluate.report import Report
from genloom.rate.promotion import promote_version
from genloom.store import manifest
from genloom.store.conversation import Conversation
from genloom.store.dataset_removal import remove_documents
from genloom.store.ledger import open_ledger
from genloom.store.run import finish_run
from genloom.store.workspace import Workspace
from genloom.train.data.cache import publish_samples
from genloom.trust.revocation import has_changed_signatures, has_signed, record_signature
from genloom.trust.tampering import list_changes

FILES = [
    "outputs/20*/*.txt",
    "outputs/20*/*.json",
    "outputs/originals/*",
    "data/*/*/manifest.json",
    "data/*/*/*.parquet",
    "models/*/*/card.json",
    "models/*/*/weights.safetensors",
    "models/*/*/job.toml",
    "ledger.sqlite.head.json",
    "outputs/newest.json",
    "runs/*/run.json",
    "runs/*/done.json",
    "runs/*/progress.jsonl",
    "runs/*/train.samples",
    "runs/*/train.sha256",
    "runs/*/train.key",
    "reports/*/evaluation.json",
    "reports/*/chart.png",
    "conversations/*.json",
]


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("deep")
    ws = gl.Workspace(root, rater="zoe")
    data = worlds.create_dataset(ws.store, documents=12)
    remove_documents(ws.store, data, [next(ws.dataset("tales").documents()).meta["id"]])
    staged = ws.store.create_model("tales")
    with staged as folder:
        (folder / "weights.safetensors").write_bytes(bytes(range(64)))
        (folder / "job.toml").write_text("steps = 1\n")
        (folder / "card.json").write_text(json.dumps({"fact": {"steps": 1, "loss": 1e-7}, "notes": ["naïve"]}))
    run_folder = ws.store.create_run("tales")
    (run_folder / "progress.jsonl").write_text('{"step": 1}\n')
    (run_folder / "train.samples").write_bytes(bytes(range(64)))
    publish_samples(run_folder, 64 * "0", ["train.samples"])
    finish_run(run_folder, "tales/1")
    Report("tales/1", "tales@1:val", {}, {"loss": 1.5}, ["loss 1.5"], {"chart.png": b"PNG"}).save(
        root / "reports" / "tales-1"
    )
    ws.store.save_conversation(Conversation("Be brief.").with_question("Who?"))
    digest = ws.store.save_original(b"a source", ".txt")
    for text in ("a", "b"):
        record = {"medium": "text", "prompt": "é", "written": text, "request": {"edit": {"source": digest}}}
        ws.output(ws.store.save_output(text, ".txt", record)).rate(up=True)
    return root


def find_changes(root: Path) -> list[str]:
    return list(list_changes(Workspace(root), open_ledger(root)))


def test_nothing_is_found_where_nothing_was_changed(home: Path) -> None:
    assert find_changes(home) == []
    assert len(list(home.glob("data/*/*/manifest.json"))) == 2


def flip_bit(path: Path, rng: random.Random, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("pattern", FILES)
def test_a_changed_byte_is_found(home: Path, tmp_path: Path, pattern: str) -> None:
    """A sample of bytes, each with one bit changed; the next test takes every byte of a card."""
    root = tmp_path / "home"
    shutil.copytree(home, root)
    rng = random.Random(0)
    paths = sorted(root.glob(pattern))
    for _ in range(6):
        path = rng.choice(paths)
        original = path.read_bytes()
        flip_bit(path, rng, position := rng.randrange(len(original)))
        # A digest that no entry, or no samples, have is a problem of these.
        name = path.name.removesuffix(".head.json").removesuffix("sha256")
        assert any(name in problem for problem in find_changes(root)), (path.name, position)
        path.write_bytes(original)


@pytest.mark.parametrize("pattern", ["models/*/*/card.json", "data/*/*/manifest.json"])
def test_every_byte_of_a_card_counts(home: Path, tmp_path: Path, pattern: str) -> None:
    rng, path = random.Random(0), tmp_path / "card.json"
    original = next(home.glob(pattern)).read_bytes()
    for position in range(len(original)):
        path.write_bytes(original)
        manifest.verify_record(path)
        flip_bit(path, rng, position)
        with pytest.raises(ValueError):  # noqa: PT011 - the codes differ by what the byte was
            manifest.verify_record(path)


@pytest.mark.parametrize("column", ["id", "at", "kind", "body", "previous", "digest"])
def test_a_changed_entry_of_the_ledger_is_found(home: Path, tmp_path: Path, column: str) -> None:
    root = tmp_path / "home"
    shutil.copytree(home, root)
    engine = sql.create_engine(f"sqlite:///{root / 'ledger.sqlite'}")
    with engine.begin() as connection:
        (table,) = {name for name in sql.inspect(connection).get_table_names() if "event" in name}
        for trigger in (
            connection.execute(sql.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        ):
            connection.execute(sql.text(f"DROP TRIGGER {trigger}"))
        connection.execute(sql.text(f"UPDATE {table} SET {column} = {column} || ' ' WHERE seq = 1"))
    engine.dispose()
    assert any("ledger.sqlite" in problem for problem in find_changes(root))


@pytest.mark.parametrize("damage", ["trigger", "index"])
def test_damage_to_the_database_around_the_entries_is_found(home: Path, tmp_path: Path, damage: str) -> None:
    """Without its triggers the database would let an entry be changed, and a wrong index would not find one."""
    root = tmp_path / "home"
    shutil.copytree(home, root)
    path = root / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if damage == "trigger":
            connection.execute("DROP TRIGGER genloom_no_update")
            connection.commit()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE 'ix_%'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    if damage == "index":
        data = bytearray(path.read_bytes())
        data[page * size - 3] ^= 1  # in the last key of the page
        path.write_bytes(data)
    assert any("ledger.sqlite" in problem for problem in find_changes(root))


def test_a_card_of_an_earlier_version_is_no_damage(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "home"
    shutil.copytree(home, root)
    (path,) = root.glob("models/*/*/card.json")
    content = json.loads(path.read_text())
    del content[manifest.RECORD_DIGEST]
    path.write_text(json.dumps(content, indent=2))
    assert find_changes(root) == []


def test_the_doctor_names_the_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "home"
    shutil.copytree(home, root)
    (path,) = (root / "outputs" / "originals").iterdir()
    path.write_bytes(b"a Source")
    capsys.readouterr()
    for option, code in (("--verify", 0), ("--deep", 1)):
        assert run(["doctor", option, "--json", "--workspace", str(root)]) == code
        problems = json.loads(capsys.readouterr().out)["problems"]
        assert any(str(path) in problem for problem in problems) == bool(code)


def test_a_record_with_digests_shows_every_change(tmp_path: Path) -> None:
    """Every byte of a record of `write_record` counts, and every file that it names."""
    path, rng = tmp_path / "report.json", random.Random(0)
    (tmp_path / "page.html").write_text("<p>7 of 9</p>")
    content = {"model": "notes/1", "value": 1e-7, "notes": ["naïve"]}
    manifest.write_record(path, content, ["page.html"])
    original = path.read_bytes()
    assert manifest.read_record(path) == content
    manifest.write_record(path, manifest.read_json(path), ["page.html"])
    assert path.read_bytes() == original
    for position in range(len(original)):
        flip_bit(path, rng, position)
        with pytest.raises(ValueError):  # noqa: PT011 - the codes differ by what the byte was
            manifest.verify_written(path)
        path.write_bytes(original)
    flip_bit(tmp_path / "page.html", rng, 3)
    with pytest.raises(GenloomError):
        manifest.verify_written(path)
    path.write_text(json.dumps(content, indent=2))  # of an earlier version
    assert manifest.read_record(path) == content


def test_a_file_that_was_added_to_a_version_is_found(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "home"
    shutil.copytree(home, root)
    (path,) = root.glob("models/*/*/card.json")
    added = [
        path.parent / "codec" / "chat_template.json",
        next(root.glob("data/*/*/manifest.json")).parent / "part-9.x",
    ]
    for each in added:
        each.parent.mkdir(exist_ok=True)
        each.write_text("{}")
    assert sorted(each for each in added if any(str(each) in problem for problem in find_changes(root))) == sorted(
        added
    )
    assert len(find_changes(root)) == len(added)


@pytest.mark.parametrize("change", ["another version", "removed"])
def test_the_version_in_use_is_that_of_the_ledger(home: Path, tmp_path: Path, change: str) -> None:
    root = tmp_path / "home"
    shutil.copytree(home, root)
    ws = gl.Workspace(root)
    promote_version(ws.store, ws.ledger, "tales", 1, "person")
    assert not [problem for problem in ws.doctor(deep=True).problems if "champion" in problem]
    path = root / "models" / "tales" / "champion.json"
    if change == "removed":
        path.unlink()
    else:
        manifest.write_record(path, {**manifest.read_record(path), "version": 2})
    assert any("champion" in problem for problem in gl.Workspace(root).doctor(deep=True).problems)


def test_a_changed_line_of_the_signed_files_is_found(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for number in range(3):
        record_signature(tmp_path, bytes([number]))
    path = tmp_path / "keys" / "signed.txt"
    original, rng = path.read_bytes(), random.Random(0)
    path.write_bytes(original + b"\n" + b"0" * 64)  # of an earlier version
    assert not has_changed_signatures(tmp_path)
    assert all(has_signed(tmp_path, hashlib.sha256(bytes([number])).hexdigest()) for number in range(3))
    for position in range(1, len(original)):
        path.write_bytes(original)
        flip_bit(path, rng, position)
        assert has_changed_signatures(tmp_path), position
