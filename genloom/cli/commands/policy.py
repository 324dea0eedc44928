"""`genloom policy`: the content rules of a workspace, and the consents of persons in its data."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from genloom.cli.console import Console
from genloom.cli.options.workspace import CommonOptions
from genloom.errors import GenloomError
from genloom.program import quote_name
from genloom.text_format import format_table

if TYPE_CHECKING:
    from genloom.trust.policy import ContentPolicy

Action = Literal["show", "check", "new", "withdraw"]
_LIKENESSES = ("needed", "assumed")


def run(
    action: Action = "show",
    text: str | None = None,
    /,
    *,
    output: bool = False,
    who: str = "",
    common: CommonOptions = CommonOptions(),
) -> int:
    """Show content rules and consents, test a text, write a policy file, or withdraw a consent.

    Exits with 1 if the text is refused.

    Parameters
    ----------
    action
        show, check TEXT, new (writes policy.toml to the workspace), or withdraw DATA.
    text
        Text to test; nothing is recorded. With withdraw, the data set.
    output
        Rules for outputs instead of those for prompts.
    who
        Person who withdraws the consent to a data set.
    """
    workspace, console = common.open()
    if (action in ("check", "withdraw")) != (text is not None) or (action == "withdraw") != bool(who):
        raise GenloomError("cli.policy_usage", action=action)
    if action == "withdraw":
        workspace.withdraw_consent(str(text), who)
        console.print_line(f"Recorded: {who} has withdrawn the consent to the data set {text!r}.")
        console.print_hint(f"Models that learned from it: genloom trace {quote_name(str(text))} --kind data --forward")
        console.print_result({"data": text, "who": who, "state": "withdrawn"})
        return 0
    if action == "new":
        path = workspace.create_policy()
        console.print_line(
            f"An example of content rules is in {path}. Edit it, then test it: genloom policy check TEXT"
        )
        console.print_result({"file": str(path)})
        return 0
    if action == "show":
        _print_policy(workspace.content_policy, workspace.list_consents(), console)
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


def _print_policy(policy: "ContentPolicy", consents: Sequence[Mapping[str, Any]], console: Console) -> None:
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
    rules = policy.consent
    answers = ", ".join(f"{f.name}: {getattr(rules, f.name)}" for f in fields(rules) if f.name not in _LIKENESSES)
    console.print_line("")
    console.print_line(f"Consents: needed for {' and '.join(rules.needed)} of persons. {answers}.")
    if consents:
        header = ("data", "person", "of", "for", "until", "state")
        console.print_lines(format_table([header, *map(_list_cells, consents)]))
    console.print_result({**policy.to_json(), "consents": list(consents)})


def _list_cells(consent: Mapping[str, Any]) -> tuple[str, ...]:
    lists = (", ".join(consent[name]) for name in ("of", "purposes"))
    return (consent["data"], consent["who"], *lists, consent.get("until", "-"), consent["state"])
