"""/v1/fine_tuning: the official client trains on conversations and teaches with pairs; wrong files are refused."""

import json
import time
from typing import Any

import httpx2
import openai
import pytest

from genloom.generate.output_records import replay_output
from tests.errors import raises_code
from tests.server.openai.conftest import RunningServer

KINGS = ("Arthur", "Alfred", "Canute", "Offa", "Harold")


def talk(number: int) -> dict[str, Any]:
    king = KINGS[number % len(KINGS)]
    question = {"role": "user", "content": f"Who rules in year {number}?"}
    return {"messages": [question, {"role": "assistant", "content": f"{king} rules in year {number}."}]}


def pair(number: int) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": f"Who rules in year {number}?"}]},
        "preferred_output": [{"role": "assistant", "content": f"{KINGS[number % 5]} rules."}],
        "non_preferred_output": [{"role": "assistant", "content": f"Nobody knows who rules, {number} times."}],
    }


def to_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def wait_for_end(client: openai.OpenAI, id: str, seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while (job := client.fine_tuning.jobs.retrieve(id)).status not in ("succeeded", "failed", "cancelled"):
        assert time.monotonic() < deadline, job
        time.sleep(0.3)
    return job


@pytest.fixture
def official(api: RunningServer) -> Any:
    with openai.OpenAI(base_url=api.base_url, api_key=api.key, max_retries=0, timeout=600) as client:
        yield client


@pytest.mark.parametrize(
    ("param", "code", "rows", "changes"),
    [
        ("training_file", "server.bad_training_row", [talk(1), {"text": "x"}], {}),
        ("training_file", "server.no_rows", [], {}),
        ("training_file", "server.bad_training_row", [talk(1)], {"method": {"type": "dpo"}}),
        ("method", "unsupported_parameter", [talk(1)], {"method": {"type": "reinforcement"}}),
        ("learning_rate_multiplier", "unsupported_parameter", [talk(1)],
         {"hyperparameters": {"learning_rate_multiplier": 2}}),
        ("model", "model_not_found", [talk(1)], {"model": "gpt-4o-mini"}),
        ("training_file", "server.unknown_training_file", [talk(1)], {"training_file": "file-abc"}),
        ("suffix", "server.bad_value", [talk(1)], {"suffix": "../x"}),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(
    client: httpx2.Client, param: str, code: str, rows: list[Any], changes: dict[str, Any]
) -> None:
    upload: Any = {"files": {"file": ("a.jsonl", to_lines(rows))}, "data": {"purpose": "fine-tune"}}
    file = client.post("/v1/files", **upload).json()["id"]
    body = {"model": "tales", "training_file": file, **changes}
    response = client.post("/v1/fine_tuning/jobs", json=body)
    error = response.json()["error"]
    assert (response.status_code // 100, error["param"], error["code"]) == (4, param, code), error
    assert client.get("/v1/fine_tuning/jobs/ftjob-abc").status_code == 404


def test_a_fine_tuning_is_seen_by_its_owner_and_can_be_cancelled(api: RunningServer, official: openai.OpenAI) -> None:
    file = official.files.create(file=("a.jsonl", to_lines([talk(n) for n in range(20)])), purpose="fine-tune")
    job = official.fine_tuning.jobs.create(model="tales", training_file=file.id, seed=3)
    assert (job.object, job.model, job.seed) == ("fine_tuning.job", "tales/1", 3)
    assert job.status in ("validating_files", "queued", "running")
    assert job.id in [each.id for each in official.fine_tuning.jobs.list(limit=1)]
    with api.open(api.other_key) as other:
        assert other.get(f"/v1/fine_tuning/jobs/{job.id}").status_code == 404
    official.fine_tuning.jobs.cancel(job.id)
    assert wait_for_end(official, job.id).status == "cancelled"
    assert official.fine_tuning.jobs.list_events(job.id).data
    assert official.fine_tuning.jobs.checkpoints.list(job.id).data == []


@pytest.mark.slow
def test_the_official_client_trains_a_model_and_uses_it(official: openai.OpenAI) -> None:
    file = official.files.create(file=("a.jsonl", to_lines([talk(n) for n in range(60)])), purpose="fine-tune")
    job = official.fine_tuning.jobs.create(
        model="tales", training_file=file.id, suffix="kings", hyperparameters={"n_epochs": 1}, seed=1
    )
    job = wait_for_end(official, job.id)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model == "kings/1"
    answer = official.chat.completions.create(
        model="kings/1", messages=[{"role": "user", "content": "Who rules in year 3?"}], max_tokens=20
    )
    assert answer.model == "kings/1"
    assert len(official.fine_tuning.jobs.list_events(job.id).data) > 1


@pytest.mark.slow
def test_the_official_client_teaches_a_model_with_pairs(api: RunningServer, official: openai.OpenAI) -> None:
    file = official.files.create(file=("a.jsonl", to_lines([pair(n) for n in range(80)])), purpose="fine-tune")
    job = official.fine_tuning.jobs.create(
        model="tales", training_file=file.id, method={"type": "dpo"}, extra_body={"minutes": 0.1}
    )
    job = wait_for_end(official, job.id)
    assert job.status == "succeeded", job.error
    assert (job.fine_tuned_model or "").startswith("tales/")
    choices = [event for event in api.workspace.ledger.iter_events() if event.id.startswith(job.id)]
    assert len(choices) == 80
    output = choices[0].body["a"]
    assert api.workspace.output(output).continuation.endswith("rules.")
    with raises_code("generate.no_replay_record"):
        replay_output(api.workspace.store, output)
