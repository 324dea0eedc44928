"""Evaluation data are representative of everything held out, not of what was collected first."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.codecs import bytes as plain
from genloom.model import Design
from genloom.networks.ngram import Ngram
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data import documents
from genloom.train.data.source import TokenStream
from genloom.train.job import Job
from genloom.train.pretraining import initialize_training
from genloom.types import Codec


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def build_source(data: Dataset) -> TokenStream:
    codec: Codec = plain.Codec.fit([], plain.Config())
    return TokenStream(codec, np.concatenate([codec.encode(item.value) for item in data.iter_documents("train")]), data)


def digit_share(texts: Sequence[Any]) -> float:
    """Return the share of digits, which is two thirds in the data set."""
    text = "".join(texts)
    return sum(letter in "0123456789\n" for letter in text) / len(text)


def test_evaluation_reads_text_of_every_kind(worlds: ModuleType, workspace: Workspace) -> None:
    kinds = worlds.create_mixed_dataset(workspace)
    for texts in (build_source(kinds).load_held_out(24_000), documents.load_held_out_documents(kinds, 24_000)):
        assert 24_000 <= sum(len(str(text).encode()) for text in texts) <= 25_000
        assert 0.4 < digit_share(texts) < 0.95


def test_the_ngram_baseline_is_of_every_kind(worlds: ModuleType, workspace: Workspace) -> None:
    """Two thirds are digits, of 3.46 bits each; the first third are tales of half a bit per byte."""
    source = build_source(worlds.create_mixed_dataset(workspace, count=900, lines=8))
    for network in ("transformer", "ngram"):
        assert 2 < source.compute_ngram_baseline(Design("bytes", "autoregressive", network)) < 3


def test_the_ngram_baseline_uses_the_networks_own_counts(worlds: ModuleType, workspace: Workspace) -> None:
    source = build_source(worlds.create_mixed_dataset(workspace, count=900, lines=8))
    orders = [
        source.compute_ngram_baseline(Design("bytes", "autoregressive", "ngram", network_settings={"order": order}))
        for order in (1, 2, 5)
    ]
    assert orders[0] > orders[1] > orders[2]
    assert orders[2] == pytest.approx(source.compute_ngram_baseline(Design("bytes", "autoregressive", "transformer")))
    few = Design("bytes", "autoregressive", "ngram", network_settings={"order": 5, "count_split": 5_000})
    assert source.compute_ngram_baseline(few) > orders[2]


def test_counted_text_is_not_trained_on(worlds: ModuleType, workspace: Workspace) -> None:
    data = worlds.create_mixed_dataset(workspace, count=90, lines=8)
    source = replace(build_source(data), token_ids=np.random.default_rng(0).integers(256, size=9_000))
    settings = {"name": "ngram", "order": 2, "count_split": 3_000, "base": {"width": 16, "heads": 2}}
    parts = {"codec": {"name": "bytes"}, "objective": {"name": "autoregressive"}, "network": settings}
    job = Job.from_tables(
        {"name": "two", "data": data.name, "digest": data.digest, "context_length": 32, "batch_size": 64, **parts}
    )
    model, batches = initialize_training(source, job)
    network = model.parts["model"]
    assert isinstance(network, Ngram)
    assert network.get_count_model().levels[-1].counts.sum() == 3_000 - 1  # the first token has nothing before it
    counted, rest = ("".join(map(chr, part)) for part in (source.token_ids[:3_000], source.token_ids[3_000:]))
    for row in batches(0).x.tolist():
        learned = "".join(map(chr, row))
        assert learned in rest
        assert learned not in counted
