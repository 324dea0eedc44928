"""Stories of learning: a taste is learned and proved, chance is not, a killed round goes on, forgetting is proved."""

import json
import random
import re
import shutil
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.generate import engine
from genloom.learn.label_noise import MISLABELLED_REASON
from genloom.learn.round import LearnRequest, LearnResult, fit_reward_model, learn, split_preferences
from genloom.learn.safeguards.text import AnswerPairs, measure_copying
from genloom.learn.unlearn_document import UnlearnDocumentResult, is_known_document, unlearn_document
from genloom.learn.unlearn_ratings import UnlearnRatingsResult, find_weights_digest, unlearn_ratings
from genloom.model import load_model
from genloom.rate.auto_rater import rate_pairs
from genloom.rate.preferences import build_preferences
from genloom.rate.ratings import record_choice, record_rating
from genloom.rate.report.receipt import from_json, to_text
from genloom.store.dataset_removal import has_document
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.train.events import RunResult, StepMetrics
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.run import PreferenceConfig

TASTE = "regex:pattern=^(The|A|Zo)"  # some of the beginnings of a tale
SLOW = {
    "plan.optimizer.lr_matrix": "3e-4",
    "plan.optimizer.lr_embedding": "3e-4",
    "plan.optimizer.lr_vector": "3e-4",
}  # and so forgets less
CALM = {"plan.precision": "float32", "learning.rpo_alpha": "1.0", **SLOW}


