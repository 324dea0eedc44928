"""Options of a collection that belong to one medium: the fields that the preparations add to the shared ones."""

from contextlib import suppress
from dataclasses import field, fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Parameter

from genloom import plugins
from genloom.cli.options.numbers import checked_int, finite_float
from genloom.collect.options import Options
from genloom.collect.preparation import get_preparation
from genloom.errors import GenloomError


def build_collect_flags() -> Any:
    """Return a group of options, those of all media; each is None unless it is given."""
    shared_names = {f.name for f in fields(Options)}
    flags: dict[str, Any] = {}
    for medium in plugins.list_part_names("preparation"):
        with suppress(GenloomError):  # a broken plugin is reported where its medium is collected
            config = get_preparation(medium).Config
            types = get_type_hints(config)
            for f in fields(config):
                if f.name not in shared_names:
                    flags.setdefault(f.name, (f.name, build_flag(types[f.name], f), field(default=None)))
    # With the module of `make_dataclass`, the parser would take it for a type of Python's own library.
    namespace = {"__module__": __name__, "__doc__": "The options of single media."}
    return Parameter(name="*")(make_dataclass("CollectFlags", flags.values(), frozen=True, namespace=namespace))


def build_flag(option_type: Any, f: Any) -> Any:
    """Return the type of an option for the parser, with its help and the numbers that it allows."""
    help, is_allowed, requirement = (f.metadata[key] for key in ("help", "is_allowed", "requirement"))
    if f.default not in ("", 0, ()):
        help += f" [default: {f.default}]"
    if option_type == tuple[str, ...]:
        option_type = list[str]
    parameter = Parameter(help=help)
    if option_type is float:
        parameter = Parameter.combine(parameter, finite_float(is_allowed, f"a number {requirement}"))
    elif option_type is int:
        parameter = Parameter.combine(parameter, checked_int(is_allowed, requirement))
    return Annotated[option_type | None, parameter]


if TYPE_CHECKING:

    class CollectFlags:
        """The options of single media."""
else:
    CollectFlags = build_collect_flags()

DEFAULT_COLLECT_FLAGS = CollectFlags()


def get_medium_options(flags: CollectFlags) -> dict[str, Any]:
    """Return the flags that are given."""
    return {name: value for name, value in vars(flags).items() if value is not None}
