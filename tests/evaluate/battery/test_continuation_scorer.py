"""Scores of continuations agree with the likelihood of the whole text, in any batching and tokenization."""

import shutil
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from genloom.evaluate.text.battery import continuation_scorer
from genloom.evaluate.text.battery.continuation_scorer import build_scorer, split_context
from genloom.evaluate.text.battery.items import build_arithmetic_items, build_choice_items
from genloom.model import Model, load_model
from genloom.model.likelihood import compute_nll
from genloom.store.workspace import Workspace
from tests.errors import raises_code

CONTEXTS = [
    ("The old king", (" saw the sea.", " sang", " sa")),
    ("The old", (" king saw her letters.\n", " crow")),
    ("Zoë saw the 狐 and", (" 😀", " x", "n", " x y z")),
    ("N", ("obody",)),
]


@pytest.fixture(scope="module")
def models(worlds: ModuleType, trained_home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    workspace = Workspace(tmp_path_factory.mktemp("reader"))
    data = worlds.create_dataset(workspace)
    run = worlds.build_job(data, 20, name="pairs", codec__name="bpe", codec__vocab_size="400", context_length="64")
    worlds.finish_run(workspace, run)
    shutil.copytree(trained_home.root / "models/tales", workspace.root / "models/tales")
    return {name: load_model(workspace, name) for name in ("tales", "pairs")}


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_costs_are_differences_of_likelihoods(models: dict[str, Model], name: str) -> None:
    model = models[name]
    for (context, continuations), costs in zip(CONTEXTS, build_scorer(model)(CONTEXTS), strict=True):
        whole = [nats for nats, _ in compute_nll(model, [context + text for text in continuations])]
        spread = np.diff(whole) - np.diff([cost.nats for cost in costs])
        assert spread == pytest.approx(0, abs=1e-3), "they differ by what the context costs"


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_batching_does_not_change_scores(models: dict[str, Model], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = [
        (item.context[-40:], item.continuations) for item in (*build_arithmetic_items()[:6], *build_choice_items()[:6])
    ]
    together = list(build_scorer(models[name])(contexts))
    monkeypatch.setattr(continuation_scorer, "BATCH_SIZE", 1)
    for batched, alone in zip(together, build_scorer(models[name])(contexts), strict=True):
        assert [cost.nats for cost in batched] == pytest.approx([cost.nats for cost in alone], abs=1e-3)
        assert [cost.is_greedy for cost in batched] == [cost.is_greedy for cost in alone]


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_greedy_decoding_gives_the_greedy_continuation(models: dict[str, Model], name: str) -> None:
    from genloom.generate.engine import build_request, run_request

    model = models[name]
    (text,) = run_request(
        model, build_request(["The old king "], 1, 0, (), {"temperature": 0.0, "max_tokens": 8})
    ).continuations
    ((greedy, other),) = build_scorer(model)([("The old king ", (text, text[:-1] + "~"))])
    assert (greedy.is_greedy, other.is_greedy) == (True, False)
    assert greedy.nats < other.nats


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_splitting_puts_no_part_of_a_continuation_into_the_context(models: dict[str, Model], name: str) -> None:
    model = models[name]
    for context, continuations in CONTEXTS:
        split = split_context(model, context, continuations)
        assert context.encode().startswith(model.codec.decode(split.prefix).encode())
        for row, text in zip(split.suffixes, continuations, strict=True):
            assert model.codec.decode(np.concatenate([split.prefix, row])) == context + text
        assert all(len(row) for row in split.suffixes)


def test_a_uniform_model_has_the_same_cost_per_token(models: dict[str, Model]) -> None:
    model = models["tales"]
    before = {name: tensor.clone() for name, tensor in model.parts.state_dict().items()}
    try:
        for parameter in model.parts.parameters():
            parameter.zero_()
        (costs,) = build_scorer(model)([("The king", (" saw", " wept", " forgot"))])
    finally:
        model.parts.load_state_dict(before)
    each = [cost.nats / size for cost, size in zip(costs, (4, 5, 7), strict=True)]
    assert each == pytest.approx([float(torch.tensor(261.0).log())] * 3)
    assert all(abs(a - b) < 1e-5 for a, b in pairwise(each))


def test_a_masked_model_is_refused(trained_home: Workspace) -> None:
    with raises_code("evaluate.not_left_to_right", model="masks/1"):
        build_scorer(load_model(trained_home, "masks"))


def test_the_data_files_are_part_of_the_package() -> None:
    folder = Path(continuation_scorer.__file__).parent
    assert {path.name for path in folder.glob("*.tsv")} == {"choice.tsv", "cloze.tsv"}
