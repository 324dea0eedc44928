"""Continuations cost what reading the whole text says, however they are batched and cut into symbols."""

import shutil
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from genloom.evaluate.text.battery import continuation_scorer as reading
from genloom.evaluate.text.battery.continuation_scorer import build_scorer, split_context
from genloom.evaluate.text.battery.items import build_arithmetic_items, build_choice_items
from genloom.model import Model, load_model
from genloom.model.likelihood import compute_nll
from genloom.store.workspace import Workspace

ASKED = [
    ("The old king", (" saw the sea.", " sang", " sa")),
    ("The old", (" king saw her letters.\n", " crow")),
    ("Zoë saw the 狐 and", (" 😀", " x", "n", " x y z")),
    ("N", ("obody",)),
]


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return worlds.home(tmp_path_factory.getbasetemp() / "home")


@pytest.fixture(scope="module")
def models(worlds: ModuleType, home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    workspace = Workspace(tmp_path_factory.mktemp("reader"))
    data = worlds.dataset(workspace)
    planned = worlds.job(data, 20, name="pairs", codec__name="bpe", codec__vocab_size="400", context_length="64")
    worlds.finished(workspace, planned)
    shutil.copytree(home.root / "models/tales", workspace.root / "models/tales")
    return {name: load_model(workspace, name) for name in ("tales", "pairs")}


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_costs_are_differences_of_likelihoods(models: dict[str, Model], name: str) -> None:
    model = models[name]
    for (context, continuations), costs in zip(ASKED, build_scorer(model)(ASKED), strict=True):
        whole = [nats for nats, _ in compute_nll(model, [context + text for text in continuations])]
        spread = np.diff(whole) - np.diff([cost.nats for cost in costs])
        assert spread == pytest.approx(0, abs=1e-3), "they differ by what the context costs"


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_batches_change_nothing(models: dict[str, Model], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        (item.context[-40:], item.continuations) for item in (*build_arithmetic_items()[:6], *build_choice_items()[:6])
    ]
    together = list(build_scorer(models[name])(asked))
    monkeypatch.setattr(reading, "BATCH_SIZE", 1)
    for some, alone in zip(together, build_scorer(models[name])(asked), strict=True):
        assert [cost.nats for cost in some] == pytest.approx([cost.nats for cost in alone], abs=1e-3)
        assert [cost.is_greedy for cost in some] == [cost.is_greedy for cost in alone]


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_what_a_model_writes_by_itself_is_its_first_guess(models: dict[str, Model], name: str) -> None:
    from genloom.generate.engine import build_request, run_request

    model = models[name]
    (text,) = run_request(
        model, build_request(["The old king "], 1, 0, (), {"temperature": 0.0, "length": 8})
    ).continuations
    ((right, wrong),) = build_scorer(model)([("The old king ", (text, text[:-1] + "~"))])
    assert (right.is_greedy, wrong.is_greedy) == (True, False)
    assert right.nats < wrong.nats


@pytest.mark.parametrize("name", ["tales", "pairs"])
def test_a_cut_puts_nothing_of_a_continuation_into_the_context(models: dict[str, Model], name: str) -> None:
    model = models[name]
    for context, continuations in ASKED:
        parted = split_context(model, context, continuations)
        assert context.encode().startswith(model.codec.decode(parted.prefix).encode())
        for row, text in zip(parted.suffixes, continuations, strict=True):
            assert model.codec.decode(np.concatenate([parted.prefix, row])) == context + text
        assert all(len(row) for row in parted.suffixes)


def test_a_model_that_says_all_is_alike_costs_the_same_a_symbol(models: dict[str, Model]) -> None:
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


def test_a_model_that_writes_here_and_there_is_refused(home: Workspace) -> None:
    with pytest.raises(ValueError, match="masks/1 does not write from left to right"):
        build_scorer(load_model(home, "masks"))


def test_the_data_files_are_part_of_the_package() -> None:
    folder = Path(reading.__file__).parent
    assert {path.name for path in folder.glob("*.tsv")} == {"choice.tsv", "cloze.tsv"}
