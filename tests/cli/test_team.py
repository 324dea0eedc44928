"""A team's ledger on PostgreSQL, through the verbs: rate, learn, promote, roll back."""

import json
from pathlib import Path
from typing import Any

import pytest

from genloom.cli import run
from genloom.generate import engine, output_records
from genloom.model import load_model
from genloom.rate.ratings import record_choice
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace


def test_a_team_rates_learns_and_promotes(
    team_ledger: str,
    trained_copy: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = trained_copy
    model = load_model(workspace, "tales")
    request = engine.build_request([f"Tale {n}\n\n" for n in range(80)], 2, 0, (), {"max_tokens": 4})
    outputs = output_records.store_outputs(workspace, model, request, engine.run_request(model, request))

    def run_verb(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*arguments, "--workspace", str(tmp_path), "--ledger", team_ledger, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert run_verb("rate", outputs[0], "--up", "--rater", "mia")["kind"] == "rating"
    assert run_verb("rate", "tales", "--check", "regex:pattern=[aeiou]{2}")["machine"]
    run_verb("rate", "--pair", outputs[0], outputs[1], "--winner", "a", "--rater", "zoe", "--id", "choice-0")
    ledger = open_ledger(tmp_path, team_ledger)
    for n in range(2, 160, 2):
        record_choice(workspace, ledger, outputs[n], outputs[n + 1], "a", "zoe", id=f"choice-{n}")
    learned = run_verb("learn", "tales", "--steps", "1", "--max-eval-prompts", "2", "--set", "plan.precision=float32")
    assert learned["champion"] == "tales/1"
    version = learned["challenger"].partition("/")[2]
    assert run_verb("promote", "tales", "--to", version)["version"] == int(version)
    assert run_verb("rollback", "tales")["version"] == 1
    assert run_verb("ratings", "verify")["sound"]
    kinds = {event.kind for event in ledger.iter_events()}
    assert {"rating", "choice", "round", "promotion"} <= kinds
    assert not (tmp_path / "ledger.sqlite").exists(), "all of it is on the server"
