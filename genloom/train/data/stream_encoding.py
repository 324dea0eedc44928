"""The texts of a data set, encoded as a token stream in a run's folder, or as one for each source of a mixture."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genloom.store.dataset import Dataset
from genloom.train.data import cache
from genloom.train.data.mixture import OTHER_SOURCES, MixtureWeights, TokenGroup, build_groups, match_source
from genloom.train.data.token_shards import Tokens, get_record_path, join_tokens, list_shards
from genloom.train.data.token_stream import TOKENS_FILE, read_token_stream, shuffle_documents, write_token_stream
from genloom.types import Codec, TokenSpace


def encode_stream(
    folder: Path,
    dataset: Dataset,
    codec: Codec,
    encode: Callable[[Iterable[str]], Iterator[np.ndarray]] | None,
    mixture: MixtureWeights | None,
) -> tuple[Tokens, tuple[TokenGroup, ...]]:
    """Return the tokens of all training documents, encoding them if necessary, and the groups of a mixture.

    `encode` is that of `write_token_stream`. Raises GenloomError if the mixture names a source without documents.
    """
    names = tuple(mixture or ())
    paths = {"": folder / TOKENS_FILE}
    if mixture:
        paths = {name: folder / f"train.{n}.symbols" for n, name in enumerate([*names, OTHER_SOURCES])}
    if not cache.is_complete(folder):
        for name, path in paths.items():
            values = iter_values_of(dataset, names, name)
            write_token_stream(shuffle_documents(values, dataset.digest), codec, path, encode)
        cache.mark_complete(folder, [shard.name for path in paths.values() for shard in list_shards(path)])
        for path in paths.values():
            get_record_path(path).unlink(missing_ok=True)
    space = codec.space
    assert isinstance(space, TokenSpace)
    streams = {name: read_token_stream(path, space.vocab_size) for name, path in paths.items()}
    groups = build_groups({name: len(tokens) for name, tokens in streams.items()}) if mixture else ()
    return join_tokens(list(streams.values())), groups


def iter_values_of(dataset: Dataset, names: Sequence[str], name: str) -> Generator[Any]:
    """Yield the values of one of the sources of a mixture; without names, all."""
    for item in dataset.iter_documents("train"):
        if not names or match_source(item.source, names) == name:
            yield item.value
