"""Settings of objectives and samplers: their checks, and the temperature of samplers of tokens."""

from collections.abc import Mapping
from typing import Any

from genloom.errors import GenloomError
from genloom.settings import find_invalid_option, option

SUGGESTED_TEMPERATURE = 0.8  # for people; the default is the model's own distribution


def temperature_option() -> Any:
    """Return the option of the temperature of a sampler of tokens."""
    return option(
        1.0,
        "Sampling temperature; 0 always picks the most likely token.",
        is_valid=lambda value: value == 0 or 1e-3 <= value <= 1e3,
        requirement="0, or from 0.001 to 1000",
        suggested=SUGGESTED_TEMPERATURE,
    )


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
