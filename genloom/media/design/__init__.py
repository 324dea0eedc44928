"""The medium design: parts that hold, a density on a grid with its goals; saved for CAD programs and printers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.design.document_writing import write_goals
from genloom.media.design.structure import Structure, read_structure, write_structure
from genloom.media.saving import write_file
from genloom.settings import explain_unreadable_file
from genloom.types import DefaultRecipe, Display, Item

kind: str = "design"
plural: str = "designs"
unit: str = "element"
suggested_params: Mapping[str, Any] = {"steps": 4, "guidance_scale": 1.0}  # the finish does the rest
suffixes: tuple[str, ...] = (".toml",)
save_suffixes = (".toml", ".png", ".svg", ".dxf", ".stl", ".3mf", ".obj")
notice: str = "Computed for the loads and the ideal material of its goals only; have whatever people rely on checked."
MAX_BYTES = 8 << 20
MAX_PREVIEW_COLUMNS = 64
IDENTITY_CELLS = 16  # on a side, by which designs that look alike are told from others

_GOALS: Mapping[str, Any] = {"conditions": {"goals": {"name": "goals"}}}
default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(("flow",), "unet", ("density",), batch_size=32, context_length=0, settings=_GOALS),
    DefaultRecipe((), "unet", ("density",), batch_size=32, context_length=0, settings=_GOALS),
)


def open(path: Path) -> Item:
    """Return the design in a file as an Item; `meta` has its title. GenloomError for goals without a design yet."""
    path = Path(path)
    text = read_text(path)
    try:
        structure = read_structure(text)
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    return Item(structure, str(path), meta={"title": structure.goals.title if structure.goals else ""})


def read_text(path: Path) -> str:
    """Return the text of a document; GenloomError for a file that is too large, missing or no text."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    try:
        return decode_text(data)
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error


def decode_text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise GenloomError("design.file_too_large", limit=MAX_BYTES >> 20)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise GenloomError("design.not_text") from None


def save(item: Item, path: Path) -> None:
    """Write the design in the format of the suffix: its document, a picture, an outline or a solid."""
    path = Path(path)
    data = render(item.value, path.suffix.lower())
    write_file(path, lambda file: file.write(data))


def render(structure: Structure, suffix: str) -> bytes:
    """Return the design as a file of this suffix; GenloomError for another one."""
    if suffix in suffixes:
        return encode(structure)
    if suffix == ".png":
        return show(structure).data
    if suffix in (".svg", ".dxf"):
        from genloom.media.design import vector_files

        return vector_files.write_svg(structure) if suffix == ".svg" else vector_files.write_dxf(structure)
    if suffix in (".stl", ".3mf", ".obj"):
        from genloom.media.design import solids

        return solids.write_solid(structure, suffix)
    raise GenloomError("design.bad_save_suffix", suffix=suffix or "such")


def preview(item: Item) -> str:
    """Return the design for a terminal: its facts, and its material in characters."""
    from genloom.media.design.drawing import draw_letters
    from genloom.media.design.facts import format_facts

    structure: Structure = item.value
    return "\n".join([format_facts(structure), *draw_letters(structure, MAX_PREVIEW_COLUMNS)])


def check(item: Item) -> list[str]:
    """List where a design misses its goals; an empty list if it meets them."""
    from genloom.media.design.facts import list_faults

    return list_faults(item.value)


def count_units(value: Structure) -> int:
    """Return the number of elements."""
    return value.levels.size


def describe(value: Structure) -> Mapping[str, float]:
    """Return its volume, parts and holes, and, with goals, its mass and what it does under its loads."""
    from genloom.media.design.facts import compute_facts

    return compute_facts(value)


def extract_style_features(value: Structure) -> np.ndarray:
    """Return what people notice first of a design."""
    from genloom.media.design import style_features

    return style_features.measure_style_features(value)


def identify_value(value: Structure) -> str:
    """Return a text that is the same for designs that look alike: their material in coarse cells, and their goals."""
    import hashlib

    from genloom.media.design.mechanics.resampling import resample_density

    cells = resample_density(value.density, (IDENTITY_CELLS,) * value.axes) >= 0.5
    goals = write_goals(value.goals) if value.goals else ""
    return hashlib.sha256(np.packbits(cells).tobytes() + str(value.shape).encode() + goals.encode()).hexdigest()


def show(value: Structure) -> Display:
    """Return a picture with supports and loads, and the design in characters."""
    return sheet([value])


def sheet(values: Sequence[Structure], captions: Sequence[str] = ()) -> Display:
    """Return pictures in rows, each above its caption."""
    from genloom.media.design.drawing import draw_png

    texts = captions or [""] * len(values)
    text = "\n\n".join(
        f"{caption}\n{preview(Item(value))}".lstrip() for value, caption in zip(values, texts, strict=True)
    )
    return Display("image/png", draw_png(values, captions), text)


def encode(value: Structure) -> bytes:
    """Return the document of a design, with its goals and its density."""
    return write_structure(value).encode()


def decode(data: bytes) -> Structure:
    """Return the design of a document; ValueError if it is damaged."""
    return read_structure(decode_text(data))
