"""Stories of learning: a preference is learned and proved, noise is not, rounds resume, unlearning is exact."""

import json
import random
import re
import shutil
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.errors import format_message
from genloom.generate import engine, output_records
from genloom.learn import round as learning_round
from genloom.learn.build_receipt import hide_login_name
from genloom.learn.comparison import AnswerPairs
from genloom.learn.label_noise import MISLABELLED_REASON
from genloom.learn.round import LearnRequest, LearnResult, learn
from genloom.learn.safeguards.text import measure_copying
from genloom.learn.training_data import fit_reward_model, split_preferences
from genloom.learn.unlearn_document import UnlearnDocumentResult, is_known_document, unlearn_document
from genloom.learn.unlearn_ratings import UnlearnRatingsResult, find_weights_digest, unlearn_ratings
from genloom.model import load_model
from genloom.rate.auto_rater import rate_pairs
from genloom.rate.preferences import build_preferences
from genloom.rate.promotion import promote_version, roll_back_version
from genloom.rate.ratings import record_choice, record_rating, withdraw_rating
from genloom.rate.report.receipt import from_json, to_text
from genloom.store.dataset_removal import has_document
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.lineage import find_trained_versions
from genloom.store.workspace import Workspace
from genloom.train.events import RunResult, RunWarning, Status, StepMetrics
from genloom.train.planning.auto_config import Budget
from genloom.train.preference.config import PreferenceConfig
from tests.errors import raises_code

PREFERENCE = "regex:pattern=^(The|A|Zo)"  # some of the beginnings of a tale
SLOW = {
    "plan.optimizer.lr_matrix": "3e-4",
    "plan.optimizer.lr_embedding": "3e-4",
    "plan.optimizer.lr_vector": "3e-4",
}  # forgets less
OVERRIDES = {"plan.precision": "float32", "learning.rpo_alpha": "1.0", **SLOW}


@pytest.fixture(scope="module")
def text_workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three outputs of a model of tales for each of many prompts."""
    home = worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")
    root = tmp_path_factory.mktemp("text")
    for kind in ("models", "data"):
        shutil.copytree(home.root / kind, root / kind)
    workspace = Workspace(root)
    model = load_model(workspace, "tales")
    request = engine.build_request(
        [f"Tale {n}\n\n" for n in range(100)], 3, 0, (), {"max_tokens": 10, "temperature": 1.2}
    )
    output_records.store_outputs(workspace, model, request, engine.run_request(model, request))
    return root


@pytest.fixture
def workspace(text_workspace: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(text_workspace, tmp_path / "home")
    return Workspace(tmp_path / "home")


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


def group_outputs(workspace: Workspace) -> list[list[tuple[str, str]]]:
    """Output ids and texts, by prompt."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, record in workspace.list_records():
        groups.setdefault(record["prompt"], []).append((path.stem, record["written"]))
    return list(groups.values())


def rate_randomly(workspace: Workspace, ledger: Ledger, seed: int, count: int = 80) -> None:
    """Random choices."""
    coin = random.Random(seed)
    for group in group_outputs(workspace)[:count]:
        record_choice(workspace, ledger, group[0][0], group[1][0], "a" if coin.random() < 0.5 else "b", "coin")


def run_round(workspace: Workspace, ledger: Ledger, **options: Any) -> LearnResult:
    # 50 steps: at 60 the general text of this tiny model is worse by 0.0074 bits a byte, just significant (docs/log.md)
    options = {"budget": Budget(steps=50), "overrides": OVERRIDES, **options}
    *_, last = learn(workspace, ledger, LearnRequest("tales", **options))
    assert isinstance(last, LearnResult)
    return last


