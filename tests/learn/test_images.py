"""Stories of learning with images: ratings, training, evaluation and the receipt, in the same round as text."""

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
from genloom.generate import engine, output_records
from genloom.learn.comparison import AnswerScorer
from genloom.learn.eval_prompts import build_preference_dataset
from genloom.learn.reward_model import build_reward_model, extract_pair_features
from genloom.learn.round import LearnRequest, LearnResult, learn
from genloom.learn.unlearn_ratings import find_weights_digest
from genloom.model import load_model
from genloom.rate.outputs import load_output
from genloom.rate.preferences import build_preferences
from genloom.rate.promotion import pin_active_version
from genloom.rate.ratings import record_choice, record_rating
from genloom.rate.report.receipt import to_text
from genloom.store.ledger import Ledger, open_ledger
from genloom.store.records import hash_output_record
from genloom.store.workspace import Workspace
from genloom.train.events import StepMetrics
from genloom.train.planning.auto_config import Budget
from tests.errors import raises_code

BLUENESS = AnswerScorer("blueness", lambda prompt, picture: float(picture[..., 2].mean() - picture[..., 0].mean()))
CALM = {"plan.precision": "float32"}


@pytest.fixture(scope="module")
def image_workspace(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two outputs of a model of coloured tiles for each of many prompts."""
    workspace = Workspace(tmp_path_factory.mktemp("images"))
    data = worlds.create_image_dataset(workspace)
    worlds.finish_run(workspace, worlds.build_image_job(data, 150))
    model = load_model(workspace, "tiles")
    is_sequence = engine.is_open_sequence(model.codec.space)
    request = engine.build_request(
        [f"tile {n}" for n in range(80)], 2, 0, (), {"steps": 6, "guidance_scale": 1.0}, is_sequence
    )
    for batch in engine.split_batches(request, 160):
        output_records.store_outputs(workspace, model, batch, engine.run_request(model, batch))
    return workspace.root


@pytest.fixture
def workspace(image_workspace: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(image_workspace, tmp_path / "home")
    return Workspace(tmp_path / "home")


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    return open_ledger(workspace.root)


def rate_bluer(workspace: Workspace, ledger: Ledger, min_difference: float = 0.0, limit: int | None = None) -> None:
    """Choose the bluer one of two tiles for each of so many prompts, if it is bluer by so much."""
    by_prompt: dict[str, list[tuple[str, float]]] = {}
    for path, record in workspace.list_records():
        score = BLUENESS.score(record["prompt"], load_output(path, record))
        by_prompt.setdefault(record["prompt"], []).append((path.stem, score))
    for (a, score_a), (b, score_b) in [*by_prompt.values()][:limit]:
        if abs(score_a - score_b) >= min_difference:
            record_choice(workspace, ledger, a, b, "a" if score_a > score_b else "b", "mia")


def build_request(**options: Any) -> LearnRequest:
    settings: dict[str, Any] = {
        "scorer": BLUENESS,
        "budget": Budget(steps=4),
        "overrides": CALM,
        "max_eval_prompts": 12,
    }
    return LearnRequest("tiles", **{**settings, **options})


def run_round(workspace: Workspace, ledger: Ledger, **options: Any) -> LearnResult:
    *_, last = learn(workspace, ledger, build_request(**options))
    assert isinstance(last, LearnResult)
    return last


def test_pairs_of_images_become_samples_with_encoded_prompts(workspace: Workspace, ledger: Ledger) -> None:
    rate_bluer(workspace, ledger)
    model, pairs = load_model(workspace, "tiles"), build_preferences(workspace, ledger, "tiles").pairs
    dataset = build_preference_dataset(workspace, model, pairs[:3])
    samples = dataset.samples
    assert samples is not None
    assert model.text_encoder is not None
    batch = samples.build_batch(np.array([row[0] for row in dataset.rejected]))
    pictures = model.codec.decode_many(batch.x.numpy())  # ty: ignore[missing-attribute]
    for pair, picture, states in zip(pairs, pictures, batch.cond.tokens, strict=False):  # ty: ignore
        assert np.abs(picture.astype(int) - load_output(*workspace.get_output(pair.rejected)).astype(int)).max() <= 1
        expected_states = model.text_encoder.encode([pair.prompt])[0]
        assert np.allclose(states[: len(expected_states)], expected_states, atol=1e-3)
    assert dataset.digest != build_preference_dataset(workspace, model, pairs[1:4]).digest


def test_the_receipt_of_a_round_shows_images(workspace: Workspace, ledger: Ledger) -> None:
    rate_bluer(workspace, ledger)
    last = run_round(workspace, ledger)
    names = {m.name for m in last.receipt.decision.measures}
    assert {"held-out answers, by blueness", "held-out ratings, by likelihood", "valid outputs"} <= names
    assert "held-out loss" in names
    page = (workspace.get_run(last.run).folder / "receipt.html").read_text()
    assert page.count('src="data:image/png;base64,iVBOR') == 2 * len(last.receipt.examples)
    assert workspace.get_model("tiles/2").parent_ref == "tiles/1"


def test_a_trial_learns_from_twenty_ratings_and_promotes_nothing(workspace: Workspace, ledger: Ledger) -> None:
    rate_bluer(workspace, ledger, limit=20)
    with raises_code("rate.too_few_preferences", min_trial=10):
        run_round(workspace, ledger)
    last = run_round(workspace, ledger, is_trial=True, scorer=None)
    assert not last.receipt.decision.should_promote
    assert last.receipt.ratings.total == 20
    assert (pin_active_version(workspace, ledger, "tiles").ref, last.receipt.challenger) == ("tiles/1", "tiles/2")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", pytest.param("none", marks=pytest.mark.slow)])
def test_edited_outputs_alone_are_refused_before_training(workspace: Workspace, ledger: Ledger, method: str) -> None:
    for path, record in list(workspace.list_records()):
        source = workspace.save_original(path.read_bytes(), path.suffix)
        content = {**record, "request": {**record["request"], "edit": {"image": source, "strength": 0.5}}}
        path.with_suffix(".json").write_text(json.dumps({**content, "digest": hash_output_record(content)}))
    rate_bluer(workspace, ledger)
    with raises_code("learn.too_few_eval_prompts", count=0):
        run_round(workspace, ledger, method=method)
    assert not [each for each in workspace.list_runs() if (each.folder / "preferences.json").exists()]
    last = run_round(workspace, ledger, method=method, extra_prompts=("tile 100", "tile 101"))
    assert last.receipt.examples or method == "none"


def test_a_reward_model_of_images_learns_the_preferred_colour(workspace: Workspace, ledger: Ledger) -> None:
    rate_bluer(workspace, ledger, min_difference=12)
    champion, prefs = load_model(workspace, "tiles"), build_preferences(workspace, ledger, "tiles")
    pair_features = extract_pair_features(workspace, champion, prefs.pairs)
    assert pair_features is not None
    reward_model = build_reward_model(champion, *(pair_features.select_split(split) for split in ("train", "val")))
    assert reward_model is not None
    assert reward_model.calibration.accuracy > 0.7
    pictures = [np.full((16, 16, 3), colour, np.uint8) for colour in ((220, 40, 40), (40, 40, 220))]
    red, blue = reward_model.score_answers([], pictures)
    assert blue > red


@pytest.mark.slow
def test_best_of_n_is_bluer(workspace: Workspace, ledger: Ledger) -> None:
    rate_bluer(workspace, ledger)
    last = run_round(workspace, ledger, method="none", best_of=16, max_eval_prompts=40)
    best, _ = last.receipt.baseline
    assert best.name.startswith("best of 16")
    assert best.challenger > 0.7
    assert workspace.get_model("tiles").version == 1


@pytest.mark.slow
def test_an_interrupted_round_is_resumed(workspace: Workspace, ledger: Ledger, tmp_path: Path) -> None:
    rate_bluer(workspace, ledger)
    shutil.copytree(workspace.root, tmp_path / "other")
    other = Workspace(tmp_path / "other")
    complete = run_round(workspace, ledger)
    interrupted = learn(other, open_ledger(other.root), build_request())
    for event in interrupted:
        if isinstance(event, StepMetrics) and event.step == 2:
            break
    interrupted.close()
    *_, last = learn(other, open_ledger(other.root), build_request())
    assert isinstance(last, LearnResult)
    assert find_weights_digest(other, last.receipt.challenger) == find_weights_digest(
        workspace, complete.receipt.challenger
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kto", pytest.param("weighted", marks=pytest.mark.slow)])
def test_single_thumbs_about_images_train(workspace: Workspace, ledger: Ledger, method: str) -> None:
    for path, record in workspace.list_records():
        blue = load_output(path, record)[..., 2].mean() > 150
        record_rating(workspace, ledger, path.stem, "mia", "thumb", 1 if blue else -1)
    last = run_round(workspace, ledger, method=method)
    assert last.receipt.method["method"] == method
    assert all(np.isfinite(point.loss) for point in last.receipt.curve)


def test_the_arena_gives_the_paths_of_both_images_and_shows_them_side_by_side(
    workspace: Workspace, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b\n"))
    command = ["arena", "tiles", "--prompt", "tile 1", "--steps", "2", "--guidance-scale", "1", "--rater", "mia"]
    assert run([*command, "--workspace", str(workspace.root)]) == 0
    text = capsys.readouterr().out
    [choice] = ledger.iter_events(["choice"])
    for letter, output in (("A", choice.body["a"]), ("B", choice.body["b"])):
        assert f"── {letter}  {workspace.get_output(output)[0]}" in text
    assert choice.body["winner"] == "b"
    assert join_side_by_side("one\ntwo", "1\n2") == "one   1\ntwo   2"
    assert join_side_by_side("\x1b[31mone\x1b[0m", "1\n2") == "\x1b[31mone\x1b[0m   1\n      2"
    assert join_side_by_side("a\nlong", "1") == "a      1\nlong   "


@pytest.mark.slow
def test_a_preferred_colour_is_learned_and_proved(workspace: Workspace, ledger: Ledger) -> None:
    rate_bluer(workspace, ledger)
    extra_prompts = tuple(f"tile {n}" for n in range(100, 140))
    last = run_round(workspace, ledger, budget=Budget(steps=60), extra_prompts=extra_prompts)
    assert last.receipt.decision.should_promote, to_text(last.receipt)
    measures = {m.name: m for m in last.receipt.decision.measures}
    assert measures["held-out answers, by blueness"].challenger > 0.7
