"""Classifiers of content rules: built in or from a package, with a threshold, and with every decision in the ledger."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom import plugins
from genloom.errors import GenloomError
from genloom.store.workspace import Workspace as Store
from genloom.testing import check_classifier
from genloom.trust.classifiers import build_classifier, nearest
from genloom.trust.policy import POLICY_FILE, check_text, check_values, load_policy

EXAMPLES = (
    "How much of this medicine should I take?",
    "Is it safe to mix these two drugs?",
    "Can I stop taking my pills?",
)
ADVICE = ("How many paracetamol tablets may I swallow?", "Should I take aspirin together with warfarin?")
OTHER = ("What is the capital of France?", "Tell me a story about a brave knight.", "How do I bake bread?")
RULE = f"""
[rules.medicine]
action = "{{action}}"
reason = "medical advice"
classifier = "nearest"
threshold = 0.5
on = ["prompt"]
[rules.medicine.settings]
examples = {list(EXAMPLES)}
"""
PLUGIN = '''
"""Dark pictures."""
from dataclasses import dataclass
import numpy as np

media = ("image",)

@dataclass(frozen=True)
class Config:
    limit: float = 80.0

def build(config):
    return lambda values: np.array([float(np.mean(v) < config.limit) for v in values], np.float32)
'''
PYPROJECT = """
[project]
name = "genloom-dark"
version = "1.0"
[project.entry-points."genloom.trust.classifiers"]
dark = "genloom_dark"
"""


def write_policy(root: Path, text: str) -> None:
    (root / POLICY_FILE).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def dark(install_package: Callable[[Path, str], None], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dark")
    (folder / "genloom_dark.py").write_text(PLUGIN)
    install_package(folder, PYPROJECT)
    return "dark"


@pytest.mark.parametrize("name", plugins.list_part_names("classifier"))
def test_built_in_classifiers_keep_the_contract(name: str) -> None:
    settings: dict[str, Any] = {"examples": EXAMPLES, "counterexamples": OTHER[:1]}
    check_classifier(plugins.find_part("classifier", name), ["", "  ", *ADVICE, *OTHER, "x" * 3000], settings)


def test_a_plugin_keeps_the_contract(dark: str) -> None:
    pictures = [np.full((16, 16, 3), level, np.uint8) for level in (0, 60, 200)]
    check_classifier(plugins.find_part("classifier", dark), pictures)


@pytest.mark.parametrize(
    "scores", [lambda values: [0.5], lambda values: [2.0] * len(values), lambda values: [float("nan")] * len(values)]
)
def test_the_contract_finds_broken_scores(scores: Callable[[Sequence[Any]], Any]) -> None:
    broken = SimpleNamespace(Config=nearest.Config, build=lambda config: scores)
    with pytest.raises(AssertionError):
        check_classifier(broken, list(ADVICE), {"examples": EXAMPLES})


def test_texts_near_the_examples_score_higher() -> None:
    scores = build_classifier("nearest", {"examples": EXAMPLES})([*ADVICE, *OTHER])
    assert scores[: len(ADVICE)].min() > 0.5 > scores[len(ADVICE) :].max()


def test_one_sentence_in_a_long_text_is_enough() -> None:
    text = " ".join([*OTHER * 5, ADVICE[0], *OTHER * 5])
    classify = build_classifier("nearest", {"examples": EXAMPLES})
    assert float(classify([text])[0]) == pytest.approx(float(classify([ADVICE[0]])[0]), abs=1e-5)


def test_counterexamples_lower_the_score() -> None:
    examples, text = {"examples": EXAMPLES}, "Is it safe to mix these two paints?"
    without, beside = (
        float(build_classifier("nearest", settings)([text])[0])
        for settings in (examples, {**examples, "counterexamples": ["Is it safe to mix these two colours of paint?"]})
    )
    assert beside < without


def test_a_rule_applies_from_its_threshold_on(tmp_path: Path) -> None:
    write_policy(tmp_path, RULE.format(action="refuse"))
    policy = load_policy(tmp_path)
    [decision] = check_text(policy, ADVICE[0])
    assert decision.score is not None
    assert decision.score >= 0.5
    assert decision.to_json()["score"] == decision.score
    assert all(check_text(policy, text) == [] for text in OTHER)
    assert check_text(policy, ADVICE[0], "output") == []
    write_policy(tmp_path, RULE.format(action="refuse").replace("0.5", "1.0"))
    assert check_text(load_policy(tmp_path), ADVICE[0]) == []


def test_words_and_a_classifier_both_need_to_apply(tmp_path: Path) -> None:
    write_policy(tmp_path, RULE.format(action="log").replace("\non =", '\nall = ["aspirin"]\nnone = ["novel"]\non ='))
    policy = load_policy(tmp_path)
    assert [check_text(policy, text) != [] for text in ADVICE] == [False, True]
    assert check_text(policy, f"In a novel: {ADVICE[1]}") == []


@pytest.mark.parametrize(
    "text",
    [
        '[rules.a]\nclassifier = "nearst"',
        '[rules.a]\nclassifier = "nearest"',
        '[rules.a]\nclassifier = "nearest"\n[rules.a.settings]\nexamples = ["x"]\nsharp = 3',
        '[rules.a]\nclassifier = "nearest"\nthreshold = 2\n[rules.a.settings]\nexamples = ["x"]',
        '[rules.a]\nall = ["x"]\n[rules.a.settings]\nexamples = ["x"]',
        "[rules.a]\nthreshold = 0.5",
    ],
)
def test_a_wrong_rule_is_refused(tmp_path: Path, text: str) -> None:
    write_policy(tmp_path, text)
    with pytest.raises(GenloomError) as caught:
        load_policy(tmp_path)
    assert caught.value.code == "trust.bad_policy"


def test_a_broken_classifier_lets_nothing_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(tmp_path, RULE.format(action="log"))
    policy = load_policy(tmp_path)
    monkeypatch.setattr(nearest.NearestExamples, "__call__", lambda self, values: np.array([np.nan]))
    with pytest.raises(GenloomError) as caught:
        check_text(policy, "a text")
    assert caught.value.code == "trust.bad_classifier"


@pytest.mark.parametrize("action", ["refuse", "warn", "log"])
def test_every_decision_is_in_the_ledger(trained_copy: Store, action: str) -> None:
    workspace = gl.Workspace(trained_copy.root, rater="mia")
    write_policy(workspace.folder, RULE.format(action=action))
    model = workspace.model("tales")
    model.generate(OTHER[0], max_tokens=2)
    if action == "refuse":
        with pytest.raises(GenloomError) as caught:
            model.generate(ADVICE[0], max_tokens=2)
        assert caught.value.code == "trust.content_policy"
    else:
        assert len(model.generate(ADVICE[0], max_tokens=2)) == 1
    [entry] = workspace.ledger.iter_entries(["policy"])
    assert (entry.body["rule"], entry.body["action"]) == ("medicine", action)
    assert entry.body["score"] >= 0.5


def test_a_plugin_reads_outputs_of_its_medium(dark: str, tmp_path: Path) -> None:
    write_policy(tmp_path, f'[rules.night]\naction = "refuse"\nclassifier = "{dark}"')
    policy = load_policy(tmp_path)
    pictures = [np.full((16, 16, 3), level, np.uint8) for level in (200, 10)]
    assert [number for number, _ in check_values(policy, "image", pictures)] == [1]
    assert check_values(policy, "music", pictures) == []
    assert check_text(policy, "a text") == []


def test_a_refused_picture_is_not_stored(dark: str, trained_copy: Store, worlds: Any) -> None:
    model_name = worlds.create_blots(trained_copy)
    workspace = gl.Workspace(trained_copy.root, rater="mia")
    write_policy(
        workspace.folder, f'[rules.all]\naction = "refuse"\nclassifier = "{dark}"\n[rules.all.settings]\nlimit = 999'
    )
    with pytest.raises(GenloomError) as caught:
        workspace.model(model_name).generate(n=2, steps=2)
    assert caught.value.code == "trust.content_policy"
    assert list(workspace.outputs) == []
    [entry, *_] = workspace.ledger.iter_entries(["policy"])
    assert (entry.body["target"], entry.body["score"]) == ("output", 1.0)
