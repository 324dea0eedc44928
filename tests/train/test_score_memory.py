"""The memory of scored samples, the combination of scores, the diversity filter, and the tilted likelihood."""

from collections import Counter
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from genloom.noise import Noise, build_training_noise
from genloom.objectives.augmented_likelihood import AugmentedLikelihood
from genloom.objectives.autoregressive import SamplingParams
from genloom.testing import assert_close, perturb_weights
from genloom.train.loop import TrainConfig
from genloom.train.optimizers import OptimizerConfig
from genloom.train.preference.score_memory import ScoredSample, ScoreMemory, combine_scores, penalise_families
from genloom.types import Batch, Rollouts
from tests.errors import raises_code


def build_sample(step: int, key: str, score: float, family: str = "") -> ScoredSample:
    return ScoredSample(step, key, 0, (1, 2, 3), score, family)


def test_a_memory_is_what_its_file_says_and_rewinds_to_a_step(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    memory = ScoreMemory.open(path)
    first, second, third = (build_sample(step, f"é{step}", step / 4, "ring") for step in range(3))
    assert memory.add([first, second, first]) == [first, second]
    assert memory.add([third, second]) == [third]
    assert ScoreMemory.open(path).samples == memory.samples
    memory.rewind(2)
    assert list(memory.samples.values()) == [first, second]
    assert ScoreMemory.open(path).samples == memory.samples
    with path.open("a") as file:
        file.write('[5, "cut')  # a kill while it was written
    assert ScoreMemory.open(path).samples == memory.samples
    path.write_text('{"not": ...}\n')
    with raises_code("train.damaged_memory"):
        ScoreMemory.open(path)


def test_the_best_come_first_and_few_of_a_family() -> None:
    memory = ScoreMemory()
    memory.add([build_sample(0, f"{n}", n / 10, "a" if n % 2 else "") for n in range(8)])
    assert [sample.key for sample in memory.select_best(3)] == ["7", "6", "5"]
    assert [sample.key for sample in memory.select_best(5, 1)] == ["7", "6", "4", "2"], "0 is never replayed"
    assert memory.count_families() == {"a": 4}


def test_scores_are_combined_by_their_geometric_mean() -> None:
    scores_RB = np.array([[1.0, 0.25, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    assert combine_scores(scores_RB).tolist() == [1.0, pytest.approx(0.5), 0.0, 1.0]


def test_full_families_earn_nothing() -> None:
    scores = penalise_families([0.5, 0.6, 0.7, 0.8], ["a", "a", "", "b"], Counter(a=1), 2)
    assert scores.tolist() == [0.5, 0.0, 0.7, 0.8]
    assert penalise_families([0.5, 0.6], ["a", "a"], Counter(a=9), 0).tolist() == [0.5, 0.6]


def test_the_loss_is_the_squared_error_of_the_implied_score(toys, causal_toy) -> None:
    toy = toys.TOYS[causal_toy]
    parts = {n: perturb_weights(p).eval() for n, p in toys.build_networks(toy).items()}
    reference = {n: perturb_weights(p, 0.05).requires_grad_(False) for n, p in parts.items()}
    batch, noise = Batch(toys.sample_world(toy.space, 6, 0)), build_training_noise(0, 0, 0, 6)
    objective, score = AugmentedLikelihood(toy.objective, reference, sigma=4.0), torch.linspace(0, 1, 6)
    phase = objective.phases[0]
    with torch.no_grad():
        nll, reference_nll = (toy.objective.loss(each, batch, phase, noise).per_sample for each in (parts, reference))
        loss = objective.loss(parts, Rollouts(batch, score, reward=score), phase, noise)
    assert_close(loss.per_sample, ((reference_nll - nll) / 4 - score).square(), "the loss")
    assert loss.metrics["reward"] == pytest.approx(0.5)
    with raises_code("objectives.bad_setting", name="sigma"):
        AugmentedLikelihood(toy.objective, sigma=0.0)


def test_scores_tilt_the_distribution_and_keep_samples_valid(toys) -> None:
    """The second kind scores 1; eight rollouts a step, sampled by the model as it is."""
    name = "autoregressive-transformer"
    toy = toys.TOYS[name]
    reference = dict(deepcopy(toys.train_toy(name)).items())
    parts = toys.copy_trained(name).eval()
    objective = AugmentedLikelihood(toy.objective, reference, sigma=6.0)

    def build_rollouts(step: int) -> Rollouts:
        noise = Noise(5, tuple(range(16 * step, 16 * step + 16)))
        *_, output_ids = toy.objective.sample(dict(parts.items()), 16, None, noise, SamplingParams(max_tokens=6))
        x = torch.cat([torch.full((16, 1), toys.TOKENS.bos), output_ids], 1)
        x = torch.nn.functional.pad(x, (0, 7 - x.shape[1]), value=toys.TOKENS.eos)
        score = toys.classify(toy.space, x).float()
        return Rollouts(Batch(x), score - score.mean(), reward=score)

    adam = OptimizerConfig(family="adamw", lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    parts = toys.train_parts(toy, build_rollouts, TrainConfig(steps=40, seed=1, optimizer=adam), parts, objective)
    x = toys.sample(toy, parts)
    assert toys.second_kind_share(toy.space, x) > 0.8
    assert toys.valid_share(toy.space, x) > 0.8