@pytest.fixture(scope="module")
def written(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a model of tales has answered many prompts, some of them in several ways."""
    home = worlds.home(tmp_path_factory.getbasetemp() / "home")
    root = tmp_path_factory.mktemp("written")
    for kind in ("models", "data"):
        shutil.copytree(home.root / kind, root / kind)
    workspace = Workspace(root)
    model = load_model(workspace, "tales")
    asked = engine.build_request(
        [f"Tale {n}\n\n" for n in range(100)], 3, 0, (), {"max_tokens": 10, "temperature": 1.2}
    )
    engine.store_outputs(workspace, model, asked, engine.run_request(model, asked))
    return root


@pytest.fixture
def workspace(written: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(written, tmp_path / "home")
    return Workspace(tmp_path / "home")


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


def groups(workspace: Workspace) -> list[list[tuple[str, str]]]:
    """Outputs and what they say, by prompt."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, record in workspace.list_records():
        found.setdefault(record["prompt"], []).append((path.stem, record["written"]))
    return list(found.values())


def tossed(workspace: Workspace, ledger: Ledger, seed: int, count: int = 80) -> None:
    """Ratings of somebody who answers like a coin."""
    coin = random.Random(seed)
    for group in groups(workspace)[:count]:
        record_choice(workspace, ledger, group[0][0], group[1][0], "a" if coin.random() < 0.5 else "b", "coin")


def learned(workspace: Workspace, ledger: Ledger, **more: Any) -> LearnResult:
    wanted: dict[str, Any] = {"wishes": Budget(steps=60), "overrides": CALM, **more}
    *_, last = learn(workspace, ledger, LearnRequest("tales", **wanted))
    assert isinstance(last, LearnResult)
    return last


def test_a_taste_is_learned_proved_and_put_into_use(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    last = learned(workspace, ledger)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out ratings, by likelihood"].is_better
    assert measures["reward model"].gain > 0
    assert last.receipt.decision.should_promote, to_text(last.receipt)
    assert workspace.get_model("tales").ref == last.receipt.challenger == "tales/2"
    folder = workspace.get_run(last.run).folder
    assert from_json((folder / "receipt.json").read_bytes()) == last.receipt
    assert "judge-regex" in (folder / "receipt.html").read_text()
    *_, entry, promotion = ledger.iter_events()
    assert (entry.kind, promotion.kind) == ("round", "promotion")
    assert entry.body["receipt"] == promotion.body["receipt"] == last.digest
    assert workspace.get_model("tales/2").parent_ref == "tales/1"


def test_the_answers_of_both_versions_are_outputs_that_can_be_replayed(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    last = learned(workspace, ledger, judge=TASTE, budget=Budget(steps=3), answers=12)
    assert "held-out answers, by judge-regex" in {m.name for m in last.receipt.decision.measures}
    made = [(path.stem, record) for path, record in workspace.list_records() if record.get("learn") == last.run]
    by = [[r["request"]["nonces"][r["row"]] for _, r in made if r["model"] == ref] for ref in ("tales/1", "tales/2")]
    assert by[0] == by[1], "the same chance for both"
    assert len(by[0]) == 12
    engine.replay_output(workspace, made[-1][0])


@pytest.mark.parametrize("seed", range(2))
def test_ratings_of_a_coin_put_nothing_into_use(workspace: Workspace, ledger: Ledger, seed: int) -> None:
    tossed(workspace, ledger, seed)
    last = learned(workspace, ledger, budget=Budget(steps=10))
    assert not last.receipt.decision.should_promote
    assert workspace.get_model("tales").ref == "tales/1"


def test_what_the_other_ratings_contradict_is_not_learned_from(workspace: Workspace, ledger: Ledger) -> None:
    draw = random.Random(0)
    for group in groups(workspace):
        good, bad = ([id for id, text in group if bool(re.match(r"The|A|Zo", text)) is met] for met in (True, False))
        if good and bad:
            record_choice(workspace, ledger, good[0], bad[0], "a" if draw.random() > 0.25 else "b", "somebody")
    prefs, champion = build_preferences(workspace, ledger, "tales"), load_model(workspace, "tales")
    told, train, held, _ = fit_reward_model(workspace, champion, prefs, PreferenceConfig())
    every, judging = split_preferences(prefs, "dpo")
    aside = {event for event, reason in told.unused.items() if reason == MISLABELLED_REASON}
    assert aside
    assert {event for pair in train.pairs for event in pair.events} == {
        e for p in every.pairs for e in p.events
    } - aside
    assert held == judging
    told, train, _, _ = fit_reward_model(workspace, champion, prefs, PreferenceConfig(should_filter_noisy_labels=False))
    assert train == every
    assert told == prefs


def test_too_few_ratings_are_refused_with_the_number_that_is_missing(workspace: Workspace, ledger: Ledger) -> None:
    tossed(workspace, ledger, 0, 20)
    with pytest.raises(ValueError, match=r"Rate about \d+ more"):
        learned(workspace, ledger)
    assert not list(workspace.root.glob("models/tales/2"))


def test_one_prompt_to_answer_is_too_few_and_it_is_said_why(workspace: Workspace, ledger: Ledger) -> None:
    tossed(workspace, ledger, 0)
    with pytest.raises(ValueError, match="--max-eval-prompts asks for one"):
        learned(workspace, ledger, answers=1)


def test_a_round_that_was_broken_off_goes_on_to_the_same_bits(workspace: Workspace, ledger: Ledger, tmp_path) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    whole = learned(workspace, ledger, budget=Budget(steps=12))
    wanted = LearnRequest("tales", budget=Budget(steps=12), overrides=CALM)
    begun = learn(other, open_ledger(other.root), wanted)
    for event in begun:
        if isinstance(event, StepMetrics) and event.step == 5:
            break
    begun.close()
    steps = []
    for event in learn(other, open_ledger(other.root), wanted):
        if isinstance(event, StepMetrics):
            steps.append(event.step)
    assert steps == list(range(6, 13))
    assert find_weights_digest(other, "tales/2") == find_weights_digest(workspace, whole.receipt.challenger)
    assert len(other.list_runs()) == len(workspace.list_runs())


def test_a_challenger_that_was_not_judged_yet_is_judged_and_not_trained_again(
    workspace: Workspace, ledger: Ledger
) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    wanted = LearnRequest("tales", budget=Budget(steps=2), overrides=CALM)
    begun = learn(workspace, ledger, wanted)
    assert any(isinstance(event, RunResult) for event in begun)
    begun.close()  # here it is killed
    events = list(learn(workspace, ledger, wanted))
    assert not any(isinstance(event, StepMetrics) for event in events)
    assert isinstance(events[-1], LearnResult)
    assert events[-1].receipt.challenger == "tales/2"
    assert any(isinstance(event, StepMetrics) for event in learn(workspace, ledger, wanted)), "once judged, it is over"


@pytest.mark.parametrize("method", ["kto", "weighted"])
def test_single_thumbs_teach(workspace: Workspace, ledger: Ledger, method: str) -> None:
    for (output, text), *_ in groups(workspace):
        record_rating(workspace, ledger, output, "mia", "thumb", 1 if re.match("The|A|Zo", text) else -1)
    last = learned(
        workspace, ledger, method=method, overrides={**CALM, "learning.replay_weight": "0.0", "learning.beta": "1.0"}
    )
    [proof] = [m for m in last.receipt.decision.measures if m.is_proof]
    assert proof.challenger > 0.6
    assert last.receipt.ratings.unpaired == 100


def test_forgetting_a_rater_equals_never_having_heard_them(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    tossed(workspace, ledger, 3)
    last = learned(workspace, ledger, budget=Budget(steps=8))
    *_, gone = unlearn_ratings(workspace, ledger, "tales", rater="coin")
    assert isinstance(gone, UnlearnRatingsResult)
    assert gone.base_version == "tales/1"
    assert gone.tainted_versions == (last.receipt.challenger,)
    assert len(gone.withdrawn_events) == 80
    assert (
        gone.proof
        == find_weights_digest(workspace, gone.new_version)
        != find_weights_digest(workspace, last.receipt.challenger)
    )
    with pytest.raises(ValueError, match="nothing of 'coin'"):
        list(unlearn_ratings(workspace, ledger, "tales", rater="coin"))


def test_the_verbs_learn_and_forget(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from genloom.cli.app import app

    def said(*words: str) -> Any:
        app([*words, "--workspace", str(workspace.root), "--json"], result_action="return_value")
        return json.loads(capsys.readouterr().out)

    assert said("rate", "tales", "--check", TASTE)["machine"]
    assert said("rate", "tales", "--check", TASTE)["choices"] == 0, "rated already"
    out = tmp_path / "report.html"
    found = said("learn", "tales", "--steps", "2", "--out", str(out))
    assert "Receipt of a learning round" in out.read_text()
    gone = said("forget", "tales", "--rater", "judge-regex")
    assert gone["tainted_versions"] == [found["challenger"]]
    assert gone["new_version"] == "", "nothing else was rated"


def practised(workspace: Workspace, ledger: Ledger, **more: Any) -> LearnResult:
    wanted: dict[str, Any] = {"method": "policy", "rewards": ("model", TASTE), "wishes": Budget(steps=6), "answers": 12}
    overrides = {**CALM, "batch_size": "8", "learning.replay_weight": "0.0"}
    return learned(workspace, ledger, **{**wanted, "overrides": overrides, **more})


def test_practice_goes_on_where_it_was_broken_off_and_its_receipt_says_what_attempts_earned(
    workspace: Workspace, ledger: Ledger, tmp_path: Path
) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    whole = practised(workspace, ledger)
    assert whole.receipt.method["rewards"] == f"model, {TASTE}"
    assert whole.receipt.curve_label == "what the attempts of the step earned"
    overrides = {**CALM, "batch_size": "8", "learning.replay_weight": "0.0"}
    wanted = LearnRequest("tales", "policy", rewards=("model", TASTE), budget=Budget(steps=6), overrides=overrides)
    begun = learn(other, open_ledger(other.root), wanted)
    earned = [event.metrics["reward"] for event in islice((e for e in begun if isinstance(e, StepMetrics)), 3)]
    begun.close()
    assert len(set(earned)) == 3, "every step has attempts of its own"
    *_, last = learn(other, open_ledger(other.root), wanted)
    assert isinstance(last, LearnResult)
    assert find_weights_digest(other, last.receipt.challenger) == find_weights_digest(
        workspace, whole.receipt.challenger
    )
    assert find_weights_digest(workspace, whole.receipt.challenger) != find_weights_digest(workspace, "tales/1")


@pytest.mark.slow
def test_practice_makes_likelier_what_its_judge_rewards(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    overrides = {**CALM, "batch_size": "32", "learning.replay_weight": "0.0", "plan.optimizer.lr_matrix": "1e-3"}
    last = practised(workspace, ledger, rewards=(TASTE,), budget=Budget(steps=40), overrides=overrides, judge=TASTE)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by judge-regex"].challenger > 0.55, to_text(last.receipt)
    assert last.receipt.curve[-1].agreement > last.receipt.curve[0].agreement


def test_practice_without_a_judge_that_can_be_had_is_refused(workspace: Workspace, ledger: Ledger) -> None:
    for (output, text), *_ in groups(workspace):
        record_rating(workspace, ledger, output, "mia", "thumb", 1 if re.match("The|A|Zo", text) else -1)
    with pytest.raises(ValueError, match="A reward model is fitted to pairs"):
        practised(workspace, ledger)
    with pytest.raises(ValueError, match="attempts come in groups: set a multiple of 4"):
        practised(workspace, ledger, rewards=(TASTE,), overrides={"batch_size": "6"})


def test_without_learning_the_reward_model_chooses(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    entries = len(list(ledger.iter_events()))
    last = learned(workspace, ledger, method="none", judge=TASTE, best_of=4, answers=12)
    best, first = last.receipt.baseline
    assert best.name == "best of 4, by judge-regex"
    assert first.name.startswith("first good one, of ")
    assert not best.is_proof
    assert last.receipt.champion == last.receipt.challenger == "tales/1"
    assert "Nothing was learned; tales/1 stays in use." in to_text(last.receipt)
    assert "Without learning" in (workspace.get_run(last.run).folder / "receipt.html").read_text()
    assert len(list(ledger.iter_events())) == entries + 1, "that tales/1 is in use, and nothing else"


def test_a_judge_is_asked_about_prompts_that_nobody_rated(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    prompts = ("Tale 5\n\n", *(f"Tale {n}\n\n" for n in range(200, 230)))
    last = learned(workspace, ledger, judge=TASTE, budget=Budget(steps=2), answers=12, prompts=prompts, best_of=2)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by judge-regex"].count == 42, "the one that was rated is left out"
    assert last.receipt.baseline[0].name == "best of 2, by judge-regex"


def test_a_few_words_that_anybody_says_are_no_copy(workspace: Workspace) -> None:
    model = load_model(workspace, "tales")
    read = max((item.value for item in workspace.get_dataset("tales").iter_documents("train")), key=len)
    [found] = measure_copying(
        workspace, model, AnswerPairs([], [read[:3], read[5:8]], [read[:100], "3" + read[100:200]])
    )
    assert found.champion == 0
    assert found.challenger > 0.9


def test_each_further_challenger_of_a_champion_has_to_show_more(workspace: Workspace, ledger: Ledger) -> None:
    tossed(workspace, ledger, 0)
    alphas = [
        next(m.alpha for m in learned(workspace, ledger, budget=Budget(steps=1), answers=2).receipt.decision.measures)
        for _ in range(2)
    ]
    assert alphas == [0.05, 0.025]


def test_forgetting_a_document_equals_never_having_read_it(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    last = learned(workspace, ledger, budget=Budget(steps=1), answers=2)
    before = workspace.get_dataset("tales")
    item = next(iter(before.iter_documents("train"))).meta["id"]
    assert is_known_document(workspace, item)
    *_, gone = unlearn_document(workspace, ledger, "tales", item)
    assert isinstance(gone, UnlearnDocumentResult)
    assert gone.tainted_versions == ("tales/1", "masks/1", last.receipt.challenger)
    assert gone.active_tainted_versions == ("masks/1",)
    assert workspace.get_model("tales").ref == gone.new_version
    assert gone.proof == find_weights_digest(workspace, gone.new_version) != find_weights_digest(workspace, "tales/1")
    data = workspace.get_dataset("tales")
    assert (data.digest, data.count_documents("train")) == (gone.data_digest, before.count_documents("train") - 1)
    assert not has_document(data, item)
    assert [entry.body["item"] for entry in ledger.iter_events(["forgetting"])] == [item]
    with pytest.raises(ValueError, match="No version of 'masks' saw the document nothing; no model did"):
        list(unlearn_document(workspace, ledger, "masks", "nothing"))
