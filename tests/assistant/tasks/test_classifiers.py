"""Classifiers: labels are checked, a regression learns and is calibrated, and what is kept is data."""

import json
from pathlib import Path

import numpy as np
import pytest

from genloom.assistant.tasks import classifiers
from genloom.assistant.tasks.logistic import assign_folds, fit_cross_validated, fit_logistic
from genloom.assistant.tasks.measures import (
    compute_calibration_error,
    compute_macro_f1,
    measure_classification,
)
from genloom.errors import GenloomError


def make_clouds(count: int = 120, distance: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets_N = np.arange(count) % 3
    centres = np.eye(3, 8) * distance
    return centres[targets_N] + rng.normal(size=(count, 8)), targets_N


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (["spam"], "tasks.too_few_labels"),
        ([], "tasks.too_few_labels"),
        ([" , "], "tasks.too_few_labels"),
        (["spam,ham,Spam"], "tasks.label_twice"),
        ([",".join(f"label {n}" for n in range(300))], "tasks.too_many_labels"),
    ],
)
def test_labels_with_faults_are_refused(labels: list[str], code: str) -> None:
    with pytest.raises(GenloomError) as caught:
        classifiers.parse_labels(labels)
    assert caught.value.code == code


def test_labels_are_read_from_lists_and_commas() -> None:
    assert classifiers.parse_labels(["spam, ham", "news"]) == ("spam", "ham", "news")


def test_examples_with_other_labels_are_left_out_and_absent_labels_are_refused() -> None:
    texts, given = ["a"] * 4 + ["b"] * 4 + ["c"], ["spam"] * 4 + ["HAM"] * 4 + ["other"]
    kept, targets_N, num_others = classifiers.select_examples(texts, given, ("spam", "ham"))
    assert (len(kept), targets_N.tolist(), num_others) == (8, [0] * 4 + [1] * 4, 1)
    with pytest.raises(GenloomError) as caught:
        classifiers.select_examples(texts, given, ("spam", "hma"))
    assert caught.value.code == "tasks.label_absent"
    assert "HAM" in str(caught.value) or "spam" in str(caught.value)
    with pytest.raises(GenloomError) as caught:
        classifiers.select_examples(texts, given, ("spam", "other"))
    assert caught.value.code == "tasks.too_few_examples"


def test_a_regression_learns_and_predicts_rows_that_it_did_not_see() -> None:
    features_NF, targets_N = make_clouds()
    fit = fit_cross_validated(features_NF, targets_N, 3)
    assert (fit.held_out_NC.argmax(1) == targets_N).mean() > 0.85
    assert np.allclose(fit.held_out_NC.sum(1), 1)
    new_NF, new_N = make_clouds(300)
    assert (fit.regression.predict_probabilities(new_NF).argmax(1) == new_N).mean() > 0.9


def test_random_labels_are_not_learned() -> None:
    features_NF, _ = make_clouds(200)
    targets_N = np.random.default_rng(1).integers(2, size=200)
    fit = fit_cross_validated(features_NF, targets_N, 2)
    quality = measure_classification(fit.held_out_NC, targets_N)
    assert quality.accuracy.low < 0.55
    assert fit.held_out_NC.max(1).mean() < 0.7, "and the classifier does not claim to know"


def test_more_regularisation_gives_smaller_weights() -> None:
    features_NF, targets_N = make_clouds()
    sizes = [np.abs(fit_logistic(features_NF, targets_N, 3, each).weight_FC).sum() for each in (0.01, 0.3, 10.0)]
    assert sizes == sorted(sizes, reverse=True)


def test_folds_have_a_share_of_each_label() -> None:
    folds_N = assign_folds(np.array([0] * 10 + [1] * 5), 5)
    assert [(folds_N[:10] == n).sum() for n in range(5)] == [2] * 5
    assert sorted(folds_N[10:]) == list(range(5))


def test_measures_of_known_cases() -> None:
    targets_N = np.array([0, 0, 1, 1])
    sure_NC = np.eye(2)[targets_N]
    quality = measure_classification(sure_NC, targets_N)
    assert (quality.accuracy.mean, quality.f1.mean, quality.brier.mean) == (1, 1, 0)
    assert quality.calibration_error.mean == 0
    wrong = measure_classification(sure_NC[:, ::-1], targets_N)
    assert (wrong.accuracy.mean, wrong.brier.mean, wrong.calibration_error.mean) == (0, 2, 1)
    half_NC = np.full((4, 2), 0.5)
    assert compute_calibration_error(half_NC, targets_N) == pytest.approx(0)
    assert compute_macro_f1(np.array([0, 0, 0, 0]), targets_N, 2) == pytest.approx((2 * 2 / 6 + 0) / 2)


def test_a_classifier_is_kept_as_data_and_reads_back_the_same(tmp_path: Path) -> None:
    features_NF, targets_N = make_clouds()
    made = classifiers.train_classifier("kinds", ("a", "b", "c"), "embeddings", features_NF, targets_N, {"data": {}})
    folder = classifiers.save_classifier(tmp_path, made)
    assert sorted(path.name for path in folder.iterdir()) == ["classifier.json", "weights.safetensors"]
    read = classifiers.load_classifier(tmp_path, "kinds")
    assert read.labels == ("a", "b", "c")
    assert np.array_equal(
        read.regression.predict_probabilities(features_NF), made.regression.predict_probabilities(features_NF)
    )
    card = json.loads((folder / "classifier.json").read_text())
    assert card["examples"] == {"a": 40, "b": 40, "c": 40}
    assert card["cross_validation"]["accuracy"]["mean"] > 0.8
    with pytest.raises(GenloomError) as caught:
        classifiers.require_new_name(tmp_path, "kinds")
    assert caught.value.code == "tasks.classifier_exists"


@pytest.mark.parametrize("damage", ["weights", "card", "labels"])
def test_a_damaged_classifier_is_refused(tmp_path: Path, damage: str) -> None:
    features_NF, targets_N = make_clouds(30)
    made = classifiers.train_classifier("kinds", ("a", "b", "c"), "embeddings", features_NF, targets_N, {})
    folder = classifiers.save_classifier(tmp_path, made)
    card = folder / "classifier.json"
    if damage == "weights":
        (folder / "weights.safetensors").write_bytes(b"\0" * 100)
    elif damage == "card":
        card.write_text("{")
    else:
        card.write_text(json.dumps({**json.loads(card.read_text()), "labels": ["a", "b"]}))
    with pytest.raises(GenloomError) as caught:
        classifiers.load_classifier(tmp_path, "kinds")
    assert caught.value.code == "tasks.damaged_classifier"


@pytest.mark.parametrize("name", ["knids", "../kinds", ""])
def test_an_unknown_classifier_is_refused(tmp_path: Path, name: str) -> None:
    features_NF, targets_N = make_clouds(30)
    classifiers.save_classifier(
        tmp_path, classifiers.train_classifier("kinds", ("a", "b", "c"), "head", features_NF, targets_N, {})
    )
    with pytest.raises(GenloomError, match="kinds"):
        classifiers.load_classifier(tmp_path, name)
