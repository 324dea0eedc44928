"""Samples that are turned at random while a network trains."""

import numpy as np
import torch

from genloom.capabilities import TurnableCodec
from genloom.codecs.density import Codec, Config
from genloom.codecs.pixels import Codec as PixelsCodec
from genloom.codecs.pixels import Config as PixelsConfig
from genloom.conditioners import columns, goals
from genloom.media.design.mechanics.fields import build_fields, turn_fields
from genloom.media.design.mechanics.problem import build_empty_problem
from genloom.train.data.conditions import EncodedCondition
from genloom.train.data.samples import EncodedSamples, SampleBatches
from genloom.train.data.turns import find_turner

CODEC = Codec(Config((8, 8)))
CONDITIONERS = {"goals": goals.build(goals.Config((8, 8)))}


def build_samples() -> EncodedSamples:
    """Return twelve samples of random densities for one problem."""
    problem = build_empty_problem((8, 8), 0.4)
    problem.fixed[:, 0] = True
    problem.forces[0, 6, 8] = (0, -1)
    x = np.random.default_rng(0).normal(size=(12, 1, 8, 8)).astype(np.float16)
    fields = np.repeat(build_fields(problem)[None], 12, 0).astype(np.float16)
    return EncodedSamples(x, {"goals": EncodedCondition(fields)})


def test_every_row_and_its_fields_are_in_one_turn_that_the_step_decides() -> None:
    samples, turner = build_samples(), find_turner(CODEC, CONDITIONERS, 3)
    turned, plain = SampleBatches(samples, 12, turner=turner), SampleBatches(samples, 12)
    seen = set()
    for step in range(4):
        batch, expected = turned(step), plain(step)
        assert torch.equal(batch.x, turned(step).x), "a resumed run sees the same turns"
        for row in range(12):
            matches = [
                turn
                for turn in CODEC.turns
                if np.array_equal(CODEC.turn_samples(expected.x[row].numpy(), turn), batch.x[row].numpy())
            ]
            assert len(matches) == 1
            assert expected.cond is not None
            assert batch.cond is not None
            assert expected.cond.field is not None
            assert batch.cond.field is not None
            fields = turn_fields(expected.cond.field[row].numpy(), matches[0])
            np.testing.assert_array_equal(batch.cond.field[row].numpy(), fields)
            seen |= set(matches)
    assert seen == set(range(8))


def test_a_part_of_the_rows_of_a_step_is_in_the_turns_of_the_whole() -> None:
    turned = SampleBatches(build_samples(), 12, turner=find_turner(CODEC, CONDITIONERS, 3))
    assert torch.equal(turned.read_rows(2, slice(5, 9)).x, turned(2).x[5:9])


def test_rows_without_conditions_are_turned_too() -> None:
    samples, turner = build_samples(), find_turner(CODEC, CONDITIONERS, 3)
    batch = SampleBatches(samples, 12, cond_dropout=1.0, turner=turner)(0)
    assert batch.cond is not None
    assert batch.cond.field is not None
    assert not batch.cond.field.any()


def test_only_samples_whose_conditions_can_be_turned_are_turned() -> None:
    number = columns.build(columns.Config("volume", (0.4,), (0.1,)))
    assert not isinstance(PixelsCodec.fit([], PixelsConfig(8)), TurnableCodec)
    assert find_turner(CODEC, {}, 0) is None
    assert find_turner(CODEC, {**CONDITIONERS, "volume": number}, 0) is None
    assert find_turner(Codec(Config((8, 8, 8))), CONDITIONERS, 0) is None, "parts in space"
    assert find_turner(Codec(Config((8, 12))), CONDITIONERS, 0) is not None


def test_a_grid_that_is_no_square_keeps_its_shape() -> None:
    assert Codec(Config((8, 12))).turns == (0, 2, 4, 6)
    x = np.arange(96.0).reshape(1, 1, 8, 12)
    for turn in (0, 2, 4, 6):
        assert Codec(Config((8, 12))).turn_samples(x, turn).shape == (1, 1, 8, 12)
