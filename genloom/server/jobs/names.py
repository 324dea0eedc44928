"""Names in the parameters of a job: models, data sets, outputs and uploads, looked up before it is queued."""

import secrets
from typing import TYPE_CHECKING, Any

from genloom.errors import GenloomError
from genloom.server.access import User
from genloom.server.jobs.pairs import suggest_prompts
from genloom.server.knowledge import check_new_documents

if TYPE_CHECKING:
    from genloom.server.jobs.jobs import Jobs


def resolve_names(jobs: "Jobs", kind: str, params: dict[str, Any], user: User) -> dict[str, Any]:
    """Return the parameters with what a second attempt must not choose again: versions of models, seeds.

    Raise GenloomError for a name of nothing, and for what is another user's.
    """
    for name in ("model", "against", "other", "from", "base"):
        if params.get(name):
            model = jobs.workspace.model(params[name])
            params[name] = model.name if kind in ("learn", "forget") else model.ref
    if params.get("data"):
        jobs.workspace.dataset(params["data"])
    if kind == "import" and params["source"]:
        from genloom.exchange.catalog import list_pretrained_names

        if params["source"] not in (known := list_pretrained_names()):
            raise GenloomError("studio.unknown_source", source=params["source"], known=", ".join(known))
    if kind == "chat":
        jobs.conversations.get(params["conversation"], user)
    if kind == "knowledge":
        check_new_documents(jobs.workspace, params["name"], user)
    if kind == "arena" and not params["prompts"]:
        jobs.index.sync()
        params["prompts"] = suggest_prompts(jobs.workspace, jobs.index, jobs.workspace.model(params["model"]), user)
    if kind == "arena" and not params["prompts"]:
        params["prompts"] = [""]  # a model without prompts
    for ref in params.get("files", {}).values():
        kind_of_file, _, id = ref.partition(":")
        _ = jobs.check_output(id, user) if kind_of_file == "output" else jobs.uploads.get(id, user)
    for name in ("continue_from", "output"):
        if params.get(name):
            jobs.check_output(params[name], user)
    for name in ("upload", "consent"):
        if params.get(name):
            jobs.uploads.get(params[name], user)
    if "seed" in params and params["seed"] is None:
        params["seed"] = secrets.randbits(48)
    return params
