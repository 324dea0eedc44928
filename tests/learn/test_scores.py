"""Stories of learning from scores: no ratings are needed, the gate decides, stopped rounds resume to the same bits."""

import shutil
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.api.learning import iter_learn
from genloom.learn.round import LearnRequest, LearnResult
from genloom.learn.scores import learn_from_scores
from genloom.learn.unlearn_ratings import find_weights_digest
from genloom.rate.report.receipt import from_json, to_json, to_text
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.train.events import StepMetrics
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.score_memory import ScoreMemory
from genloom.train.preference.stage import MEMORY_FILE
from tests.errors import raises_code

REWARD = "regex:pattern=^(The|A|Zo)"
OVERRIDES = {
    "plan.precision": "float32",
    "batch_size": "12",
    "learning.num_replayed": "4",
    "learning.family_size": "0",
    **{f"plan.optimizer.lr_{kind}": "1e-3" for kind in ("matrix", "embedding", "vector")},
}
PROMPTS = tuple(f"Tale {n}\n\n" for n in range(40))


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Workspace:
    home = worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")
    for kind in ("models", "data"):
        shutil.copytree(home.root / kind, tmp_path / "home" / kind)
    return Workspace(tmp_path / "home")


def build_request(**options: Any) -> LearnRequest:
    defaults: dict[str, Any] = {
        "method": "reinvent",
        "rewards": (REWARD,),
        "extra_prompts": PROMPTS,
        "budget": Budget(steps=6),
        "max_eval_prompts": 10,
        "overrides": OVERRIDES,
    }
    return LearnRequest("tales", **{**defaults, **options})


def run_round(workspace: Workspace, ledger: Ledger, **options: Any) -> LearnResult:
    *_, last = learn_from_scores(workspace, ledger, build_request(**options))
    assert isinstance(last, LearnResult)
    return last


@pytest.mark.slow
def test_a_stopped_round_resumes_to_the_same_bits_with_its_memory(workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    complete = run_round(workspace, open_ledger(workspace.root))
    stopped = learn_from_scores(other, open_ledger(other.root), build_request())
    rewards = [event.metrics["reward"] for event in islice((e for e in stopped if isinstance(e, StepMetrics)), 3)]
    stopped.close()
    assert len(set(rewards)) > 1
    *_, last = learn_from_scores(other, open_ledger(other.root), build_request())
    assert isinstance(last, LearnResult)
    digests = [find_weights_digest(ws, each.receipt.challenger) for ws, each in ((workspace, complete), (other, last))]
    assert digests[0] == digests[1]
    memories = [
        ScoreMemory.open(ws.get_run(each.run).folder / MEMORY_FILE).samples
        for ws, each in ((workspace, complete), (other, last))
    ]
    assert memories[0] == memories[1]
    assert 8 <= len(memories[0]) <= 6 * 8


def test_the_receipt_counts_scored_outputs_and_compares_held_out_answers(workspace: Workspace) -> None:
    receipt = run_round(workspace, open_ledger(workspace.root), calls=24).receipt
    assert receipt.method["scored outputs"] in range(1, 25)
    assert receipt.cost.steps == 3
    assert [m.name for m in receipt.decision.measures if m.is_proof] == ["held-out answers, by check-regex"]
    assert "scored output" in to_text(receipt)
    assert from_json(to_json(receipt)) == receipt
    assert receipt.ratings.total == 0


@pytest.mark.slow
def test_draws_without_a_prompt_are_enough(workspace: Workspace) -> None:
    receipt = run_round(workspace, open_ledger(workspace.root), extra_prompts=(), budget=Budget(steps=2)).receipt
    assert receipt.decision.measures[0].count == 10


@pytest.mark.slow
def test_scores_rise_and_the_challenger_is_promoted(workspace: Workspace) -> None:
    receipt = run_round(
        workspace, open_ledger(workspace.root), budget=Budget(steps=60), max_eval_prompts=48,
        overrides={**OVERRIDES, "batch_size": "40", "learning.num_replayed": "8"},
    ).receipt  # fmt: skip
    proof = next(m for m in receipt.decision.measures if m.is_proof)
    assert proof.challenger > 0.55, to_text(receipt)
    assert receipt.curve[-1].agreement > receipt.curve[0].agreement


def test_what_cannot_be_scored_is_refused_before_any_work(workspace: Workspace) -> None:
    ledger = open_ledger(workspace.root)
    with raises_code("learn.reward_not_a_check"):
        run_round(workspace, ledger, rewards=("model",))
    with raises_code("learn.too_few_calls", minimum=8):
        run_round(workspace, ledger, calls=5)
    with raises_code("learn.too_few_scored_prompts"):
        run_round(workspace, ledger, extra_prompts=("Tale 1", "Tale 2"))
    with raises_code("train.no_rollouts"):
        run_round(workspace, ledger, overrides={**OVERRIDES, "learning.num_replayed": "12"})
    assert workspace.list_runs() == []


def test_a_goal_chooses_the_method(workspace: Workspace) -> None:
    from genloom.api.workspace import Workspace as ApiWorkspace

    model = ApiWorkspace(workspace.root).model("tales")
    with raises_code("learn.goal_without_policy"):
        iter_learn(model, goal="logp<2", method="dpo")
    with raises_code("learn.goal_without_policy"):
        iter_learn(model, calls=100, method="grpo")
    with raises_code("rate.check_of_other_medium", check="goal"):  # tales are text
        next(iter(event for event in iter_learn(model, goal="logp<2") if isinstance(event, StepMetrics)))
