"""Checks of the settings of objectives and samplers."""

from collections.abc import Mapping

from genloom.errors import GenloomError
from genloom.settings import find_invalid_option


def check_settings(settings: object, requirements: Mapping[str, tuple[bool, str]]) -> None:
    """Raise ValueError for the first setting whose requirement (is it met?, its text) is not met."""
    for name, (is_met, requirement) in requirements.items():
        if not is_met:
            raise GenloomError(
                "objectives.bad_setting", name=name, requirement=requirement, value=getattr(settings, name)
            )


def check_options(params: object) -> None:
    """Raise ValueError for the first sampling parameter with a value that its field does not allow."""
    if (invalid := find_invalid_option(params)) is not None:
        name, requirement, value = invalid
        raise GenloomError("objectives.bad_setting", name=name, requirement=requirement, value=value)
