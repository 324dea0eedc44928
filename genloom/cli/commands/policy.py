"""`genloom policy`: the content rules of a workspace."""

from typing import TYPE_CHECKING, Literal

from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import GenloomError
from genloom.text_format import format_table

if TYPE_CHECKING:
    from genloom.trust.policy import ContentPolicy

Action = Literal["show", "check", "new"]


def run(
    action: Action = "show",
    text: str | None = None,
    /,
    *,
    output: bool = False,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Show the content rules, test a text against them, or write a policy file to change.

    Exits with 1 if the text is refused.

    Parameters
    ----------
    action
        show, check TEXT, or new (writes policy.toml to the workspace).
    text
        Text to test; nothing is recorded.
    output
        Rules for outputs instead of those for prompts.
    """
    workspace, console = common.open()
    if (action == "check") != (text is not None):
        raise GenloomError("cli.policy_usage", action=action)
    if action == "new":
        path = workspace.create_policy()
        console.print_line(
            f"An example of content rules is in {path}. Edit it, then test it: genloom policy check TEXT"
        )
        console.print_result({"file": str(path)})
        return 0
    if action == "show":
        _print_policy(workspace.content_policy, console)
        return 0
    decisions = workspace.check_content(str(text), "output" if output else "prompt")
    verbs = {"refuse": "Refused", "warn": "Warned of", "log": "Logged"}
    console.print_lines(
        f"{verbs[each.action]} by the rule {each.rule!r} ({each.reason}): {', '.join(map(repr, each.words))}"
        for each in decisions
    )
    if not decisions:
        console.print_line("No rule applies.")
    is_refused = any(each.action == "refuse" for each in decisions)
    console.print_result({"refused": is_refused, "decisions": [each.to_json() for each in decisions]})
    return 1 if is_refused else 0


def _print_policy(policy: "ContentPolicy", console: Console) -> None:
    rows = [
        (
            name,
            rule.action,
            " and ".join(rule.all),
            " or ".join(rule.none) or "-",
            f"{rule.window} words" if rule.window else "anywhere",
            " and ".join(rule.on),
            rule.reason,
        )
        for name, rule in policy.rules.items()
    ]
    console.print_lines(format_table([("rule", "action", "all of", "none of", "within", "on", "reason"), *rows]))
    console.print_result(policy.to_json())
