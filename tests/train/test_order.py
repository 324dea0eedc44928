"""The order of training examples: permutations per epoch that never change between versions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.train.data.order import EpochOrder, build_rng
from genloom.train.data.samples import EncodedSamples, SampleBatches
from genloom.train.data.token_stream import TokenBlocks

PINNED_SHUFFLE = [4, 1, 5, 6, 0, 2, 3, 6, 0, 1, 5, 3, 2, 4]
PINNED_BLOCKS = [[37, 25, 17, 13], [88, 84, 72, 76], [12, 40, 36, 0], [64, 76, 72, 56]]
PINNED_SAMPLES = [[4.0, 0.0, 1.0, 2.0], [5.0, 3.0, 3.0, 1.0], [4.0, 2.0, 0.0, 5.0]]


@given(count=st.integers(1, 30), batch_size=st.integers(1, 40), seed=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_epoch_reads_each_example_once(count: int, batch_size: int, seed: int) -> None:
    order = EpochOrder.shuffle(count, seed)
    num_steps = -(-3 * count // batch_size)
    examples = np.concatenate([order(step * batch_size + np.arange(batch_size)) for step in range(num_steps)])
    for epoch in range(3):
        assert sorted(examples[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert np.array_equal(EpochOrder.shuffle(count, seed)(range(len(examples))), examples), "a function of the position"


def test_orders_are_those_of_earlier_versions() -> None:
    """A resumed run of an earlier version must read the same batches."""
    assert EpochOrder.shuffle(7, 3)(range(14)).tolist() == PINNED_SHUFFLE
    blocks = TokenBlocks(np.arange(100, dtype=np.uint16), 4, 5, seed=2, num_folds=2)
    assert [blocks(step).x[:, 0].tolist() for step in (0, 1, 8, 9)] == PINNED_BLOCKS
    samples = SampleBatches(EncodedSamples(np.arange(6, dtype=np.float16)[:, None]), 4, seed=1)
    assert [samples(step).x[:, 0].tolist() for step in range(3)] == PINNED_SAMPLES


def test_streams_are_independent() -> None:
    assert build_rng(0, 1).random() != build_rng(0, 1, 1).random() != build_rng(1, 1, 1).random()
