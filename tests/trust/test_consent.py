"""Voices and faces of persons need a consent: training and sharing are refused without one, or after its end."""

import json
from pathlib import Path
from typing import Any

import pytest

import genloom as gl
from genloom.cli import run
from genloom.errors import GenloomError
from genloom.store.consent import CONSENT_FILE

SIGNED, ENDED = "until = 2999-12-31", "until = 2020-12-31"


@pytest.fixture
def ws(tmp_path: Path) -> gl.Workspace:
    return gl.Workspace(tmp_path / "home", rater="ann")


def write_consent(tmp_path: Path, end: str = SIGNED, purposes: str = '"training", "generation"') -> Path:
    path = tmp_path / "consent.toml"
    path.write_text(
        f'[consents.anna]\nwho = "Anna Berger"\nof = ["voice"]\npurposes = [{purposes}]\n'
        f'signed = 2020-01-01\nsignature = "Anna"\n{end}\n'
    )
    return path


def collect(ws: gl.Workspace, tmp_path: Path, **options: Any) -> gl.Dataset:
    folder = tmp_path / "letters"
    folder.mkdir(exist_ok=True)
    for n in range(8):
        (folder / f"{n}.txt").write_text(f"Letter number {n}. " + "It rains on the hill. " * (n + 5))
    return ws.collect(folder, name="letters", **options)


def begin_training(ws: gl.Workspace, **options: Any) -> None:
    """Begin a training, which its first event shows to be allowed."""
    events = ws.iter_train("letters", steps=1, **options)
    next(events)
    events.close()


def refuses(ws: gl.Workspace, **options: Any) -> str:
    with pytest.raises(GenloomError) as caught:
        ws.iter_train("letters", steps=1, **options)
    assert caught.value.code == "trust.consent_refused"
    return str(caught.value.fields["target"])


def list_decisions(ws: gl.Workspace) -> list[tuple[str, str, str]]:
    entries = ws.ledger.iter_entries(["policy"])
    return [(entry.body["rule"], entry.body["action"], entry.body["target"]) for entry in entries]


def store_model(ws: gl.Workspace, data: gl.Dataset, name: str = "speaker", **card: Any) -> gl.Model:
    entry = {"name": data.name, "digest": data.digest, "licences": {}}
    entry |= {key: data.stored.manifest[key] for key in ("persons", "consent") if key in data.stored.manifest}
    staged = ws.store.create_model(name)
    with staged as folder:
        (folder / "weights.safetensors").write_bytes(name.encode())
        (folder / "card.json").write_text(json.dumps({"data": entry, **card}))
    return ws.model(staged.result.ref)


def test_the_consent_is_kept_with_the_data(ws: gl.Workspace, tmp_path: Path) -> None:
    path = write_consent(tmp_path)
    data = collect(ws, tmp_path, consent=path)
    assert (data.folder / CONSENT_FILE).read_bytes() == path.read_bytes()
    assert data.stored.manifest["persons"] == ["voice"]
    assert "Anna Berger" in (data.folder / "CARD.md").read_text()
    data.stored.verify()
    (data.folder / CONSENT_FILE).write_text("")
    with pytest.raises(GenloomError):
        data.stored.verify()


def test_valid_consents_allow_training(ws: gl.Workspace, tmp_path: Path) -> None:
    collect(ws, tmp_path, consent=write_consent(tmp_path))
    begin_training(ws)
    assert list_decisions(ws) == []


def test_voices_without_a_consent_are_refused(ws: gl.Workspace, tmp_path: Path) -> None:
    collect(ws, tmp_path, persons=["voice"])
    assert refuses(ws) == "training"
    assert list_decisions(ws) == [("consent-missing", "refuse", "training")]


def test_a_face_is_not_covered_by_a_consent_to_the_voice(ws: gl.Workspace, tmp_path: Path) -> None:
    collect(ws, tmp_path, consent=write_consent(tmp_path), persons=["face"])
    assert refuses(ws) == "training"


@pytest.mark.parametrize("persons", [["none"], ["words"], []])
def test_other_data_need_no_consent(ws: gl.Workspace, tmp_path: Path, persons: list[str]) -> None:
    collect(ws, tmp_path, persons=persons)
    begin_training(ws)
    assert list_decisions(ws) == []


@pytest.mark.parametrize(("end", "purposes"), [(ENDED, '"training"'), (SIGNED, '"generation"')])
def test_consents_that_do_not_hold_are_refused(ws: gl.Workspace, tmp_path: Path, end: str, purposes: str) -> None:
    collect(ws, tmp_path, consent=write_consent(tmp_path, end, purposes))
    assert refuses(ws) == "training"
    assert list_decisions(ws) == [("consent-invalid", "refuse", "training")]


