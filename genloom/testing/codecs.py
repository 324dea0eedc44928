"""The contract of codecs: encoded values come back, also from a saved codec."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np

from genloom.testing.comparison import assert_close
from genloom.types import Codec, TokenSpace


def check_codec(codec: Codec, values: Iterable[Any], is_close: Callable[[Any, Any], bool] | None = None) -> None:
    """Check that values survive encoding, tokens are in the vocabulary, and a saved codec loads as the same codec.

    Tokens must decode to the value itself; signals, which may round, to a value with the same encoding. For a codec
    with larger losses, `is_close(value, roundtrip)` decides.
    """
    values = list(values)
    assert values, "check_codec needs values"
    space, encodings = codec.space, [np.asarray(codec.encode(value)) for value in values]
    for value, x in zip(values, encodings, strict=True):
        if isinstance(space, TokenSpace):
            assert x.ndim == 1, f"encode must return a 1-D array of tokens (got shape {x.shape} for {value!r:.80})"
            assert x.dtype.kind in "iu", f"tokens must be integers (got {x.dtype})"
            is_inside = x.size == 0 or (int(x.min()) >= 0 and int(x.max()) < space.vocab_size)
            assert is_inside, f"tokens of {value!r:.80} are outside the vocabulary of {space.vocab_size}"
        else:
            shape = (space.channels, *space.size)
            is_shorter = space.has_lengths and 1 <= x.shape[1] <= space.size[0]
            expected_shape = (*shape[:1], x.shape[1], *shape[2:]) if is_shorter else shape
            assert x.shape == expected_shape, f"encode returned shape {x.shape} for {space}"
        roundtrip = codec.decode(x)
        if is_close is not None or isinstance(space, TokenSpace):
            is_match = roundtrip == value if is_close is None else is_close(value, roundtrip)
            assert is_match, f"decode(encode(x)) is {roundtrip!r:.80} for x = {value!r:.80}"
        else:
            assert_close(codec.encode(roundtrip), x, "a decoded value must encode to the same numbers")
    for x, batch_encoding in zip(encodings, codec.encode_many(values), strict=True):
        assert np.array_equal(x, batch_encoding), "encode_many must return the results of encode in order"
    with tempfile.TemporaryDirectory() as folder:
        codec.save(Path(folder))
        loaded_codec = cast(Any, type(codec)).load(Path(folder))
    assert loaded_codec.space == space, f"a saved codec loads with {loaded_codec.space} instead of {space}"
    for value, x in zip(values, encodings, strict=True):
        assert np.array_equal(loaded_codec.encode(value), x), f"a saved codec encodes {value!r:.80} differently"
