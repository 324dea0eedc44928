"""Content rules: prompts and outputs are checked before and after generation, and every decision is recorded."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from genloom.api import progress as progress_bars
from genloom.errors import GenloomError, format_message

if TYPE_CHECKING:
    from pathlib import Path

    from genloom.api.workspace import Workspace
    from genloom.generate.decode import Draft
    from genloom.generate.engine import Request
    from genloom.model import Model as LoadedModel
    from genloom.trust.policy import ContentPolicy, Decision


def get_content_policy(workspace: "Workspace") -> "ContentPolicy":
    """The rules that hold in this workspace: those of the package, and those of its policy.toml.

    Raises
    ------
    GenloomError
        trust.bad_policy: the file cannot be read; trust.fixed_rule: it replaces a rule that always holds.
    """
    from genloom.trust.policy import load_policy

    return load_policy(workspace.folder)


def check_content(
    workspace: "Workspace", text: str, target: Literal["prompt", "output"] = "prompt"
) -> "Sequence[Decision]":
    """Return the content rules that apply to a text, the strictest first; nothing is recorded.

    Parameters
    ----------
    text
        Text to check.
    target
        What the text is: prompt or output.

    Raises
    ------
    GenloomError
        trust.bad_policy, trust.fixed_rule.
    """
    from genloom.trust.policy import check_text

    return check_text(get_content_policy(workspace), text, target)


def create_policy(workspace: "Workspace") -> "Path":
    """Write a policy.toml with an example to the workspace, and return its path.

    Raises
    ------
    GenloomError
        trust.policy_exists: there is one.
    """
    from genloom.trust.policy import write_template

    return write_template(workspace.folder)


def apply_policy(
    workspace: "Workspace", texts: Iterable[str], model: str, target: Literal["prompt", "output"] = "prompt"
) -> None:
    """Apply the content rules to texts: record each decision in the ledger, print warnings, and refuse.

    Every way from a prompt to an output calls it before anything is generated, and again with what was generated,
    before it is stored or handed out.
    Raise GenloomError (trust.content_policy) for the first text that a rule refuses.
    """
    from genloom.trust.policy import check_text, hash_text

    policy = get_content_policy(workspace)
    for text in dict.fromkeys(text for text in texts if text.strip()):
        decisions = check_text(policy, text, target)
        for decision in decisions:
            entry: dict[str, Any] = {"rule": decision.rule, "action": decision.action, "target": target, "model": model}
            entry |= {"sha256": hash_text(text)} | ({"text": text} if policy.settings.log_text else {})
            workspace.ledger.append("policy", entry)
            if decision.action == "warn":
                progress_bars.print_note(
                    format_message("trust.policy_warning", rule=decision.rule, target=target, reason=decision.reason)
                )
        if decisions and decisions[0].action == "refuse":
            raise GenloomError(
                "trust.content_policy", rule=decisions[0].rule, target=target, reason=decisions[0].reason
            )


def list_prompt_texts(model: "LoadedModel", request: "Request") -> list[str]:
    """List the texts that a request gives to the model: prompts, the other end of an interpolation, and conditions."""
    texts = [*request.prompts]
    if request.interpolation is not None:
        texts += request.interpolation.prompts
    texts += [value for values in request.given for value in values.values() if isinstance(value, str)]
    return texts


def list_output_texts(model: "LoadedModel", draft: "Draft") -> list[str]:
    """List what a model of text has generated; nothing of other media, which have no words to read."""
    from genloom.capabilities import StreamingCodec

    return list(draft.continuations) if isinstance(model.codec, StreamingCodec) else []
