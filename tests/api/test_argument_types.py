"""The public classes of the Python API name an argument of a wrong type before they do anything."""

from collections.abc import Callable
from typing import Any

import pytest

from genloom.api.arena import Arena, Trial
from genloom.api.argument_types import check_arguments
from genloom.api.datasets import Dataset
from genloom.api.models import Model
from genloom.api.receipts import Receipt
from genloom.api.runs import Run, SavedConversation
from genloom.store.dataset import Split
from tests.errors import raises_code


@pytest.mark.parametrize(
    ("cls", "method", "arguments", "name"),
    [
        (Dataset, "documents", {"split": 3}, "split"),
        (Dataset, "documents", {"split": None}, "split"),
        (Dataset, "documents", {"split": "dev"}, "split"),
        (Arena, "__init__", {"model": Model.__new__(Model), "prompts": "x", "given": {}, "params": {}}, "prompts"),
        (Arena, "__init__", {"model": "notes", "prompts": ["x"], "given": {}, "params": {}}, "model"),
        (Receipt, "save", {"path": 3}, "path"),
        (Receipt, "save", {"path": None}, "path"),
    ],
)
def test_every_class_names_the_wrong_argument(cls: type, method: str, arguments: dict[str, Any], name: str) -> None:
    with raises_code("api.wrong_argument", argument=name):
        getattr(object.__new__(cls), method)(**arguments)


@pytest.mark.parametrize("cls", [Arena, Dataset, Receipt, Run, SavedConversation, Trial])
def test_every_public_method_is_checked(cls: type) -> None:
    methods = [each for name, each in vars(cls).items() if isinstance(each, Callable) and not name.startswith("_")]
    assert methods
    assert all(hasattr(method, "__wrapped__") for method in methods if not isinstance(method, type))


def test_a_literal_is_one_of_its_values() -> None:
    @check_arguments
    class Reader:
        def read(self, split: Split, rest: str | None = None) -> str:
            return f"{split} {rest}"

    assert Reader().read("val") == "val None"
    with raises_code("api.wrong_argument", argument="split", expected="'train' or 'val' or 'test'"):
        Reader().read("valid")  # ty: ignore[invalid-argument-type]
