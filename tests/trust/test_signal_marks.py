"""The mark in signals: found with its key also in an edited value, and never by another key beyond chance."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom import noise as noise_module
from genloom.codecs import pixels
from genloom.noise import Noise, pool_normal
from genloom.objectives.flow import Flow, InversionParams, SamplerInputs, SamplingParams
from genloom.objectives.variational import Variational
from genloom.store.keys import MarkingKeys
from genloom.store.workspace import Workspace
from genloom.trust import signal_marks
from genloom.trust.known_outputs import KnownOutput, correlate_outputs, list_known_outputs
from genloom.trust.signal_marks import can_read_mark, encode_values, find_pool_mark, find_signal_marks
from genloom.types import SignalSpace

KEY, OTHER_KEY, NONCE, POOL = 0xABCDEF, 0xFEDCBA, 123_456_789, 1 << 8
SIDE = 20


class NormalVelocity(nn.Module):
    """The exact velocity from noise to normal data of mean 0 and this deviation."""

    def __init__(self, deviation: float):
        super().__init__()
        self.deviation = nn.Parameter(torch.tensor(deviation))

    def forward(self, x: Tensor, t: Tensor, cond: object = None, lengths: Tensor | None = None) -> Tensor:
        t = t.view(-1, *[1] * (x.ndim - 1))
        variance = (1 - t) ** 2 + (t * self.deviation) ** 2
        return (t * self.deviation**2 - (1 - t)) / variance * x


@pytest.fixture(autouse=True)
def _small_pool(monkeypatch):
    monkeypatch.setattr(noise_module, "SIGNAL_POOL_SIZE", POOL)
    monkeypatch.setattr(signal_marks, "SIGNAL_POOL_SIZE", POOL)
    signal_marks.build_pool.cache_clear()
    yield
    signal_marks.build_pool.cache_clear()


@pytest.fixture
def model() -> Any:
    """A model of pictures whose pixels are independent."""
    codec = pixels.Codec(pixels.Config(SIDE))
    return SimpleNamespace(
        design=SimpleNamespace(medium="image"),
        codec=codec,
        objective=Flow(codec.space),
        parts={"model": NormalVelocity(0.3)},
        conditioners={},
    )


def generate(model: Any, noise: Noise, **params: Any) -> np.ndarray:
    *_, x_B = model.objective.sample(model.parts, 1, None, noise, SamplingParams(**params))
    return model.codec.decode(x_B[0].numpy())


def crop(value: np.ndarray) -> np.ndarray:
    return value[2:, 1:-1]


EDITS = {
    "as it is": lambda value: value,
    "mirrored": lambda value: value[:, ::-1].copy(),
    "cropped at 1, 2": crop,
    "cropped, mirrored at 1, 2": lambda value: crop(value)[:, ::-1].copy(),
}


@pytest.mark.parametrize("alignment", EDITS)
def test_a_mark_is_found_with_its_pool_index_and_by_its_key_only(model, alignment):
    value = EDITS[alignment](generate(model, Noise(KEY, (NONCE,), is_marked=True)))
    mark, other = find_signal_marks(model, value, [KEY, OTHER_KEY])
    assert (mark.pool_index, mark.alignment) == (NONCE % POOL, alignment)
    assert mark.p_value < 1e-6 < 1e-3 < other.p_value
    assert mark.num_numbers == 3 * SIDE * SIDE


def test_a_picture_without_a_mark_has_none(model):
    for value in (generate(model, Noise(KEY, (NONCE,))), np.full((SIDE, SIDE, 3), 200, np.uint8)):
        (mark,) = find_signal_marks(model, value, [KEY])
        assert mark.p_value > 1e-3


def test_a_fast_search_takes_the_value_as_it_is(model):
    value = generate(model, Noise(KEY, (NONCE,), is_marked=True))
    (mark,) = find_signal_marks(model, value, [KEY], is_fast=True)
    (mirrored,) = find_signal_marks(model, EDITS["mirrored"](value), [KEY], is_fast=True)
    assert mark.p_value < 1e-6 < 1e-3 < mirrored.p_value


def test_the_more_a_variation_keeps_of_its_source_the_weaker_its_mark(model):
    source = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, (3, SIDE, SIDE))).float()
    log_p = []
    for strength in (1.0, 0.3, 0.1, 0.0):
        inputs = SamplerInputs(init_values=source, strength=strength)
        value = generate(model, Noise(KEY, (NONCE,), is_marked=True), inputs=inputs)
        (mark,) = find_signal_marks(model, value, [KEY], is_fast=True)
        log_p.append(mark.log_p)
    assert log_p == sorted(log_p)
    assert log_p[0] < np.log(1e-6) < np.log(1e-3) < log_p[-1]


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
def test_inversion_returns_the_noise_up_to_its_scale(model, solver):
    noise = Noise(KEY, (1, 2), is_marked=True)
    *_, x_B = model.objective.sample(model.parts, 2, None, noise, SamplingParams(solver=solver, steps=8))
    found = model.objective.invert(model.parts, x_B, None, InversionParams(steps=20, start=0.99))
    true_noise = noise.marked_normal((3, SIDE, SIDE))
    assert torch.corrcoef(torch.stack([found.flatten(), true_noise.flatten()]))[0, 1] > 0.99


def test_inversion_keeps_the_length_of_signals():
    objective = Flow(SignalSpace(2, (12,), has_lengths=True))
    found = objective.invert({"model": NormalVelocity(0.5)}, torch.ones(3, 2, 7), None, InversionParams())
    assert found.shape == (3, 2, 7)


def test_the_p_values_of_wrong_keys_are_as_the_theory_says():
    """For any value, here one with few large numbers: the p-value is below p in a share p of the keys, or less."""
    value = torch.zeros(1, 1, 40)
    value[0, 0, :5] = torch.tensor([5.0, -3.0, 1.0, 1.0, -0.1])
    p = np.array([find_pool_mark(value, key, ["as it is"], 1).p_value for key in range(400)])
    for level in (0.01, 0.05, 0.2):
        expected = 1 - (1 - level / POOL) ** POOL
        assert abs((p < level).mean() - expected) < 4 * (expected * (1 - expected) / len(p)) ** 0.5


def test_more_tests_make_the_p_value_larger_by_their_number():
    value = pool_normal(KEY, [7], (1, 12))
    one, many = (find_pool_mark(value, KEY, ["as it is"], count) for count in (1, 50))
    assert many.p_value == pytest.approx(50 * one.p_value)
    assert one.pool_index == many.pool_index == 7


def test_the_noise_of_marked_signals_is_standard_normal():
    """Over nonces of all pool indices, of one pool index, and without a mark."""
    for nonces in (range(4000), range(5, 5 + 4000 * POOL, POOL)):
        x = Noise(KEY, tuple(nonces), is_marked=True).marked_normal((2, 2))
        if nonces.step == 1:
            x = x[: POOL * (len(x) // POOL)]
            x = x.view(-1, POOL, 2, 2)[:, torch.arange(POOL)].flatten(0, 1)
            covariance = torch.cov(x.flatten(1).T)
            assert torch.allclose(covariance, torch.eye(4), atol=0.35)  # one pool part for many rows
        else:
            assert float(x.var(0).mean()) == pytest.approx(1 - noise_module.POOL_SHARE, rel=0.1)


class BiasedCodec:
    """A codec whose encoder gives back too little."""

    space = SignalSpace(1, (8,))

    def encode(self, value: np.ndarray) -> np.ndarray:
        return 0.7 * value + 0.05 * np.roll(value, 1)

    def decode(self, x: np.ndarray) -> np.ndarray:
        return x


def test_rounds_correct_the_errors_of_an_encoder():
    values: Any = [np.random.default_rng(seed).normal(size=(1, 8)) for seed in range(3)]
    codec: Any = BiasedCodec()
    errors = [np.abs(encode_values(codec, values, rounds).numpy() - np.stack(values)).max() for rounds in (0, 2, 8)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_only_signals_of_samplers_that_can_be_solved_backwards_have_a_mark(model):
    assert can_read_mark(model)
    model.objective = Variational(model.codec.space)
    assert not can_read_mark(model)


def test_an_edited_output_needs_less_evidence_among_the_outputs_of_the_workspace(model):
    """A picture that is mostly lost: too little for the whole pool, enough for the outputs that are known."""
    noise = Noise(KEY, (NONCE,), is_marked=True)
    value, rng = generate(model, noise), np.random.default_rng(1)
    is_lost = rng.random((SIDE, SIDE, 1)) < 0.8
    value = np.where(is_lost, rng.integers(0, 255, value.shape), value).astype(np.uint8)
    outputs = [KnownOutput(f"output-{nonce}", KEY, nonce) for nonce in (NONCE - 1, NONCE, NONCE + 1)]
    (alone,) = find_signal_marks(model, value, [KEY], is_fast=True)
    known, other = find_signal_marks(model, value, [KEY, OTHER_KEY], is_fast=True, outputs=outputs)
    assert known.output == f"output-{NONCE}"
    assert known.log_p < alone.log_p - 2
    assert other.output == ""
    assert other.p_value > 1e-3


def test_outputs_that_a_value_is_not_made_of_are_no_evidence(model):
    """Correlations of foreign values with the noise of outputs are standard normal, and the p-values allow for all."""
    outputs = [KnownOutput(f"{nonce}", KEY, nonce) for nonce in range(200)]
    values = [generate(model, Noise(OTHER_KEY, (nonce,), is_marked=True)) for nonce in range(40)]
    noise_A = signal_marks.estimate_noise(model, values, {})
    scores = correlate_outputs(noise_A, outputs)
    assert abs(scores.mean()) < 5 / scores.size**0.5
    assert abs(scores.std() - 1) < 0.05
    marks = [find_signal_marks(model, value, [KEY], is_fast=True, outputs=outputs)[0] for value in values]
    assert sum(mark.p_value < 0.05 for mark in marks) < 10  # 2 are expected at most


def test_the_newest_marked_outputs_of_a_medium_are_known(tmp_path):
    ws = Workspace(tmp_path)
    key = MarkingKeys(tmp_path).get_active()
    request = {"nonces": [5, 2**40 + 7], "marking_key": key.id, "prompts": ["a fox", "a fox"]}
    record = {"medium": "image", "model": "tiles/1", "model_digest": "ab", "prompt": "a fox", "request": request}
    ids = [ws.save_output(bytes([row]), ".png", {**record, "row": row}) for row in (0, 1)]
    ws.save_output(b"x", ".txt", {**record, "medium": "text"})
    ws.save_output(b"y", ".png", {**record, "request": {"nonces": [5], "marking_key": ""}})
    ws.save_output(b"z", ".png", {**record, "request": {**request, "marking_key": "2026-01-01-00000000"}})
    found = list_known_outputs(ws, "image")
    assert [(each.id, each.nonce) for each in found] == [(ids[1], 2**40 + 7), (ids[0], 5)]
    assert {(each.model_digest, each.given["prompt"]) for each in found} == {("ab", "a fox")}
    assert [each.id for each in list_known_outputs(ws, "image", ws.get_output(ids[0])[1])] == [ids[0]]