def test_a_preference_is_learned_proved_and_promoted(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    last = run_round(workspace, ledger)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out ratings, by likelihood"].is_better
    assert measures["reward model"].gain > 0
    assert last.receipt.decision.should_promote, to_text(last.receipt)
    assert workspace.get_model("tales").ref == last.receipt.challenger == "tales/2"
    folder = workspace.get_run(last.run).folder
    assert from_json((folder / "receipt.json").read_bytes()) == last.receipt
    assert "check-regex" in (folder / "receipt.html").read_text()
    *_, entry, promotion = ledger.iter_events()
    assert (entry.kind, promotion.kind) == ("round", "promotion")
    assert entry.body["receipt"] == promotion.body["receipt"] == last.digest
    assert workspace.get_model("tales/2").parent_ref == "tales/1"
    assert not workspace.get_model("tales/2").has_learned_roles, "nor has its base"


def test_answers_of_both_versions_can_be_replayed(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    last = run_round(workspace, ledger, check=PREFERENCE, budget=Budget(steps=3), max_eval_prompts=12)
    assert "held-out answers, by check-regex" in {m.name for m in last.receipt.decision.measures}
    answers = [(path.stem, record) for path, record in workspace.list_records() if record.get("learn") == last.run]
    nonces = [
        [r["request"]["nonces"][r["row"]] for _, r in answers if r["model"] == ref] for ref in ("tales/1", "tales/2")
    ]
    assert nonces[0] == nonces[1], "the same nonces for both"
    assert len(nonces[0]) == 12
    output_records.replay_output(workspace, answers[-1][0])


@pytest.mark.slow
def test_random_ratings_promote_nothing(text_workspace: Path, tmp_path: Path) -> None:
    """Nothing but by chance: the gate allows one round in twenty, so two of three would be a fault of the gate.

    Which round, if any, differs with the last bits of a processor; `bench/loop.py coin` counts over forty rounds.
    """
    promoted = []
    for seed in range(3):
        shutil.copytree(text_workspace, tmp_path / str(seed))
        workspace = Workspace(tmp_path / str(seed))
        ledger = open_ledger(workspace.root)
        rate_randomly(workspace, ledger, seed)
        last = run_round(workspace, ledger, budget=Budget(steps=10))
        promoted.append(last.receipt.decision.should_promote)
        assert workspace.get_model("tales").ref == ("tales/2" if promoted[-1] else "tales/1")
    assert sum(promoted) <= 1


def test_noisy_labels_are_not_trained_on(workspace: Workspace, ledger: Ledger) -> None:
    rng = random.Random(0)
    for group in group_outputs(workspace):
        good, bad = (
            [id for id, text in group if bool(re.match(r"The|A|Zo", text)) is matching] for matching in (True, False)
        )
        if good and bad:
            record_choice(workspace, ledger, good[0], bad[0], "a" if rng.random() > 0.25 else "b", "somebody")
    prefs, champion = build_preferences(workspace, ledger, "tales"), load_model(workspace, "tales")
    preferences, train, held, _ = fit_reward_model(workspace, champion, prefs, PreferenceConfig())
    all_train, all_held = split_preferences(prefs, "dpo")
    noisy = {event for event, reason in preferences.unused.items() if reason == MISLABELLED_REASON}
    assert noisy
    assert {event for pair in train.pairs for event in pair.events} == {
        e for p in all_train.pairs for e in p.events
    } - noisy
    assert held == all_held
    preferences, train, _, _ = fit_reward_model(
        workspace, champion, prefs, PreferenceConfig(should_filter_noisy_labels=False)
    )
    assert train == all_train
    assert preferences == prefs


def test_too_few_ratings_are_refused(workspace: Workspace, ledger: Ledger) -> None:
    rate_randomly(workspace, ledger, 0, 20)
    with raises_code("rate.too_few_preferences"):
        run_round(workspace, ledger)
    assert not list(workspace.root.glob("models/tales/2"))


def test_a_single_eval_prompt_is_refused(workspace: Workspace, ledger: Ledger) -> None:
    rate_randomly(workspace, ledger, 0)
    with raises_code("learn.max_eval_prompts_too_small", value=1):
        run_round(workspace, ledger, max_eval_prompts=1)


def test_an_interrupted_round_is_resumed_to_the_same_weights(workspace: Workspace, ledger: Ledger, tmp_path) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    complete = run_round(workspace, ledger, budget=Budget(steps=12))
    request = LearnRequest("tales", budget=Budget(steps=12), overrides=OVERRIDES)
    interrupted = learn(other, open_ledger(other.root), request)
    for event in interrupted:
        if isinstance(event, StepMetrics) and event.step == 5:
            break
    interrupted.close()
    steps = []
    for event in learn(other, open_ledger(other.root), request):
        if isinstance(event, StepMetrics):
            steps.append(event.step)
    assert steps == list(range(6, 13))
    assert find_weights_digest(other, "tales/2") == find_weights_digest(workspace, complete.receipt.challenger)
    assert len(other.list_runs()) == len(workspace.list_runs())


def test_a_challenger_that_was_not_measured_is_measured_without_retraining(
    workspace: Workspace, ledger: Ledger
) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    request = LearnRequest("tales", budget=Budget(steps=2), overrides=OVERRIDES)
    interrupted = learn(workspace, ledger, request)
    assert any(isinstance(event, RunResult) for event in interrupted)
    interrupted.close()  # killed here
    events = list(learn(workspace, ledger, request))
    assert not any(isinstance(event, StepMetrics) for event in events)
    assert isinstance(events[-1], LearnResult)
    assert events[-1].receipt.challenger == "tales/2"
    assert any(isinstance(event, StepMetrics) for event in learn(workspace, ledger, request)), (
        "once measured, the round is complete"
    )


@pytest.mark.parametrize("method", ["kto", pytest.param("weighted", marks=pytest.mark.slow)])
def test_single_thumbs_train(workspace: Workspace, ledger: Ledger, method: str) -> None:
    for (output, text), *_ in group_outputs(workspace):
        record_rating(workspace, ledger, output, "mia", "thumb", 1 if re.match("The|A|Zo", text) else -1)
    last = run_round(
        workspace,
        ledger,
        method=method,
        overrides={**OVERRIDES, "learning.replay_weight": "0.0", "learning.beta": "1.0"},
    )
    [proof] = [m for m in last.receipt.decision.measures if m.is_proof]
    assert proof.challenger > 0.6
    assert last.receipt.ratings.unpaired == 100


def test_forgetting_a_rater_equals_never_having_had_their_ratings(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    rate_randomly(workspace, ledger, 3)
    last = run_round(workspace, ledger, budget=Budget(steps=8))
    *_, unlearned = unlearn_ratings(workspace, ledger, "tales", rater="coin")
    assert isinstance(unlearned, UnlearnRatingsResult)
    assert unlearned.base_version == "tales/1"
    assert unlearned.tainted_versions == (last.receipt.challenger,)
    assert len(unlearned.withdrawn_events) == 80
    assert (
        unlearned.proof
        == find_weights_digest(workspace, unlearned.new_version)
        != find_weights_digest(workspace, last.receipt.challenger)
    )
    assert unlearned.active_tainted_versions == ()
    with raises_code("learn.already_forgotten", name="coin"):
        list(unlearn_ratings(workspace, ledger, "tales", rater="coin"))
    with raises_code("learn.no_ratings_of", name="nobody"):
        list(unlearn_ratings(workspace, ledger, "tales", rater="nobody"))
    with raises_code("learn.unknown_item", name="nothing"):
        list(unlearn_ratings(workspace, ledger, "tales", item="nothing"))


def get_number(ref: str) -> int:
    return int(ref.partition("/")[2])


@pytest.mark.slow
def test_what_forgetting_trained_is_itself_forgotten(workspace: Workspace, ledger: Ledger) -> None:
    """Versions that unlearning trained on all other ratings learned from those, as any round does."""
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    rate_randomly(workspace, ledger, 3)
    challenger = run_round(workspace, ledger, budget=Budget(steps=2)).receipt.challenger
    promote_version(workspace, ledger, "tales", get_number(challenger), "person")
    *_, first = unlearn_ratings(workspace, ledger, "tales", rater="coin")
    assert isinstance(first, UnlearnRatingsResult)
    assert workspace.get_model("tales").ref == "tales/1", "the version that was trained on them is not in use"
    promote_version(workspace, ledger, "tales", get_number(first.new_version), "person")
    with workspace.create_model("other") as folder:
        (folder / "card.json").write_text(json.dumps({"parents": [{"ref": first.new_version}]}))
    *_, second = unlearn_ratings(workspace, ledger, "tales", rater="check-regex")
    assert isinstance(second, UnlearnRatingsResult)
    assert second.tainted_versions == ("other/1", challenger, first.new_version)
    assert (second.new_version, second.active_tainted_versions) == ("", ("other/1",))
    assert workspace.get_model("tales").ref == "tales/1"
    for ref in second.tainted_versions:
        name, _, version = ref.partition("/")
        with raises_code("rate.trained_on_withdrawn", version=ref):
            promote_version(workspace, ledger, name, int(version), "person")
    with raises_code("rate.trained_on_withdrawn", version=first.new_version):
        roll_back_version(workspace, ledger, "tales")
    promote_version(workspace, ledger, "tales", get_number(challenger), "person", allow_withdrawn=True)
    assert workspace.get_model("tales").ref == challenger
    list(unlearn_ratings(workspace, ledger, "tales", rater="check-regex"))
    assert workspace.get_model("tales").ref == "tales/1", "in use again, and forgotten again"


def test_ratings_that_were_withdrawn_before_are_forgotten_too(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    challenger = run_round(workspace, ledger, budget=Budget(steps=2)).receipt.challenger
    promote_version(workspace, ledger, "tales", get_number(challenger), "person")
    [entry] = ledger.iter_events(["round"])
    events = entry.body["used"]
    for event in events[:2]:
        withdraw_rating(ledger, event)
    assert find_trained_versions(workspace, ledger, events[:1]) == [challenger]
    *_, unlearned = unlearn_ratings(workspace, ledger, "tales", rater="check-regex")
    assert isinstance(unlearned, UnlearnRatingsResult)
    assert unlearned.tainted_versions == (challenger,)
    assert workspace.get_model("tales").ref == "tales/1"


def test_a_receipt_does_not_give_the_name_of_this_machines_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "jsmith")
    assert hide_login_name({"jsmith": 1.0, "zoe": 0.5}) == {"you": 1.0, "zoe": 0.5}
    assert hide_login_name({"zoe": 0.5}) == {"zoe": 0.5}
    assert hide_login_name({"jsmith": 1.0, "you": 0.5}) == {"this machine's user": 1.0, "you": 0.5}


def test_a_version_that_used_none_of_the_ratings_stays_in_use(
    workspace: Workspace, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single thumbs have no part in a round of dpo; earlier versions recorded that they had."""
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    output = workspace.save_output("x", ".txt", {"model": "tales/1", "prompt": "Another", "written": "x"})
    record_rating(workspace, ledger, output, "mia", "thumb", 1)
    challenger = run_round(workspace, ledger, method="dpo", budget=Budget(steps=2)).receipt.challenger
    promote_version(workspace, ledger, "tales", get_number(challenger), "person")
    [entry] = ledger.iter_events(["round"])
    *_, unlearned = unlearn_ratings(workspace, ledger, "tales", rater="mia")
    assert isinstance(unlearned, UnlearnRatingsResult)
    assert (unlearned.tainted_versions, unlearned.new_version) == ((), "")
    assert workspace.get_model("tales").ref == unlearned.base_version == challenger

    record_rating(workspace, ledger, output, "zoe", "thumb", 1)
    thumb = [event.id for event in ledger.iter_events(["rating"])][-1]
    ledger.append("round", {**entry.body, "used": [*entry.body["used"], thumb]})
    *_, unlearned = unlearn_ratings(workspace, ledger, "tales", rater="zoe")
    assert isinstance(unlearned, UnlearnRatingsResult)
    assert (unlearned.tainted_versions, unlearned.new_version) == ((), challenger)
    assert unlearned.proof == find_weights_digest(workspace, challenger)
    assert workspace.get_model("tales").ref == challenger


def test_the_commands_learn_and_forget(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from genloom.cli.app import app

    def run_json(*words: str) -> Any:
        app([*words, "--workspace", str(workspace.root), "--json"], result_action="return_value")
        return json.loads(capsys.readouterr().out)

    assert run_json("rate", "tales", "--check", PREFERENCE)["machine"]
    assert run_json("rate", "tales", "--check", PREFERENCE)["choices"] == 0, "already rated"
    out = tmp_path / "report.html"
    learned = run_json("learn", "tales", "--steps", "2", "--out", str(out))
    assert "Receipt of a learning round" in out.read_text()
    [entry] = open_ledger(workspace.root).iter_events(["round"])
    assert run_json("ratings", "withdraw", entry.body["used"][0])["trained_versions"] == [learned["challenger"]]
    forgotten = run_json("forget", "tales", "--rater", "check-regex")
    assert forgotten["tainted_versions"] == [learned["challenger"]]
    assert forgotten["new_version"] == "", "no other ratings"


def test_a_round_with_minutes_says_how_much_of_them_is_for_training(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    events = learn(workspace, ledger, LearnRequest("tales", budget=Budget(minutes=2), overrides=OVERRIDES))
    text = next(event.text for event in events if isinstance(event, Status) and "Training" in event.text)
    events.close()
    training, whole = re.findall(r"[\d.]+ (?:min \d+ )?s", text)
    assert whole == "2 min 0 s"
    assert training in [f"1 min {seconds} s" for seconds in range(13)], "measuring takes two fifths"


def run_grpo(workspace: Workspace, ledger: Ledger, **options: Any) -> LearnResult:
    defaults: dict[str, Any] = {
        "method": "grpo",
        "rewards": ("model", PREFERENCE),
        "budget": Budget(steps=6),
        "max_eval_prompts": 12,
    }
    overrides = {**OVERRIDES, "batch_size": "8", "learning.replay_weight": "0.0"}
    return run_round(workspace, ledger, **{**defaults, "overrides": overrides, **options})


@pytest.mark.slow
def test_interrupted_grpo_is_resumed_and_its_receipt_shows_rewards(
    workspace: Workspace, ledger: Ledger, tmp_path: Path
) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    complete = run_grpo(workspace, ledger)
    assert complete.receipt.method["rewards"] == f"model, {PREFERENCE}"
    assert complete.receipt.curve_label == "mean reward of the step's rollouts"
    overrides = {**OVERRIDES, "batch_size": "8", "learning.replay_weight": "0.0"}
    request = LearnRequest("tales", "grpo", rewards=("model", PREFERENCE), budget=Budget(steps=6), overrides=overrides)
    interrupted = learn(other, open_ledger(other.root), request)
    rewards = [event.metrics["reward"] for event in islice((e for e in interrupted if isinstance(e, StepMetrics)), 3)]
    interrupted.close()
    assert len(set(rewards)) == 3, "every step has its own rollouts"
    *_, last = learn(other, open_ledger(other.root), request)
    assert isinstance(last, LearnResult)
    assert find_weights_digest(other, last.receipt.challenger) == find_weights_digest(
        workspace, complete.receipt.challenger
    )
    assert find_weights_digest(workspace, complete.receipt.challenger) != find_weights_digest(workspace, "tales/1")


@pytest.mark.slow
def test_grpo_increases_the_reward(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    overrides = {**OVERRIDES, "batch_size": "32", "learning.replay_weight": "0.0", "plan.optimizer.lr_matrix": "1e-3"}
    last = run_grpo(
        workspace, ledger, rewards=(PREFERENCE,), budget=Budget(steps=40), overrides=overrides, check=PREFERENCE
    )
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by check-regex"].challenger > 0.55, to_text(last.receipt)
    assert last.receipt.curve[-1].agreement > last.receipt.curve[0].agreement


def test_grpo_without_an_available_reward_is_refused(workspace: Workspace, ledger: Ledger) -> None:
    for (output, text), *_ in group_outputs(workspace):
        record_rating(workspace, ledger, output, "mia", "thumb", 1 if re.match("The|A|Zo", text) else -1)
    with raises_code("learn.no_reward_model"):
        run_grpo(workspace, ledger)
    with raises_code("train.uneven_groups", multiple=4):
        run_grpo(workspace, ledger, rewards=(PREFERENCE,), overrides={"batch_size": "6"})


def test_without_training_the_reward_model_chooses(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    num_entries = len(list(ledger.iter_events()))
    last = run_round(workspace, ledger, method="none", check=PREFERENCE, best_of=4, max_eval_prompts=12)
    best, first = last.receipt.baseline
    assert best.name == "best of 4, by check-regex"
    assert first.name.startswith("first above the median")
    assert not best.is_proof
    assert last.receipt.champion == last.receipt.challenger == "tales/1"
    assert "tales/1 stays in use" in to_text(last.receipt)
    assert best.name in (workspace.get_run(last.run).folder / "receipt.html").read_text()
    assert len(list(ledger.iter_events())) == num_entries + 1, "only that tales/1 is in use"


def test_best_of_n_without_a_reward_model_is_told(
    workspace: Workspace, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    fit_reward_model = learning_round.fit_reward_model
    monkeypatch.setattr(learning_round, "fit_reward_model", lambda *each: (*fit_reward_model(*each)[:3], None))
    request = LearnRequest("tales", budget=Budget(steps=2), overrides=OVERRIDES, max_eval_prompts=2, best_of=2)
    notes = [event.text for event in learn(workspace, ledger, request) if isinstance(event, RunWarning)]
    assert format_message("learn.best_of_n_not_measured", model="tales/1") in notes


@pytest.mark.slow
def test_extra_prompts_are_answered_too(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    prompts = ("Tale 5\n\n", *(f"Tale {n}\n\n" for n in range(200, 230)))
    last = run_round(
        workspace,
        ledger,
        check=PREFERENCE,
        budget=Budget(steps=2),
        max_eval_prompts=12,
        extra_prompts=prompts,
        best_of=2,
    )
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by check-regex"].count == 42, "the rated one is left out"
    assert last.receipt.baseline[0].name == "best of 2, by check-regex"


def test_a_few_common_words_are_not_a_copy(workspace: Workspace) -> None:
    model = load_model(workspace, "tales")
    read = max((item.value for item in workspace.get_dataset("tales").iter_documents("train")), key=len)
    [copied] = measure_copying(
        workspace, model, AnswerPairs([], [read[:3], read[5:8]], [read[:100], "3" + read[100:200]])
    )
    assert copied.champion == 0
    assert copied.challenger > 0.9


@pytest.mark.slow
def test_later_challengers_of_a_champion_need_more_evidence(workspace: Workspace, ledger: Ledger) -> None:
    rate_randomly(workspace, ledger, 0)
    alphas = [
        next(
            m.alpha
            for m in run_round(workspace, ledger, budget=Budget(steps=1), max_eval_prompts=2).receipt.decision.measures
        )
        for _ in range(2)
    ]
    assert alphas == [0.05, 0.025]


def test_forgetting_a_document_equals_never_having_had_it(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", PREFERENCE)
    last = run_round(workspace, ledger, budget=Budget(steps=1), max_eval_prompts=2)
    before = workspace.get_dataset("tales")
    item = next(iter(before.iter_documents("train"))).meta["id"]
    assert is_known_document(workspace, item)
    *_, unlearned = unlearn_document(workspace, ledger, "tales", item)
    assert isinstance(unlearned, UnlearnDocumentResult)
    assert unlearned.tainted_versions == ("tales/1", "masks/1", last.receipt.challenger)
    assert unlearned.active_tainted_versions == ("masks/1",)
    assert workspace.get_model("tales").ref == unlearned.new_version
    assert (
        unlearned.proof
        == find_weights_digest(workspace, unlearned.new_version)
        != find_weights_digest(workspace, "tales/1")
    )
    data = workspace.get_dataset("tales")
    assert (data.digest, data.count_documents("train")) == (unlearned.data_digest, before.count_documents("train") - 1)
    assert not has_document(data, item)
    assert [entry.body["item"] for entry in ledger.iter_events(["forgetting"])] == [item]
    with raises_code("learn.document_not_used", model="masks", item="nothing"):
        list(unlearn_document(workspace, ledger, "masks", "nothing"))


@pytest.mark.slow
def test_an_unconditional_model_learns(workspace: Workspace, ledger: Ledger) -> None:
    """Without prompts, preferences are split by nonce, and both versions generate from new nonces."""
    model = load_model(workspace, "tales")
    request = engine.build_request([""], 240, 5, (), {"max_tokens": 10, "temperature": 1.2})
    outputs = output_records.store_outputs(workspace, model, request, engine.run_request(model, request))
    texts = [workspace.get_output(output)[1]["written"] for output in outputs]
    for (a, text_a), (b, text_b) in zip(*[iter(zip(outputs, texts, strict=True))] * 2, strict=True):
        record_choice(workspace, ledger, a, b, "a" if text_a.count("e") >= text_b.count("e") else "b", "mia")
    last = run_round(workspace, ledger, budget=Budget(steps=2))
    measures = {m.name: m for m in last.receipt.decision.measures}
    count = last.receipt.ratings.held_out
    assert 15 < count < 45
    assert measures["held-out ratings, by likelihood"].count == last.receipt.ratings.held_out_prompts == count
    answers = [record for _, record in workspace.list_records() if record.get("learn") == last.run]
    new_nonces = {record["request"]["nonces"][record["row"]] for record in answers}
    assert len(answers) == 2 * count
    assert len(new_nonces) == count
    assert not new_nonces & set(request.nonces)


def test_a_check_of_another_medium_is_refused_before_training(workspace: Workspace, ledger: Ledger) -> None:
    rate_randomly(workspace, ledger, 0)
    with raises_code("rate.check_of_other_medium", check="colour", medium="text"):
        run_round(workspace, ledger, check="colour")
    with raises_code("rate.check_of_other_medium", check="colour", medium="text"):
        run_grpo(workspace, ledger, rewards=("colour",))
