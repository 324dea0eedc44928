"""Stories of learning with pictures: rated, learned from, judged, shown, through the same round as text."""

import io
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.cli import run
from genloom.cli.commands.arena import join_side_by_side
from genloom.generate import engine
from genloom.learn.eval_prompts import build_preference_dataset
from genloom.learn.reward_model import build_reward_model, extract_pair_features
from genloom.learn.round import LearnRequest, LearnResult, learn
from genloom.learn.safeguards.text import AnswerScorer
from genloom.learn.unlearn_ratings import find_weights_digest
from genloom.model import load_model
from genloom.rate.outputs import load_output
from genloom.rate.preferences import build_preferences
from genloom.rate.prompts import assign_split
from genloom.rate.ratings import record_choice, record_rating
from genloom.rate.report.receipt import to_text
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.workspace import Workspace
from genloom.train.events import StepMetrics
from genloom.train.planning.auto_config import Budget

BLUENESS = AnswerScorer("blueness", lambda prompt, picture: float(picture[..., 2].mean() - picture[..., 0].mean()))
CALM = {"plan.precision": "float32"}


@pytest.fixture(scope="module")
def drawn(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a model of coloured tiles has drawn two for many prompts."""
    workspace = Workspace(tmp_path_factory.mktemp("drawn"))
    data = worlds.pictures(workspace)
    worlds.finished(workspace, worlds.picture_job(data, 150))
    model = load_model(workspace, "tiles")
    pool = engine.get_nonce_pool_size(model.codec.space)
    asked = engine.build_request([f"tile {n}" for n in range(80)], 2, 0, (), {"steps": 6, "guidance": 1.0}, pool)
    for portion in engine.split_batches(asked, 160):
        engine.store_outputs(workspace, model, portion, engine.run_request(model, portion))
    return workspace.root


@pytest.fixture
def workspace(drawn: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(drawn, tmp_path / "home")
    return Workspace(tmp_path / "home")


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


def rated(workspace: Workspace, ledger: Ledger, apart: float = 0.0) -> None:
    """Of two tiles for a prompt the bluer one is chosen, where it is bluer by so much."""
    by_prompt: dict[str, list[tuple[str, float]]] = {}
    for path, record in workspace.list_records():
        score = BLUENESS.score(record["prompt"], load_output(path, record))
        by_prompt.setdefault(record["prompt"], []).append((path.stem, score))
    for (a, one), (b, two) in by_prompt.values():
        if abs(one - two) >= apart:
            record_choice(workspace, ledger, a, b, "a" if one > two else "b", "mia")


def wanted(**more: Any) -> LearnRequest:
    settings: dict[str, Any] = {"judging": BLUENESS, "wishes": Budget(steps=4), "overrides": CALM, "answers": 12}
    return LearnRequest("tiles", **{**settings, **more})


def learned(workspace: Workspace, ledger: Ledger, **more: Any) -> LearnResult:
    *_, last = learn(workspace, ledger, wanted(**more))
    assert isinstance(last, LearnResult)
    return last


def test_pairs_of_pictures_become_lessons_with_the_states_of_their_prompts(
    workspace: Workspace, ledger: Ledger
) -> None:
    rated(workspace, ledger)
    model, pairs = load_model(workspace, "tiles"), build_preferences(workspace, ledger, "tiles").pairs
    lessons = build_preference_dataset(workspace, model, pairs[:3])
    samples = lessons.samples
    assert samples is not None
    assert model.text_encoder is not None
    batch = samples.build_batch(np.array([row[0] for row in lessons.rejected]))
    pictures = model.codec.decode_many(batch.x.numpy())  # ty: ignore[missing-attribute]
    for pair, picture, states in zip(pairs, pictures, batch.cond.tokens, strict=False):  # ty: ignore
        assert np.abs(picture.astype(int) - load_output(*workspace.get_output(pair.rejected)).astype(int)).max() <= 1
        told = model.text_encoder.encode([pair.prompt])[0]
        assert np.allclose(states[: len(told)], told, atol=1e-3)
    assert lessons.digest != build_preference_dataset(workspace, model, pairs[1:4]).digest


def test_a_round_with_pictures_ends_with_a_receipt_that_shows_them(workspace: Workspace, ledger: Ledger) -> None:
    rated(workspace, ledger)
    last = learned(workspace, ledger)
    names = {m.name for m in last.receipt.decision.measures}
    assert {"held-out answers, by blueness", "held-out ratings, by likelihood", "sound outputs"} <= names
    assert "held-out loss" in names
    page = (workspace.get_run(last.run).folder / "receipt.html").read_text()
    assert page.count('src="data:image/png;base64,iVBOR') == 2 * len(last.receipt.examples)
    assert workspace.get_model("tiles/2").parent_ref == "tiles/1"


@pytest.mark.parametrize("method", ["auto", "none"])
def test_where_all_was_made_from_pictures_it_is_said_before_anything_is_learned(
    workspace: Workspace, ledger: Ledger, method: str
) -> None:
    for path, record in list(workspace.list_records()):
        record["request"] = {**record["request"], "edit": "a" * 64}
        path.with_suffix(".json").write_text(json.dumps(record))
    rated(workspace, ledger)
    with pytest.raises(ValueError, match=r"made from another output.*--prompts"):
        learned(workspace, ledger, method=method)
    assert not [each for each in workspace.list_runs() if (each.folder / "lessons.json").exists()]
    last = learned(workspace, ledger, method=method, prompts=("tile 100", "tile 101"))
    assert last.receipt.examples or method == "none"


def test_a_reward_model_of_pictures_knows_the_colour_that_was_preferred(workspace: Workspace, ledger: Ledger) -> None:
    rated(workspace, ledger, apart=12)
    champion, prefs = load_model(workspace, "tiles"), build_preferences(workspace, ledger, "tiles")
    every = extract_pair_features(workspace, champion, prefs.pairs)
    assert every is not None
    rewarding = build_reward_model(
        champion, *(every.filter_prompts(lambda prompt, of=of: assign_split(prompt) == of) for of in ("train", "val"))
    )
    assert rewarding is not None
    assert rewarding.calibration.accuracy > 0.7
    pictures = [np.full((16, 16, 3), colour, np.uint8) for colour in ((220, 40, 40), (40, 40, 220))]
    red, blue = rewarding.score_answers([], pictures)
    assert blue > red


def test_what_a_reward_model_chooses_of_several_pictures_is_bluer(workspace: Workspace, ledger: Ledger) -> None:
    rated(workspace, ledger)
    last = learned(workspace, ledger, method="none", best_of=4)
    best, _ = last.receipt.baseline
    assert best.name.startswith("best of 4")
    assert best.challenger > 0.6
    assert workspace.get_model("tiles").version == 1


def test_a_round_with_pictures_goes_on_where_it_was_broken_off(
    workspace: Workspace, ledger: Ledger, tmp_path: Path
) -> None:
    rated(workspace, ledger)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    whole = learned(workspace, ledger)
    begun = learn(other, open_ledger(other.root), wanted())
    for event in begun:
        if isinstance(event, StepMetrics) and event.step == 2:
            break
    begun.close()
    *_, last = learn(other, open_ledger(other.root), wanted())
    assert isinstance(last, LearnResult)
    assert find_weights_digest(other, last.receipt.challenger) == find_weights_digest(
        workspace, whole.receipt.challenger
    )


@pytest.mark.parametrize("method", ["kto", "weighted"])
def test_single_thumbs_about_pictures_teach(workspace: Workspace, ledger: Ledger, method: str) -> None:
    for path, record in workspace.list_records():
        blue = load_output(path, record)[..., 2].mean() > 150
        record_rating(workspace, ledger, path.stem, "mia", "thumb", 1 if blue else -1)
    last = learned(workspace, ledger, method=method)
    assert last.receipt.method["method"] == method
    assert all(np.isfinite(point.loss) for point in last.receipt.curve)


def test_the_arena_says_where_both_pictures_lie_and_shows_them_side_by_side(
    workspace: Workspace, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b\n"))
    asked = ["arena", "tiles", "--prompt", "tile 1", "--steps", "2", "--guidance-scale", "1", "--rater", "mia"]
    assert run([*asked, "--workspace", str(workspace.root)]) == 0
    told = capsys.readouterr().out
    [choice] = ledger.iter_events(["choice"])
    for letter, output in (("A", choice.body["a"]), ("B", choice.body["b"])):
        assert f"── {letter}  {workspace.get_output(output)[0]}" in told
    assert choice.body["winner"] == "b"
    assert join_side_by_side("one\ntwo", "1\n2") == "one   1\ntwo   2"


@pytest.mark.slow
def test_a_hidden_taste_for_a_colour_is_learned_and_proved(workspace: Workspace, ledger: Ledger) -> None:
    rated(workspace, ledger)
    fresh = tuple(f"tile {n}" for n in range(100, 140))
    last = learned(workspace, ledger, budget=Budget(steps=60), prompts=fresh)
    assert last.receipt.decision.should_promote, to_text(last.receipt)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by blueness"].challenger > 0.7
