"""The prompt library as the server reads it: prompts by their names, never files by their paths."""

from collections.abc import Mapping
from typing import Any

from genloom.api.workspace import Workspace
from genloom.api.writing import apply_length
from genloom.assistant.prompts.library import is_path
from genloom.assistant.prompts.prompt import Prompt
from genloom.assistant.writing.lengths import LENGTH
from genloom.errors import GenloomError
from genloom.store.names import unknown_name_error, validate_name


def get_prompt(workspace: Workspace, ref: str) -> Prompt:
    """Return the prompt `email` (its newest version) or `email/2`; a path names no prompt here."""
    refuse_path(workspace, ref)
    return workspace.prompts.get(ref)


def refuse_path(workspace: Workspace, ref: str) -> None:
    """Raise GenloomError for what names a file."""
    if is_path(ref):
        name = validate_name(ref, "prompt")
        raise unknown_name_error("prompt", name, workspace.prompts.library.list_names(), "genloom prompts")


def resolve_prompts(workspace: Workspace, kind: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a job with the version of the prompt that it names, and the text that it asks.

    Raise GenloomError for an unknown prompt, and for values that it does not take.
    """
    if kind == "test_prompt":
        prompt = get_prompt(workspace, params["prompt"])
        if not prompt.tests:
            raise GenloomError("assistant.no_tests", prompt=prompt.name)
        return {**params, "prompt": prompt.ref}
    template = params.get("template")
    if template is None:
        return params
    prompt = get_prompt(workspace, template["name"])
    values, _, _ = apply_length(prompt, template["given"], template["length"])
    question = prompt.prompt_template.render(prompt.fill_values(values))
    return {**params, "prompt": question.strip(), "template": {**template, "name": prompt.ref}}


def describe_prompt(prompt: Prompt, num_versions: int) -> dict[str, Any]:
    """Return a prompt as lists show it."""
    required = prompt.required_variables
    return {
        "name": prompt.name,
        "ref": prompt.ref,
        "version": prompt.version,
        "versions": num_versions,
        "description": prompt.description,
        "owner": prompt.owner,
        "examples": len(prompt.examples),
        "tests": len(prompt.tests),
        "lengths": dict(prompt.words) if LENGTH in prompt.variables else {},
        "takes_length": LENGTH in prompt.variables,
        "variables": [
            {
                "name": name,
                "description": variable.description,
                "is_required": name in required,
                "is_list": variable.kind == "list",
                "default": variable.default,
                "choices": list(variable.choices),
                "is_closed": variable.is_closed,
            }
            for name, variable in prompt.variables.items()
            if name != LENGTH
        ],
    }


def describe_versions(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """Return the versions of a prompt, the newest first, with the ratings of what was written from each."""
    library, counts = workspace.prompts.library, workspace.prompts.count_ratings(name)
    found = [library.get(f"{name}/{number}") for number in reversed(library.list_versions(name))]
    return [
        {
            "version": each.version,
            "created": each.created or None,
            "owner": each.owner,
            "note": each.note,
            "up": counts.get(each.version, (0, 0))[0],
            "down": counts.get(each.version, (0, 0))[1],
        }
        for each in found
    ]


def change_prompt(workspace: Workspace, name: str, changes: Mapping[str, Any], note: str) -> Prompt:
    """Save a prompt as the next version of its name: the newest one with these texts; a new one if there is none."""
    given = {key: value for key, value in changes.items() if value is not None}
    if not given.get("prompt", "text").strip():
        raise GenloomError("assistant.empty_prompt")
    refuse_path(workspace, name)
    is_known = name in workspace.prompts.library.list_names()
    return workspace.prompts.new(name, copy_of=name if is_known else "", note=note, **given)
