"""Options that change the copies of outputs that --out writes."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from genloom import plugins
from genloom.api.models import Model
from genloom.api.outputs import check_save_options
from genloom.cli.options.editing import build_flags
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability

SVG = ".svg"


@Parameter(name="*")
@dataclass(frozen=True)
class CopyOptions:
    """Further files beside the copies of outputs."""

    svg: bool = False
    """Drawing as SVG beside each copy."""


def build_save_flags() -> Any:
    """Return a group of options, those of saving of all media; each is None unless it is given."""
    classes = {}
    for name in plugins.list_part_names("medium"):
        with suppress(GenloomError):  # a broken plugin is reported where its medium is used
            if (options_class := get_ability(plugins.find_part("medium", name), "SaveOptions")) is not None:
                classes[name] = options_class
    return build_flags("SaveFlags", classes, "The options of all media that change copies of outputs.")


if TYPE_CHECKING:

    class SaveFlags:
        """The options of all media that change copies of outputs."""
else:
    SaveFlags = build_save_flags()

DEFAULT_COPY_OPTIONS, DEFAULT_SAVE_FLAGS = CopyOptions(), SaveFlags()


def get_save_options(flags: SaveFlags, copies: CopyOptions, model: Model, out: Path | None) -> dict[str, Any]:
    """Return the flags that are given; raise GenloomError if there are no copies, or for what the medium lacks."""
    given = {name: value for name, value in vars(flags).items() if value is not None}
    names = [*given, *(["svg"] if copies.svg else [])]
    if names and out is None:
        raise GenloomError("cli.copies_without_out", options=" and ".join(f"--{name}" for name in names))
    medium = plugins.find_part("medium", model.load().design.medium) if names else None
    if copies.svg:
        if SVG not in get_ability(medium, "save_suffixes"):
            raise GenloomError("cli.no_drawings", model=model.ref)
        get_ability(medium, "require_save_suffix")(Path(f"copy{SVG}"))
    if given:
        check_save_options(medium, given)
    return given
