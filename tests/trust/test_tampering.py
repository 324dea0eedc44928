"""`doctor --deep` finds any changed byte of outputs, sources of edits, data sets, models, cards and the ledger."""

import json
import random
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sql

import genloom as gl
from genloom.cli import run
from genloom.store import manifest
from genloom.store.dataset_removal import remove_documents
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
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
        name = path.name.removesuffix(".head.json")  # a digest that no entry has is a problem of the ledger
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
