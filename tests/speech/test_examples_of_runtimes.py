"""The command that an import suggests for a model of speech."""

import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from genloom.cli.app import VERBS
from genloom.cli.commands.import_ import suggest_command
from genloom.exchange.runtime_catalog import RUNTIME_MODELS


@pytest.mark.parametrize("name", RUNTIME_MODELS)
def test_the_command_after_an_import_names_the_model(name: str) -> None:
    entry = RUNTIME_MODELS[name]
    card = {"runtime": {"name": entry.runtime, "verb": entry.verb, "example": entry.example}}
    result: Any = SimpleNamespace(folder=SimpleNamespace(name="my voice", card=card), has_chat_template=False)
    verb, *arguments = shlex.split(suggest_command(result))
    assert verb in VERBS
    assert arguments[arguments.index("--model") + 1] == "my voice"
