"""The parameters of a request: those of the model's sampler and of guidance, with what its medium suggests."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from genloom import plugins
from genloom.errors import GenloomError
from genloom.generate import conditions
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.settings import OptionInfo, apply_overrides, list_options, parse_settings
from genloom.types import is_open_sequence


def build_unknown_param_error(model: Model, name: str) -> GenloomError:
    known = ", ".join(list_request_params(model))
    return GenloomError("generate.unknown_param", objective=model.design.objective, name=name, known=known)


def list_request_params(model: Model) -> list[str]:
    """Return the names of the parameters that a request to this model can have, sorted."""
    return sorted(each.name for each in list_request_options(model))


def list_request_options(model: Model) -> list[OptionInfo]:
    """List the parameters that a request to this model can have: those of its sampler, and of guidance."""
    guidance_options = list_options(conditions.GuidanceConfig) if conditions.can_guide(model) else []
    names = {"size"} if is_open_sequence(model.codec.space) else set()  # which only samples on a grid have
    return [each for each in list_options(get_params_class(model)) if each.name not in names] + guidance_options


def add_suggested_params(model: Model, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters that are not None, and what the medium or the sampler suggests for others."""
    options = {each.name: each.suggested for each in list_request_options(model)}
    by_medium = get_ability(plugins.find_part("medium", model.design.medium), "suggested_params")
    suggested = {name: value for name, value in options.items() if value is not None}
    suggested |= {name: value for name, value in by_medium.items() if name in options}
    return suggested | {name: value for name, value in params.items() if value is not None}


def parse_params(model: Model, settings: Sequence[str]) -> dict[str, Any]:
    """Return sampling parameters from texts like "top_k=40"; text options take any text, others TOML values.

    Values are checked with the request. Raise ValueError for a text without a "=", and for an unknown name.
    """
    types = {each.name: each.type for each in list_request_options(model)}
    params: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise GenloomError("generate.bad_param_syntax", value=text)
        if (option_name := name.partition(".")[0]) not in types:
            raise build_unknown_param_error(model, option_name)
        if name in params:
            raise GenloomError("generate.param_twice", name=name)
        params = {**params, name: value} if types.get(name) == "str" else apply_overrides(params, {name: value})
    return params


def build_sampling_params(model: Model, params: Mapping[str, Any]) -> Any:
    """Return the parameters of the sampler among those of a request; raise GenloomError for an invalid value."""
    params_class = get_params_class(model)
    names = {f.name for f in fields(params_class)}
    given = {name: value for name, value in params.items() if name in names and value is not None}
    return parse_settings(params_class, given, "generate")


def get_params_class(model: Model) -> Any:
    return plugins.find_part("objective", model.design.objective).SamplingParams
