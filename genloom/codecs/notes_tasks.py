"""Tasks of filling for the codec "notes": which cells of a score, a voice in a bar each, are hidden."""

import numpy as np


def draw_hidden(num_bars: int, num_voices: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what a task hides, num_bars × num_voices: some and not all of the cells."""
    hidden = np.zeros((num_bars, num_voices), bool)
    kind = rng.integers(4)
    if kind == 0 and num_voices > 1:  # voices
        chosen = rng.permutation(num_voices)[: rng.integers(1, num_voices)]
        hidden[:, chosen] = True
    elif kind == 1:  # the end
        hidden[rng.integers(1, num_bars) if num_bars > 1 else 0 :] = True
    elif kind == 2:  # random cells
        hidden = rng.random((num_bars, num_voices)) < rng.uniform(0.2, 0.8)
    if not hidden.any() or hidden.all():  # a range of bars
        hidden[:] = False
        begin = int(rng.integers(num_bars))
        hidden[begin : begin + int(rng.integers(1, max(num_bars - 1, 1) + 1))] = True
    return hidden
