"""Safeguards of images: noise that learning brings out, and the distance to real images."""

from typing import Any

import numpy as np
import pytest

from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.learn.safeguards import image as safeguards
from genloom.rate.gate import decide_promotion


def draw(number: int, noise: float = 0.0) -> np.ndarray:
    """A disc of some colour on white."""
    rng = np.random.default_rng(number)
    at = (np.arange(64) + 0.5) / 64 - 0.5
    is_inside = np.hypot(at[:, None] - rng.uniform(-0.1, 0.1), at[None, :]) < rng.uniform(0.2, 0.4)
    picture = np.where(is_inside[..., None], rng.integers(0, 256, 3), 255)
    return np.rint(picture + noise * rng.standard_normal((64, 64, 3))).clip(0, 255).astype(np.uint8)


def test_noise_is_seen_in_flat_areas_and_edges_are_none() -> None:
    assert safeguards.measure_flat_noise(draw(0)) == 0
    assert 1.0 < safeguards.measure_flat_noise(draw(0, 4)) < safeguards.measure_flat_noise(draw(0, 8))
    assert safeguards.measure_flat_noise(np.zeros((4, 4, 3), np.uint8)) == 0


@pytest.fixture
def no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "measure_safeguards", lambda *arguments: [])
    monkeypatch.setattr(default, "get_dataset", lambda workspace, model: None)


def measure(champion: list[np.ndarray], challenger: list[np.ndarray]) -> dict[str, Any]:
    nothing: Any = None
    answers = AnswerPairs([], champion, challenger)
    return {m.name: m for m in safeguards.measure_safeguards(nothing, nothing, nothing, [], answers)}


def test_a_version_that_draws_noise_is_refused(no_defaults: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safeguards, "has_reference", lambda model: False)
    clean, noisy = [draw(number) for number in range(12)], [draw(number, 5) for number in range(12)]
    found = measure(clean, noisy)
    assert found["noise in flat areas"].has_regressed_significantly
    assert not decide_promotion(list(found.values())).should_promote
    assert not measure(noisy, clean)["noise in flat areas"].has_regressed


def test_a_version_that_moves_away_from_real_images_is_refused(
    no_defaults: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without training data, by the features that come with a built-in model."""
    rng = np.random.default_rng(0)
    real, near, far = (rng.normal(mean, 1, (40, 32)) for mean in (0, 0, 0.8))
    features = {"near": near, "far": far}
    extractor = type("Features", (), {"build_extractor": staticmethod(lambda: lambda values: features[values[0]])})
    monkeypatch.setattr(safeguards.plugins, "find_part", lambda kind, name: extractor)
    monkeypatch.setattr(safeguards, "has_reference", lambda model: True)
    monkeypatch.setattr(safeguards, "load_reference", lambda: real)
    nothing: Any = None

    def compare(first: str, second: str) -> Any:
        pairs = AnswerPairs([], [first] * 40, [second] * 40)
        return safeguards.measure_reference_distance(nothing, nothing, pairs)[0]

    assert compare("near", "far").has_regressed_significantly
    assert not compare("near", "near").has_regressed
    assert not compare("far", "near").has_regressed


def test_the_scores_of_outputs_add_up_to_the_kernel_distance() -> None:
    from genloom.metrics.frechet import kernel_distance

    rng = np.random.default_rng(1)
    real, first, second = (rng.normal(0, scale, (20, 8)) for scale in (1, 1, 1.3))
    difference = np.mean(safeguards.score_outputs(second, real)) - np.mean(safeguards.score_outputs(first, real))
    assert difference == pytest.approx(kernel_distance(second, real) - kernel_distance(first, real))


def test_the_stored_features_are_those_of_the_built_in_data() -> None:
    features = safeguards.load_reference()
    assert features.shape[1] == 1280
    assert len(features) >= 200
    assert np.isfinite(features).all()
