"""Filling in the middle as a transform of training documents: nothing is lost, and it needs its tokens."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.codecs import bytes as utf8
from genloom.store.workspace import Workspace
from genloom.train.data.fill import FillConfig, FillEncoder, build_fill_encoder, split_lines
from genloom.train.data.token_stream import read_token_stream
from genloom.train.job import Job, read_job
from tests.errors import raises_code

CODEC = utf8.Codec.fit((), utf8.Config(has_fill_tokens=True))
TEXTS = [f"line {number} of a text\n" * count for number, count in enumerate((1, 3, 12, 40, 2, 7))]


def build_encoder(rate: float, spm: float = 0.5, context_length: int = 128) -> FillEncoder:
    return build_fill_encoder(CODEC, FillConfig(rate, spm, seed=3), context_length)


def restore(ids: np.ndarray) -> str:
    """Return the text of a document in its own order."""
    tokens = CODEC.fill_tokens
    assert tokens is not None
    if tokens.prefix not in ids:
        return CODEC.decode(ids)
    at = [int(np.flatnonzero(ids == token)[0]) for token in (tokens.suffix, tokens.middle)]
    prefix, suffix, middle = (CODEC.decode(part) for part in (ids[1 : at[0]], ids[at[0] : at[1]], ids[at[1] :]))
    return prefix + middle + suffix if prefix else middle + suffix


@pytest.mark.parametrize("spm", [0.0, 0.5, 1.0])
def test_every_character_is_read_once_whatever_the_order(spm: float) -> None:
    for rate in (0.0, 0.5, 1.0):
        documents = list(build_encoder(rate, spm)(TEXTS))
        assert "".join(map(restore, documents)) == "".join(TEXTS)


def test_a_rate_of_zero_changes_nothing_and_one_of_one_all() -> None:
    tokens = CODEC.fill_tokens
    assert tokens is not None
    plain = list(build_encoder(0.0)(TEXTS))
    assert [ids.tolist() for ids in plain] == [CODEC.encode(text).tolist() for text in TEXTS]
    filled = list(build_encoder(1.0)(TEXTS))
    assert all((ids == tokens.middle).sum() == 1 for ids in filled)
    assert max(map(len, filled)) <= 64 + 3 + max(len(text.splitlines()[0]) for text in TEXTS)


def test_the_rate_is_the_share_of_documents() -> None:
    documents = list(build_encoder(0.3)(["short\n"] * 2000))
    tokens = CODEC.fill_tokens
    assert tokens is not None
    assert np.mean([tokens.prefix in ids for ids in documents]) == pytest.approx(0.3, abs=0.04)


def test_pieces_end_at_lines() -> None:
    text = "".join(f"{'x' * length}\n" for length in (3, 50, 2, 9, 4))
    pieces = split_lines(text, 3)
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") for piece in pieces)
    assert split_lines("one long line", 4) == ["one long line"]
    assert split_lines("", 3) == [""]


def test_a_codec_without_the_tokens_is_refused() -> None:
    with raises_code("train.no_fill_tokens", codec="bytes"):
        build_fill_encoder(utf8.Codec.fit((), utf8.Config()), FillConfig(0.5), 64)


def test_a_job_keeps_its_rate_and_refuses_impossible_ones(worlds: ModuleType, tmp_path: Path) -> None:
    data = worlds.create_dataset(Workspace(tmp_path / "home"))
    job = worlds.build_job(data, fim_rate="0.5", fim_spm="0.25")
    job.save(tmp_path / "job.toml")
    assert read_job(tmp_path / "job.toml").fill == FillConfig(0.5, 0.25, job.plan.seed)
    assert not worlds.build_job(data).fill
    for value in ("1.5", "-0.1", "true"):
        with raises_code("train.bad_number"):
            worlds.build_job(data, fim_rate=value)
    tables: dict[str, Any] = {**job.to_tables(), "base": {"ref": "x/1", "digest": ""}}
    tables["plan"] = {**tables["plan"], "private": {"epsilon": 3.0}}
    with raises_code("train.private_fill"):
        Job.from_tables(tables)


def test_a_planned_run_gets_the_tokens_and_reads_gaps(worlds: ModuleType, tmp_path: Path) -> None:
    from genloom.train.planning.auto_config import Budget
    from genloom.train.run import TrainRequest, train_model

    workspace = Workspace(tmp_path)
    worlds.create_dataset(workspace)
    overrides = {"fim_rate": "1.0", "network.name": "transformer", "context_length": "64"}
    overrides |= {"network.width": "16", "network.depth": "1", "network.heads": "2"}
    request = TrainRequest("tales", budget=Budget(steps=2), overrides=overrides)
    *_, result = train_model(workspace, request)
    folder = workspace.get_model("tales").folder
    job = read_job(folder / "job.toml")
    assert (job.fim_rate, job.design.codec_settings["has_fill_tokens"]) == (1.0, True)
    codec = utf8.Codec.load(folder / "codec")
    assert codec.fill_tokens is not None
    (stream,) = (tmp_path / "runs").glob("*/train.symbols")
    assert codec.fill_tokens.middle in read_token_stream(stream, codec.space.vocab_size)
    assert result is not None


def test_tuning_reads_gaps_too_and_needs_a_base_with_the_tokens(worlds: ModuleType, tmp_path: Path) -> None:
    from genloom.train.finetune import prepare_finetuning_source

    workspace = Workspace(tmp_path)
    data = worlds.create_dataset(workspace)
    worlds.finish_run(workspace, worlds.build_job(data, 2, codec__has_fill_tokens="true"))
    worlds.finish_run(workspace, worlds.build_job(data, 2, name="plain"))
    from genloom.model import load_model

    def prepare(name: str, fill: FillConfig) -> Any:
        folder = tmp_path / f"run-{name}-{fill.rate}"
        folder.mkdir()
        work = prepare_finetuning_source(folder, data, load_model(workspace, name), fill)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value

    tokens = CODEC.fill_tokens
    assert tokens is not None
    assert tokens.middle in prepare("tales", FillConfig(1.0)).documents.ids
    assert tokens.middle not in prepare("tales", FillConfig()).documents.ids
    with raises_code("train.no_fill_tokens"):
        prepare("plain", FillConfig(0.5))
