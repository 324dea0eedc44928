"""Records with values of wrong kinds are one clear error each, whatever the kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from genloom.errors import GenloomError
from genloom.rate.ratings import read_ratings
from genloom.store.database import EVENTS
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace


def find_error_code(read: Callable[[], object]) -> str:
    """Return the code of the error that reading raises; "" for none. Any other exception fails the test."""
    try:
        read()
    except GenloomError as error:
        return error.code
    return ""


ODD: list[Any] = [None, True, 7, -1, 1.5, "x", [], ["x"], {}, {"a": 1}, {"a": {"bytes": "1"}}]


@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize("key", ["files", "digest", "created", "format", "data", "licences", "parents", "name", "fact"])
def test_a_card_of_any_content_is_readable_or_one_error(key: str, value: Any, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.create_model("notes") as folder:
        (folder / "weights.safetensors").write_bytes(b"good")
        (folder / "card.json").write_text("{}")
    path = workspace.get_model("notes").folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    workspace.list_models()
    workspace.list_faults()

    def read() -> None:
        model = workspace.get_model("notes")
        model.verify()
        assert isinstance((model.card.get("data") or {}).get("name", ""), str | int | dict | list)
        assert (model.parent_ref, model.is_adapter, len(model.codec_digest)) == ("", False, 64)

    assert find_error_code(read) in ("", "store.damaged", "store.newer_format")


@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize(
    "key", ["request", "row", "adapters", "machine", "model", "sha256", "file", "written", "prompt"]
)
def test_a_record_of_any_content_is_readable_or_one_error(key: str, value: Any, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    output = workspace.save_output("text", ".txt", {"model": "m/1", "prompt": "p", "written": "text", "row": 0})
    path = next(tmp_path.glob("outputs/*/*.json"))
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, key: value}))
    workspace.list_records()
    assert find_error_code(lambda: workspace.get_output(output)) in ("store.damaged", "store.output_record_changed")
    without_digest = {name: value for name, value in written.items() if name not in ("digest", "sequence")}
    path.write_text(json.dumps({**without_digest, key: value}))
    workspace.list_records()
    assert find_error_code(lambda: workspace.get_output(output)) in ("", "store.damaged")


@pytest.mark.parametrize(
    "change", [{"written": "forged"}, {"prompt": "q"}, {"request": {"nonces": [1]}}, {"given": {}}]
)
def test_any_change_of_a_record_is_found(change: dict[str, Any], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    output = workspace.save_output("text", ".txt", {"model": "m/1", "prompt": "p \udc80", "written": "text", "row": 0})
    path = next(tmp_path.glob("outputs/*/*.json"))
    assert workspace.get_output(output)[1]["prompt"] == "p \udc80"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert find_error_code(lambda: workspace.get_output(output)) == "store.output_record_changed"
    assert len(workspace.list_faults()) == 1


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    output = workspace.save_output("text", ".txt", {"of_a_later_version": 1})
    assert workspace.get_output(output)[1]["of_a_later_version"] == 1
    path = next(tmp_path.glob("outputs/*/*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "modle": "m/1"}))
    with pytest.raises(GenloomError, match="of_a_later_version"):
        workspace.get_output(output)
    ledger = open_ledger(tmp_path)
    ledger.append("rating", {**GOOD, "valeu": 1})
    with pytest.raises(GenloomError, match="valeu"):
        read_ratings(ledger)


GOOD = {"output": "o", "rater": "zoe", "scale": "thumb", "value": 1, "note": "", "machine": False, "sha256": "0" * 64}
PAIR = {"a": "o", "b": "p", "winner": "a", "rater": "zoe", "prompt": "", "machine": False, "sha256": ["0", "1"]}


@pytest.mark.parametrize("kind", ["rating", "choice", "withdrawal"])
def test_an_entry_of_any_content_is_readable_or_one_error(kind: str, tmp_path: Path) -> None:
    good = {"rating": GOOD, "choice": PAIR, "withdrawal": {"event": "x"}}[kind]
    bodies = [{**good, key: value} for key in good for value in ODD]
    bodies += [{k: v for k, v in good.items() if k != key} for key in good] + [{**good, "more": 1}]
    for number, body in enumerate(bodies):
        ledger = open_ledger(tmp_path / str(number))
        ledger.append(kind, body)
        assert find_error_code(lambda ledger=ledger: read_ratings(ledger)) in ("", "store.entry_malformed"), body


@pytest.mark.parametrize("body", ["x", "[]", "5", "null", "[" * 100_000, "{", '"a"'], ids=lambda body: body[:5])
def test_a_damaged_body_is_one_error(body: str, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    first = ledger.append("rating", GOOD)
    row = {"seq": 2, "id": "bad", "at": "", "kind": "rating", "body": body, "previous": first.digest, "digest": ""}
    with ledger.database.open_transaction() as connection:
        connection.execute(sql.insert(EVENTS), [row])
    for read in (ledger.get_head, lambda: ledger.get_event("bad"), lambda: list(ledger.iter_events())):
        assert find_error_code(read) == "store.entry_malformed"
    for check in (ledger.verify, lambda: read_ratings(ledger), lambda: ledger.append("rating", GOOD)):
        assert find_error_code(check) == "store.entry_changed"
