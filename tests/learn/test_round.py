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
from genloom.learn.forgetting import Forgotten, forget, weights
from genloom.learn.measures import Answers, copied
from genloom.learn.round import Learned, Wanted, halves, known_from, learn
from genloom.learn.sifting import CONTRADICTED
from genloom.learn.unseen import Unseen, documents_with, unsee
from genloom.model import open_model
from genloom.rate.machine import rate_pairs
from genloom.rate.preferences import preferences
from genloom.rate.ratings import choose, rate
from genloom.rate.receipt import as_text, from_json
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.removal import holds
from genloom.store.workspace import Workspace
from genloom.train.dial import Wishes
from genloom.train.events import Finished, Stepped
from genloom.train.learning import Settings

TASTE = "regex:pattern=^(The|A|Zo)"  # some of the beginnings of a tale
SLOW = {"plan.rates.matrix": "3e-4", "plan.rates.table": "3e-4", "plan.rates.vector": "3e-4"}  # and so forgets less
CALM = {"plan.precision": "float32", "learning.anchor": "1.0", **SLOW}


@pytest.fixture(scope="module")
def written(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a model of tales has answered many prompts, some of them in several ways."""
    home = worlds.home(tmp_path_factory.getbasetemp() / "home")
    root = tmp_path_factory.mktemp("written")
    for kind in ("models", "data"):
        shutil.copytree(home.root / kind, root / kind)
    workspace = Workspace(root)
    model = open_model(workspace, "tales")
    asked = engine.request([f"Tale {n}\n\n" for n in range(100)], 3, 0, (), {"length": 10, "temperature": 1.2})
    engine.store(workspace, model, asked, engine.finished(model, asked))
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
    for path, record in workspace.records():
        found.setdefault(record["prompt"], []).append((path.stem, record["written"]))
    return list(found.values())


def tossed(workspace: Workspace, ledger: Ledger, seed: int, count: int = 80) -> None:
    """Ratings of somebody who answers like a coin."""
    coin = random.Random(seed)
    for group in groups(workspace)[:count]:
        choose(workspace, ledger, group[0][0], group[1][0], "a" if coin.random() < 0.5 else "b", "coin")


def learned(workspace: Workspace, ledger: Ledger, **more: Any) -> Learned:
    wanted: dict[str, Any] = {"wishes": Wishes(steps=60), "overrides": CALM, **more}
    *_, last = learn(workspace, ledger, Wanted("tales", **wanted))
    assert isinstance(last, Learned)
    return last


def test_a_taste_is_learned_proved_and_put_into_use(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    last = learned(workspace, ledger)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out ratings, by likelihood"].better
    assert measures["reward model"].gain > 0
    assert last.receipt.decision.promote, as_text(last.receipt)
    assert workspace.model("tales").ref == last.receipt.challenger == "tales/2"
    folder = workspace.run(last.run).folder
    assert from_json((folder / "receipt.json").read_bytes()) == last.receipt
    assert "judge-regex" in (folder / "receipt.html").read_text()
    *_, entry, promotion = ledger.events()
    assert (entry.kind, promotion.kind) == ("round", "promotion")
    assert entry.body["receipt"] == promotion.body["receipt"] == last.digest
    assert workspace.model("tales/2").parent == "tales/1"


def test_the_answers_of_both_versions_are_outputs_that_can_be_replayed(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    last = learned(workspace, ledger, judge=TASTE, wishes=Wishes(steps=3), answers=12)
    assert "held-out answers, by judge-regex" in {m.name for m in last.receipt.decision.measures}
    made = [(path.stem, record) for path, record in workspace.records() if record.get("learn") == last.run]
    by = [[r["request"]["nonces"][r["row"]] for _, r in made if r["model"] == ref] for ref in ("tales/1", "tales/2")]
    assert by[0] == by[1], "the same chance for both"
    assert len(by[0]) == 12
    engine.replay(workspace, made[-1][0])


@pytest.mark.parametrize("seed", range(2))
def test_ratings_of_a_coin_put_nothing_into_use(workspace: Workspace, ledger: Ledger, seed: int) -> None:
    tossed(workspace, ledger, seed)
    last = learned(workspace, ledger, wishes=Wishes(steps=10))
    assert not last.receipt.decision.promote
    assert workspace.model("tales").ref == "tales/1"


def test_what_the_other_ratings_contradict_is_not_learned_from(workspace: Workspace, ledger: Ledger) -> None:
    draw = random.Random(0)
    for group in groups(workspace):
        good, bad = ([id for id, text in group if bool(re.match(r"The|A|Zo", text)) is met] for met in (True, False))
        if good and bad:
            choose(workspace, ledger, good[0], bad[0], "a" if draw.random() > 0.25 else "b", "somebody")
    prefs, champion = preferences(workspace, ledger, "tales"), open_model(workspace, "tales")
    told, train, held, _ = known_from(workspace, champion, prefs, Settings())
    every, judging = halves(prefs, "dpo")
    aside = {event for event, reason in told.unused.items() if reason == CONTRADICTED}
    assert aside
    assert {event for pair in train.pairs for event in pair.events} == {
        e for p in every.pairs for e in p.events
    } - aside
    assert held == judging
    told, train, _, _ = known_from(workspace, champion, prefs, Settings(sift=False))
    assert train == every
    assert told == prefs


def test_too_few_ratings_are_refused_with_the_number_that_is_missing(workspace: Workspace, ledger: Ledger) -> None:
    tossed(workspace, ledger, 0, 20)
    with pytest.raises(ValueError, match=r"Rate about \d+ more"):
        learned(workspace, ledger)
    assert not list(workspace.root.glob("models/tales/2"))


def test_one_prompt_to_answer_is_too_few_and_it_is_said_why(workspace: Workspace, ledger: Ledger) -> None:
    tossed(workspace, ledger, 0)
    with pytest.raises(ValueError, match="--answers asks for one"):
        learned(workspace, ledger, answers=1)


def test_a_round_that_was_broken_off_goes_on_to_the_same_bits(workspace: Workspace, ledger: Ledger, tmp_path) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    whole = learned(workspace, ledger, wishes=Wishes(steps=12))
    wanted = Wanted("tales", wishes=Wishes(steps=12), overrides=CALM)
    begun = learn(other, open_ledger(other.root), wanted)
    for event in begun:
        if isinstance(event, Stepped) and event.step == 5:
            break
    begun.close()
    steps = []
    for event in learn(other, open_ledger(other.root), wanted):
        if isinstance(event, Stepped):
            steps.append(event.step)
    assert steps == list(range(6, 13))
    assert weights(other, "tales/2") == weights(workspace, whole.receipt.challenger)
    assert len(other.runs()) == len(workspace.runs())


def test_a_challenger_that_was_not_judged_yet_is_judged_and_not_trained_again(
    workspace: Workspace, ledger: Ledger
) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    wanted = Wanted("tales", wishes=Wishes(steps=2), overrides=CALM)
    begun = learn(workspace, ledger, wanted)
    assert any(isinstance(event, Finished) for event in begun)
    begun.close()  # here it is killed
    events = list(learn(workspace, ledger, wanted))
    assert not any(isinstance(event, Stepped) for event in events)
    assert isinstance(events[-1], Learned)
    assert events[-1].receipt.challenger == "tales/2"
    assert any(isinstance(event, Stepped) for event in learn(workspace, ledger, wanted)), "once judged, it is over"


@pytest.mark.parametrize("method", ["kto", "weighted"])
def test_single_thumbs_teach(workspace: Workspace, ledger: Ledger, method: str) -> None:
    for (output, text), *_ in groups(workspace):
        rate(workspace, ledger, output, "mia", "thumb", 1 if re.match("The|A|Zo", text) else -1)
    last = learned(
        workspace, ledger, method=method, overrides={**CALM, "learning.rehearsal": "0.0", "learning.beta": "1.0"}
    )
    [proof] = [m for m in last.receipt.decision.measures if m.proof]
    assert proof.challenger > 0.6
    assert last.receipt.ratings.opinions == 100


def test_forgetting_a_rater_equals_never_having_heard_them(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    tossed(workspace, ledger, 3)
    last = learned(workspace, ledger, wishes=Wishes(steps=8))
    *_, gone = forget(workspace, ledger, "tales", rater="coin")
    assert isinstance(gone, Forgotten)
    assert gone.before == "tales/1"
    assert gone.tainted == (last.receipt.challenger,)
    assert len(gone.withdrawn) == 80
    assert gone.proof == weights(workspace, gone.made) != weights(workspace, last.receipt.challenger)
    with pytest.raises(ValueError, match="nothing of 'coin'"):
        list(forget(workspace, ledger, "tales", rater="coin"))


def test_the_verbs_learn_and_forget(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from genloom.cli.app import app

    def said(*words: str) -> Any:
        app([*words, "--workspace", str(workspace.root), "--json"], result_action="return_value")
        return json.loads(capsys.readouterr().out)

    assert said("rate", "tales", "--judge", TASTE)["machine"]
    assert said("rate", "tales", "--judge", TASTE)["choices"] == 0, "rated already"
    out = tmp_path / "report.html"
    found = said("learn", "tales", "--steps", "2", "--out", str(out))
    assert "Receipt of a learning round" in out.read_text()
    gone = said("forget", "tales", "--rater", "judge-regex")
    assert gone["tainted"] == [found["challenger"]]
    assert gone["made"] == "", "nothing else was rated"


def practised(workspace: Workspace, ledger: Ledger, **more: Any) -> Learned:
    wanted: dict[str, Any] = {"method": "policy", "rewards": ("model", TASTE), "wishes": Wishes(steps=6), "answers": 12}
    overrides = {**CALM, "rows": "8", "learning.rehearsal": "0.0"}
    return learned(workspace, ledger, **{**wanted, "overrides": overrides, **more})


def test_practice_goes_on_where_it_was_broken_off_and_its_receipt_says_what_attempts_earned(
    workspace: Workspace, ledger: Ledger, tmp_path: Path
) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    whole = practised(workspace, ledger)
    assert whole.receipt.method["rewards"] == f"model, {TASTE}"
    assert whole.receipt.curve_of == "what the attempts of the step earned"
    overrides = {**CALM, "rows": "8", "learning.rehearsal": "0.0"}
    wanted = Wanted("tales", "policy", rewards=("model", TASTE), wishes=Wishes(steps=6), overrides=overrides)
    begun = learn(other, open_ledger(other.root), wanted)
    earned = [event.metrics["earned"] for event in islice((e for e in begun if isinstance(e, Stepped)), 3)]
    begun.close()
    assert len(set(earned)) == 3, "every step has attempts of its own"
    *_, last = learn(other, open_ledger(other.root), wanted)
    assert isinstance(last, Learned)
    assert weights(other, last.receipt.challenger) == weights(workspace, whole.receipt.challenger)
    assert weights(workspace, whole.receipt.challenger) != weights(workspace, "tales/1")


@pytest.mark.slow
def test_practice_makes_likelier_what_its_judge_rewards(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    overrides = {**CALM, "rows": "32", "learning.rehearsal": "0.0", "plan.rates.matrix": "1e-3"}
    last = practised(workspace, ledger, rewards=(TASTE,), wishes=Wishes(steps=40), overrides=overrides, judge=TASTE)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by judge-regex"].challenger > 0.55, as_text(last.receipt)
    assert last.receipt.curve[-1].agreement > last.receipt.curve[0].agreement


def test_practice_without_a_judge_that_can_be_had_is_refused(workspace: Workspace, ledger: Ledger) -> None:
    for (output, text), *_ in groups(workspace):
        rate(workspace, ledger, output, "mia", "thumb", 1 if re.match("The|A|Zo", text) else -1)
    with pytest.raises(ValueError, match="A reward model is fitted to pairs"):
        practised(workspace, ledger)
    with pytest.raises(ValueError, match="attempts come in groups: set a multiple of 4"):
        practised(workspace, ledger, rewards=(TASTE,), overrides={"rows": "6"})


def test_without_learning_the_reward_model_chooses(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    entries = len(list(ledger.events()))
    last = learned(workspace, ledger, method="none", judge=TASTE, best_of=4, answers=12)
    best, first = last.receipt.baseline
    assert best.name == "best of 4, by judge-regex"
    assert first.name.startswith("first good one, of ")
    assert not best.proof
    assert last.receipt.champion == last.receipt.challenger == "tales/1"
    assert "Nothing was learned; tales/1 stays in use." in as_text(last.receipt)
    assert "Without learning" in (workspace.run(last.run).folder / "receipt.html").read_text()
    assert len(list(ledger.events())) == entries + 1, "that tales/1 is in use, and nothing else"


def test_a_judge_is_asked_about_prompts_that_nobody_rated(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    prompts = ("Tale 5\n\n", *(f"Tale {n}\n\n" for n in range(200, 230)))
    last = learned(workspace, ledger, judge=TASTE, wishes=Wishes(steps=2), answers=12, prompts=prompts, best_of=2)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by judge-regex"].count == 42, "the one that was rated is left out"
    assert last.receipt.baseline[0].name == "best of 2, by judge-regex"


def test_a_few_words_that_anybody_says_are_no_copy(workspace: Workspace) -> None:
    model = open_model(workspace, "tales")
    read = max((item.value for item in workspace.dataset("tales").documents("train")), key=len)
    [found] = copied(workspace, model, Answers([], [read[:3], read[5:8]], [read[:100], "3" + read[100:200]]))
    assert found.champion == 0
    assert found.challenger > 0.9


def test_each_further_challenger_of_a_champion_has_to_show_more(workspace: Workspace, ledger: Ledger) -> None:
    tossed(workspace, ledger, 0)
    alphas = [
        next(m.alpha for m in learned(workspace, ledger, wishes=Wishes(steps=1), answers=2).receipt.decision.measures)
        for _ in range(2)
    ]
    assert alphas == [0.05, 0.025]


def test_forgetting_a_document_equals_never_having_read_it(workspace: Workspace, ledger: Ledger) -> None:
    rate_pairs(workspace, ledger, "tales", TASTE)
    last = learned(workspace, ledger, wishes=Wishes(steps=1), answers=2)
    before = workspace.dataset("tales")
    item = next(iter(before.documents("train"))).meta["id"]
    assert documents_with(workspace, item)
    *_, gone = unsee(workspace, ledger, "tales", item)
    assert isinstance(gone, Unseen)
    assert gone.tainted == ("tales/1", "masks/1", last.receipt.challenger)
    assert gone.in_use == ("masks/1",)
    assert workspace.model("tales").ref == gone.made
    assert gone.proof == weights(workspace, gone.made) != weights(workspace, "tales/1")
    data = workspace.dataset("tales")
    assert (data.digest, data.count("train")) == (gone.data, before.count("train") - 1)
    assert not holds(data, item)
    assert [entry.body["item"] for entry in ledger.events(["forgetting"])] == [item]
    with pytest.raises(ValueError, match="No version of 'masks' saw the document nothing; no model did"):
        list(unsee(workspace, ledger, "masks", "nothing"))
