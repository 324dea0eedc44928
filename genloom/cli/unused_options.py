"""Options that an action of a command does not use: they are refused, since nothing would come of them."""

from collections.abc import Mapping

from genloom.errors import GenloomError


def refuse_unused_options(action: str, given: Mapping[str, tuple[bool, str]]) -> None:
    """Raise GenloomError for an option that was given to an action that does not use it.

    Parameters
    ----------
    action
        The action as it was typed, e.g. "list" or "new marking".
    given
        For each option, whether it was given, and the actions that use it, separated by ", ".

    Raises
    ------
    GenloomError
        cli.option_without_effect.
    """
    for option, (is_given, users) in given.items():
        if is_given and action not in users.split(", "):
            raise GenloomError("cli.option_without_effect", option=option, action=action, users=users)
