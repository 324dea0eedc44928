"""Outputs that were given conditions: their tasks, their preferences and new rollouts keep them."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from genloom.generate import engine, output_records
from genloom.generate.default import SourceEdit
from genloom.learn import eval_prompts
from genloom.learn.rl_env import build_rl_env
from genloom.model import Model, load_model
from genloom.rate.preferences import Preference
from genloom.rate.prompts import build_task, extract_prompt
from genloom.rate.ratings import record_choice
from genloom.store.ledger import open_ledger
from genloom.store.workspace import Workspace
from genloom.train.preference.dataset import PreferenceSides
from genloom.train.run import TrainRequest, train_model
from tests.errors import raises_code

SETTINGS = {
    "codec.name": "bytes",
    "network.name": "transformer",
    "network.width": "16",
    "network.depth": "1",
    "network.heads": "2",
    "context_length": "32",
    "batch_size": "8",
    "conditions.kind.name": "columns",
    "conditions.size.name": "columns",
}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    count = 24
    worlds.store_columns(
        workspace,
        "words",
        {
            "id": [f"{n:064x}" for n in range(count)],
            "text": ["ab" * (n % 5 + 2) for n in range(count)],
            "source": [""] * count,
            "licence": ["CC0-1.0"] * count,
            "split": ["train"] * count,
            "bytes": [10] * count,
            "kind": [("low", "high")[n % 2] for n in range(count)],
            "size": [float(n % 5) for n in range(count)],
        },
    )
    list(train_model(workspace, TrainRequest("words", steps=3, overrides=SETTINGS)))
    return workspace


@pytest.fixture
def model(workspace: Workspace) -> Model:
    return load_model(workspace, "words")


def generate_outputs(workspace: Workspace, model: Model, **given: object) -> list[str]:
    request = engine.build_request([""], 2, 0, (), {"max_tokens": 5}, given=given)
    return output_records.store_outputs(workspace, model, request, engine.run_request(model, request))


def test_the_task_of_an_output_is_what_it_was_given(workspace: Workspace, model: Model) -> None:
    first, second = generate_outputs(workspace, model, kind="low", size=2.0)
    other, _ = generate_outputs(workspace, model, kind="high")
    records = {output: workspace.get_output(output)[1] for output in (first, second, other)}
    assert extract_prompt(records[first]) == extract_prompt(records[second]) == "kind=low\nsize=2"
    assert extract_prompt(records[other]) == "kind=high"
    assert build_task(first, records[first]) == ""
    assert extract_prompt({"prompt": "a fox", "given": {"size": "2"}}) == "a fox\nsize=2"
    ledger = open_ledger(workspace.root)
    assert record_choice(workspace, ledger, first, second, "a", "me")
    with raises_code("rate.different_prompts"):
        record_choice(workspace, ledger, first, other, "a", "me")


def test_preferences_carry_the_conditions_and_the_generated_tokens(workspace: Workspace, model: Model) -> None:
    low, high = generate_outputs(workspace, model, kind="low"), generate_outputs(workspace, model, kind="high")
    pairs = [Preference("", chosen, rejected, 1.0, ()) for chosen, rejected in (low, high)]
    dataset = eval_prompts.build_preference_dataset(workspace, model, pairs)
    assert dataset.answers[0] == tuple(workspace.get_output(low[0])[1]["token_ids"])
    for method in ("dpo", "kto", "weighted"):
        batch = PreferenceSides.from_dataset(method, dataset, 32).build_batch(0, [0, 1])
        assert batch.cond is not None
        assert batch.cond.vector is not None
        assert batch.cond.vector.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert dataset.digest != eval_prompts.build_preference_dataset(workspace, model, pairs[::-1]).digest


def test_a_continued_source_is_the_prompt_of_its_output(workspace: Workspace, model: Model) -> None:
    request = engine.build_request([""], 1, 0, (), {"max_tokens": 5})
    request = replace(request, edit=SourceEdit("abab", (0.5, 1.0)))
    (output,) = output_records.store_outputs(workspace, model, request, engine.run_request(model, request))
    parsed = eval_prompts.parse_eval_prompt(workspace, model, workspace.get_output(output)[1])
    assert model.codec.decode(parsed.prompt_ids[1:]) == "ab"
    assert workspace.get_output(output)[0].read_text() == "ab" + model.codec.decode(parsed.answer_ids)


def test_tokens_of_another_codec_are_encoded_again(workspace: Workspace, model: Model) -> None:
    output, _ = generate_outputs(workspace, model, kind="low")
    record = {**workspace.get_output(output)[1], "codec_digest": "other", "written": "ab", "token_ids": [1, 2]}
    parsed = eval_prompts.parse_eval_prompt(workspace, model, record)
    assert parsed.answer_ids[:2] == tuple(model.codec.encode("ab"))


def test_rollouts_and_new_answers_are_given_the_same(workspace: Workspace, model: Model) -> None:
    outputs = [*generate_outputs(workspace, model, kind="low"), *generate_outputs(workspace, model, kind="high")]
    prompts = eval_prompts.build_eval_prompts(workspace, model, outputs, 10)
    assert [each.prompt for each in prompts] == ["kind=low", "kind=high"]
    environment = build_rl_env(model, prompts, ["length:max_length=9"], None)
    rollouts = environment.sample_rollouts(model, [1, 0], [5, 5])
    assert rollouts.cond is not None
    assert rollouts.cond.vector is not None
    assert rollouts.cond.vector.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert environment.digest != build_rl_env(model, prompts[:1] * 2, ["length:max_length=9"], None).digest
    eval_prompts.generate_answers(workspace, model, prompts, {"use": "test"})
    given = [record["given"] for _, record in workspace.list_records() if record.get("use") == "test"]
    assert given == [{"kind": "low"}, {"kind": "high"}]