def test_a_policy_can_warn_instead(ws: gl.Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect(ws, tmp_path, consent=write_consent(tmp_path, ENDED))
    (ws.folder / "policy.toml").write_text('[consent]\ninvalid = "warn"\n')
    begin_training(ws)
    assert list_decisions(ws) == [("consent-invalid", "warn", "training")]
    assert "Anna Berger" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['[consent]\ninvalid = "forbid"', "[consent]\nneeded = ['soul']", "consent = 3"])
def test_wrong_consent_rules_are_refused(ws: gl.Workspace, text: str) -> None:
    ws.folder.mkdir()
    (ws.folder / "policy.toml").write_text(text)
    with pytest.raises(GenloomError) as caught:
        _ = ws.content_policy
    assert caught.value.code == "trust.bad_policy"


def test_a_withdrawn_consent_stops_training_sharing_and_is_told(ws: gl.Workspace, tmp_path: Path) -> None:
    data = collect(ws, tmp_path, consent=write_consent(tmp_path, purposes='"training", "generation", "sharing"'))
    model = store_model(ws, data)
    [row] = ws.list_consents()
    assert row["state"] == "valid"
    ws.withdraw_consent("letters", "Anna Berger")
    assert [row["state"] for row in ws.list_consents()] == ["withdrawn"]
    assert refuses(ws) == "training"
    with pytest.raises(GenloomError) as caught:
        model.export(tmp_path / "out")
    assert caught.value.code == "trust.consent_refused"
    nodes = ws.trace(model).to_json()["nodes"]
    [facts] = [node["facts"] for node in nodes if node["kind"] == "data"]
    assert [consent["state"] for consent in facts["consents"]] == ["withdrawn"]
    card = ws.card(model)
    assert card.to_json()["persons"][0]["consents"][0]["state"] == "withdrawn"
    assert "Anna Berger" in card.render("md")
    assert ws.card(data).to_json()["persons"][0]["persons"] == ["voice"]


def test_a_base_passes_the_consents_of_its_data_on(ws: gl.Workspace, tmp_path: Path) -> None:
    data = collect(ws, tmp_path, consent=write_consent(tmp_path))
    base = store_model(ws, data)
    collect(ws, tmp_path, persons=["none"])
    tuned = store_model(ws, ws.dataset("letters"), "tuned", parents=[{"ref": base.ref, "digest": base.digest}])
    begin = ws.list_consents
    assert begin() == []  # of the newest version
    ws.remove("data", f"letters/{data.digest[:12]}", force=True)
    from genloom.api.consent import check_model_consent
    from genloom.store.consent import record_withdrawal

    check_model_consent(ws, tuned.ref, "training")
    record_withdrawal(ws.ledger, "letters", "Anna Berger")
    with pytest.raises(GenloomError) as caught:
        check_model_consent(ws, tuned.ref, "training")
    assert caught.value.code == "trust.consent_refused"
    check_model_consent(ws, tuned.ref, "prompt")  # warns only
    assert list_decisions(ws)[-1] == ("consent-invalid", "warn", "prompt")


def test_only_persons_who_consented_can_withdraw(ws: gl.Workspace, tmp_path: Path) -> None:
    collect(ws, tmp_path, consent=write_consent(tmp_path))
    with pytest.raises(GenloomError) as caught:
        ws.withdraw_consent("letters", "Bert")
    assert caught.value.code == "trust.no_consent"
    assert list_decisions(ws) == []


def test_captions_that_name_persons_are_a_sign(ws: gl.Workspace, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(8):
        Image.effect_noise((32, 32), 40 + n).convert("RGB").save(folder / f"{n}.png")
        (folder / f"{n}.txt").write_text("a portrait of Anna Berger" if n == 3 else f"a tree by a river, number {n}")
    ws.collect(folder, name="pictures", val=0.0, test=0.0)
    from genloom.api.consent import check_training_consent

    check_training_consent(ws, "pictures")
    assert list_decisions(ws) == [("consent-unstated", "warn", "training")]
    ws.collect(folder, name="pictures", val=0.0, test=0.0, persons="none")
    check_training_consent(ws, "pictures")
    assert len(list_decisions(ws)) == 1


def test_commands_collect_show_and_withdraw(
    ws: gl.Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(ws.folder))
    collect(ws, tmp_path)
    path = write_consent(tmp_path)
    assert run(["collect", str(tmp_path / "letters"), "--consent", str(path)]) == 0
    capsys.readouterr()
    assert run(["policy", "withdraw", "letters", "--who", "Anna Berger"]) == 0
    capsys.readouterr()
    assert run(["policy", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(row["who"], row["state"]) for row in shown["consents"]] == [("Anna Berger", "withdrawn")]
    assert run(["policy", "withdraw", "letters"]) == 2
    assert run(["policy"]) == 0
    assert "Anna Berger" in capsys.readouterr().out
