"""Guesses of a picture as it was before it was mirrored or cropped, at the size of a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_SHARE = 0.85  # of a side that is left by a crop: smaller parts have too little evidence for their many places


def list_alignments(value: NDArray[np.uint8], size: Sequence[int]) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return the mirror image, and if the picture is a little smaller than the size, all its places in that size.

    What was cut off repeats the edge. A picture that was cropped and then enlarged is not searched for.
    """
    aligned = [("mirrored", np.ascontiguousarray(value[:, ::-1]))]
    height, width = value.shape[:2]
    if (height, width) == tuple(size) or any(
        not MIN_SHARE * side <= length <= side for length, side in zip((height, width), size, strict=True)
    ):
        return aligned
    for name, picture in [("cropped", value), *[(f"cropped, {name}", picture) for name, picture in aligned]]:
        for top in range(size[0] - height + 1):
            for left in range(size[1] - width + 1):
                margins = (top, size[0] - height - top), (left, size[1] - width - left), (0, 0)
                aligned.append((f"{name} at {left}, {top}", np.pad(picture, margins, mode="edge")))
    return aligned
