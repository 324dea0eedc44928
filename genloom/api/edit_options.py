"""The options of editing among the keywords of a generation: each medium has its own."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError

if TYPE_CHECKING:
    from genloom.model import Model as LoadedModel


def find_editing(model: "LoadedModel") -> Any:
    """Return the module that edits values of the model's medium."""
    from genloom import plugins

    return plugins.find_medium_part("editing", model.design.medium)


def split_edit_options(model: "LoadedModel", params: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the editing options of the model's medium among the keywords (None without any), and the others."""
    options_class = find_editing(model).EditOptions
    names = {f.name for f in fields(options_class)}
    options = {name: value for name, value in params.items() if name in names and value is not None}
    others = {name: value for name, value in params.items() if name not in names}
    return (options_class(**options) if options else None), others


def take_prompt(
    model: "LoadedModel", prompts: Sequence[str], params: Mapping[str, Any]
) -> tuple[Sequence[str], dict[str, Any]]:
    """Return the prompts and parameters, the prompt as the editing option that takes it in media that have one."""
    from genloom.conditioners import PROMPT

    name = getattr(find_editing(model), "PROMPT_OPTION", "")
    if not name or PROMPT in model.conditioners or not any(prompts):
        return prompts, dict(params)
    if len(set(prompts)) > 1:
        raise GenloomError("generate.several_goals", count=len(set(prompts)))
    if params.get(name) is not None:
        raise GenloomError("generate.prompt_and_goal", option=name)
    return [""] * len(prompts), {**params, name: prompts[0]}
