"""Content rules: prompts and outputs are checked before and after generation, and every decision is recorded."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from genloom.api import progress as progress_bars
from genloom.api.consent import check_model_consent
from genloom.errors import GenloomError, format_message

_BORDER_WORDS = 12  # before and after it: the longest window of the rules of the package

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
    workspace: "Workspace",
    texts: Iterable[str],
    model: str,
    target: Literal["prompt", "output"] = "prompt",
    values: "OutputValues | None" = None,
) -> None:
    """Apply the content rules to texts: record each decision in the ledger, print warnings, and refuse.

    Every way from a prompt to an output calls it before anything is generated, and again with what was generated,
    before it is stored or handed out.
    Raise GenloomError (trust.content_policy) for the first text that a rule refuses.
    """
    from genloom.trust.policy import check_text, check_values, hash_text

    if target == "prompt":
        check_model_consent(workspace, model, target)
    policy = get_content_policy(workspace)
    for text in dict.fromkeys(text for text in texts if text.strip()):
        facts = {"sha256": hash_text(text)} | ({"text": text} if policy.settings.log_text else {})
        _apply_decisions(workspace, check_text(policy, text, target), {"target": target, "model": model, **facts})
    if values is not None:
        for number, decision in check_values(policy, values.medium, values.values):
            digest = hashlib.sha256(values.encode(values.values[number])).hexdigest()
            _apply_decisions(workspace, [decision], {"target": target, "model": model, "sha256": digest})


def _apply_decisions(workspace: "Workspace", decisions: "Sequence[Decision]", facts: Mapping[str, Any]) -> None:
    """Record decisions, the strictest first, print warnings, and refuse."""
    for decision in decisions:
        score = {} if decision.score is None else {"score": decision.score}
        entry: dict[str, Any] = {"rule": decision.rule, "action": decision.action, **facts, **score}
        workspace.ledger.append("policy", entry)
        fields = {"rule": decision.rule, "target": facts["target"], "reason": decision.reason}
        if decision.action == "warn":
            progress_bars.print_note(format_message("trust.policy_warning", **fields))
    if decisions and decisions[0].action == "refuse":
        fields = {"rule": decisions[0].rule, "target": facts["target"], "reason": decisions[0].reason}
        raise GenloomError("trust.content_policy", **fields)


@dataclass(frozen=True)
class OutputValues:
    """Generated values of a medium, for rules whose classifiers read them."""

    medium: str
    values: Sequence[Any]

    def encode(self, value: Any) -> bytes:
        """Return the encoded value, whose digest the ledger has."""
        from genloom import plugins

        return plugins.find_part("medium", self.medium).encode(value)


def list_output_values(workspace: "Workspace", model: "LoadedModel", draft: "Draft") -> OutputValues | None:
    """Return what a model has generated, where a rule has a classifier of its medium; None without one, and of text."""
    from genloom.capabilities import StreamingCodec
    from genloom.trust.policy import list_value_rules

    if isinstance(model.codec, StreamingCodec):
        return None  # `list_output_texts` has it
    medium = model.design.medium
    return OutputValues(medium, draft.values) if list_value_rules(get_content_policy(workspace), medium) else None


def list_borders(messages: Sequence[str]) -> list[str]:
    """List the words around each border of two messages, so that what a rule forbids is not split over both."""
    words = [message.split() for message in messages]
    return [
        " ".join([*before[-_BORDER_WORDS:], *after[:_BORDER_WORDS]])
        for before, after in pairwise(words)
        if before and after
    ]


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
