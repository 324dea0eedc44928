"""The order in which a run reads its data: a permutation per epoch, drawn from (seed, epoch).

The examples of a step are a function of the step, so that a resumed run needs no loader state.
"""

from collections.abc import Callable, Sequence

import numpy as np


class EpochOrder:
    """Maps positions, counted over all epochs, to examples; every epoch reads each of `count` examples once."""

    def __init__(self, count: int, draw: Callable[[int], np.ndarray]):
        """`draw` returns the examples of an epoch in their order; only the newest epoch is kept in memory."""
        self.count, self.draw = count, draw
        self.epoch, self.examples = -1, np.zeros(0, np.int64)

    @staticmethod
    def shuffle(count: int, seed: int, fold: int = 0, num_folds: int = 1) -> "EpochOrder":
        """Return an order of the numbers 0 to `count` - 1, shuffled in every epoch, and differently for every fold."""
        return EpochOrder(count, lambda epoch: build_rng(seed, epoch * num_folds + fold).permutation(count))

    def __call__(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        epochs, offsets = np.divmod(np.asarray(positions, np.int64), self.count)
        examples = np.empty(len(offsets), np.int64)
        for epoch in np.unique(epochs).tolist():
            is_in_epoch = epochs == epoch
            examples[is_in_epoch] = self.epoch_examples(epoch)[offsets[is_in_epoch]]
        return examples

    def epoch_examples(self, epoch: int) -> np.ndarray:
        if epoch != self.epoch:
            self.epoch, self.examples = epoch, self.draw(epoch)
        return self.examples


def build_rng(seed: int, number: int, stream: int = 0) -> np.random.Generator:
    """Return a generator keyed by a seed and the number of an epoch or step; streams are independent of each other."""
    return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, stream]))
