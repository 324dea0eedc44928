"""Options that edit a source, and those that show several outputs on one sheet or interpolate between two."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Parameter

from genloom import plugins
from genloom.api.edit_options import find_editing
from genloom.api.models import Model
from genloom.cli.options.numbers import checked_int, finite_float, int_range
from genloom.errors import GenloomError

DEFAULT_STEPS_BETWEEN = 8
NUMBER_TYPES = frozenset({int | None, float | None})


@Parameter(name="*")
@dataclass(frozen=True)
class SheetOptions:
    """Contact sheets of several outputs, and interpolation between two."""

    sheet: bool = False
    """Contact sheet of all outputs, beside them."""

    interpolate: bool = False
    """Interpolation between two prompts, or between two outputs of one prompt."""

    steps_between: Annotated[int, int_range(2, 10_000)] | None = None
    """Outputs of an interpolation. [default: 8]"""

    @property
    def num_interpolated(self) -> int:
        """Number of outputs of an interpolation, 0 without one; raise for options that contradict each other."""
        if self.steps_between is not None and not self.interpolate:
            raise GenloomError("cli.steps_between_without_interpolate")
        return (self.steps_between or DEFAULT_STEPS_BETWEEN) * self.interpolate


def build_edit_flags() -> Any:
    """Return a group of options, all the editing options of all media; each is None unless it is given."""
    classes = {}
    for medium in plugins.list_part_names("editing"):
        with suppress(GenloomError):  # a broken plugin is reported where its medium is used
            classes[medium] = plugins.find_part("editing", medium).EditOptions
    return build_flags("EditFlags", classes, "The editing options of all media.")


def build_flags(name: str, classes: Mapping[str, Any], description: str) -> Any:
    """Return a group of options, those of the dataclasses of all media; each is None unless it is given."""
    options: dict[str, tuple[Any, dict[str, Any]]] = {}
    for medium, options_class in classes.items():
        types: dict[str, Any] = get_type_hints(options_class)
        for f in fields(options_class):
            if f.name not in options:
                options[f.name] = types[f.name], dict(f.metadata)
                continue
            option_type, metadata = options[f.name]
            if f.metadata["help"] != metadata["help"]:
                metadata["help"] += f" Of {medium}: {f.metadata['help']}"
            if types[f.name] != option_type and {types[f.name], option_type} <= NUMBER_TYPES:
                # Each medium checks its own numbers, whole or not: seconds of a sound, bars of a tune.
                options[f.name] = float | None, metadata | join_requirements(metadata, f.metadata)
    flags: dict[str, Any] = {}
    for option_name, (option_type, metadata) in options.items():
        flag: Any = Annotated[option_type, build_flag_parameter(option_type, metadata)]
        flags[option_name] = option_name, flag, field(default=None)
    # With the module of `make_dataclass`, the parser would take it for a type of Python's own library.
    namespace = {"__module__": __name__, "__doc__": description}
    return Parameter(name="*")(make_dataclass(name, flags.values(), frozen=True, namespace=namespace))


def join_requirements(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return what allows a number that one of two options allows."""
    checks = first["is_allowed"], second["is_allowed"]
    requirements = dict.fromkeys((first["requirement"], second["requirement"]))
    return {
        "is_allowed": lambda number: any(check(number) for check in checks),
        "requirement": " or ".join(requirements),
    }


def build_flag_parameter(option_type: Any, metadata: Any) -> Parameter:
    """Return what the parser needs to know of an option: its help, and the numbers that it allows."""
    parameter = Parameter(help=metadata["help"], allow_leading_hyphen=option_type == str | None)
    if option_type == int | None:
        return Parameter.combine(parameter, checked_int(metadata["is_allowed"], metadata["requirement"]))
    if option_type != float | None:
        return parameter
    return Parameter.combine(parameter, finite_float(metadata["is_allowed"], f"a number {metadata['requirement']}"))


if TYPE_CHECKING:

    class EditFlags:
        """The editing options of all media."""
else:
    EditFlags = build_edit_flags()

DEFAULT_SHEET_OPTIONS, DEFAULT_EDIT_FLAGS = SheetOptions(), EditFlags()


def get_edit_options(flags: EditFlags, model: Model) -> dict[str, Any]:
    """Return the flags that are given; raise for one that the model's medium lacks."""
    given = {name: value for name, value in vars(flags).items() if value is not None}
    if not given:
        return given
    options_class = find_editing(model.load()).EditOptions
    known_names = [f.name for f in fields(options_class)]
    if unknown_names := sorted(given.keys() - set(known_names)):
        option, *known = (name.rstrip("_").replace("_", "-") for name in (unknown_names[0], *known_names))
        known_flags = ", ".join(f"--{name}" for name in known)
        raise GenloomError("cli.edit_of_other_medium", option=option, model=model.ref, known=known_flags)
    types = get_type_hints(options_class)
    return {name: to_whole_number(name, value) if types[name] == int | None else value for name, value in given.items()}


def to_whole_number(name: str, value: float) -> int:
    """Return the value of a flag that is whole for this medium, and not for others; GenloomError for another one."""
    if value != int(value):
        raise GenloomError(
            "generate.bad_edit_option",
            name=name.rstrip("_").replace("_", "-"),
            requirement="a whole number",
            value=value,
        )
    return int(value)
