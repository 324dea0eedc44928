"""`genloom design`: parts that hold, from their goals."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from genloom.api.design import (
    NO_MODEL,
    PLANE_SUFFIXES,
    DesignProgress,
    MadeDesign,
    find_design_model,
    iter_designs,
    save_designs,
)
from genloom.cli.console import Console
from genloom.cli.options.numbers import finite_float, int_range
from genloom.cli.options.sampling import SamplingSeed
from genloom.cli.options.workspace import WorkOptions
from genloom.cli.output_path import resolve_output_folder
from genloom.errors import GenloomError
from genloom.text_format import format_count, format_table

MAX_COUNT = 100


def run(
    file: Path | None = None,
    /,
    *,
    example: str | None = None,
    prompt: str | None = None,
    volume: Annotated[float | None, finite_float(lambda x: 0 < x <= 1, "a number above 0, at most 1")] = None,
    max_stress: str | None = None,
    max_displacement: str | None = None,
    min_thickness: str | None = None,
    symmetric: str | None = None,
    resolution: Annotated[int | None, int_range(4, 1000)] = None,
    count: Annotated[int, int_range(1, MAX_COUNT)] = 1,
    model: str = "",
    refine: Annotated[int | None, int_range(0, 500)] = None,
    guide: Annotated[float | None, finite_float(lambda x: 0 <= x <= 1, "a number from 0 to 1")] = None,
    seed: SamplingSeed | None = None,
    formats: str = "",
    out: Path | None = None,
    common: WorkOptions = WorkOptions(),
) -> int:
    """Design parts that hold from their goals: several different ones, with files for CAD and a report.

    The goals are a file (see docs/designs.md), an example, or words. Exits with 1 if no design meets all of them.

    Parameters
    ----------
    file
        Goals: a design.toml with the domain, supports, loads, material and limits.
    example
        Goals of an example: cantilever, bridge, mbb, hook or shelf.
    prompt
        Goals in words: "a light bridge held at both ends". What they are read as is shown first.
    volume
        Greatest share of the domain that may be solid, above 0 to 1.
    max_stress
        Greatest von Mises stress, with its unit: 120MPa.
    max_displacement
        Greatest displacement, with its unit: 0.5mm.
    min_thickness
        Least thickness of bars, with its unit: 2mm.
    symmetric
        Axes along which the part is mirrored: x, y or xy.
    resolution
        Elements along the longest side.
    count
        Number of designs.
    model
        Model that makes them, or none for topology optimization alone. [default: structures, if it is there]
    refine
        Steps of topology optimization after generation. [default: 5; 0 without a model]
    guide
        Weight of the solver's gradient in sampling, 0 to 1. [default: 0]
    formats
        Formats of the files, of toml,png,svg,dxf,stl,3mf,obj. [default: all]
    out
        Folder of the files. [default: designs]
    """
    workspace, console = common.open()
    goals, understood = read_design_goals(file, example, prompt)
    goals = change_goals(goals, volume, max_stress, max_displacement, min_thickness, symmetric, resolution)
    suffixes = parse_formats(formats)
    folder = resolve_output_folder(out or Path("designs"))
    print_goals(goals, understood, console)
    if not model and find_design_model(workspace, model, goals) is None:
        model = NO_MODEL
        console.print_note("No model of such parts is here: topology optimization makes them alone.")
    made: list[MadeDesign] = []
    with console.show_progress("Designing", 1.0) as bar:
        for event in iter_designs(workspace, goals, count=count, model=model, seed=seed, refine=refine, guide=guide):
            if isinstance(event, DesignProgress):
                bar.update(event.done, event.note)
            else:
                made.append(event)
    files = save_designs(
        workspace, goals, made, folder, suffixes=suffixes, understood=understood, note=console.print_note_once
    )
    print_designs(made, console)
    console.print_line(f"Files and report: {folder / 'report.html'}")
    console.print_result(
        {
            "goals": goals.title,
            "designs": [
                {
                    "name": name,
                    "files": [str(folder / each) for each in files[name]],
                    "output": None if design.output is None else design.output.id,
                    "origin": design.origin,
                    "facts": dict(design.facts),
                    "distance": design.distance,
                    "faults": list(design.faults),
                    "gains": list(design.gains),
                }
                for name, design in zip(files, made, strict=True)
            ],
            "report": str(folder / "report.html"),
        }
    )
    return 0 if any(not design.faults for design in made) else 1


def read_design_goals(file: Path | None, example: str | None, prompt: str | None) -> tuple[Any, list[tuple[str, str]]]:
    """Return the goals of a file, an example or words, and what the words were read as."""
    from genloom.generate.design import read_document
    from genloom.media.design.examples import build_example
    from genloom.media.design.words import read_words

    given = [value for value in (file, example, prompt) if value is not None]
    if len(given) != 1:
        raise GenloomError("design.one_source_of_goals", count=len(given))
    if file is not None:
        return read_document(file), []
    if example is not None:
        return build_example(example), []
    reading = read_words(str(prompt))
    return reading.goals, reading.meanings


def change_goals(
    goals: Any,
    volume: float | None,
    max_stress: str | None,
    max_displacement: str | None,
    min_thickness: str | None,
    symmetric: str | None,
    resolution: int | None,
) -> Any:
    """Return the goals with the limits and the grid of the options, checked as those of a document."""
    from genloom.media.design.document import read_limits
    from genloom.media.design.domains import change_resolution

    if resolution is not None:
        goals = replace(goals, domain=change_resolution(goals.domain, resolution))
    given = {"volume": volume, "max_stress": max_stress, "max_displacement": max_displacement,
             "min_thickness": min_thickness, "symmetry": symmetric}  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    options = {"symmetry": "--symmetric"}
    limits = read_limits(changes, goals.domain, lambda name: options.get(name, f"--{name.replace('_', '-')}"))
    return goals.with_limits(**{name: getattr(limits, name) for name in changes})


def parse_formats(text: str) -> list[str]:
    """Return the suffixes of "stl,dxf"; GenloomError for another format."""
    suffixes = [f".{name.strip().lower().removeprefix('.')}" for name in text.split(",") if name.strip()]
    for suffix in suffixes:
        if suffix not in PLANE_SUFFIXES:
            raise GenloomError("design.bad_save_suffix", suffix=suffix)
    return suffixes


def print_goals(goals: Any, understood: list[tuple[str, str]], console: Console) -> None:
    """Print what is asked, and what words were read as."""
    from genloom.media.design.facts import describe_limits
    from genloom.media.design.words import describe_state

    if understood:
        console.print_line("Understood:")
        console.print_lines(format_table([*understood]), indent="  ")
    size = " × ".join(f"{1e3 * x:.4g}" for x in goals.domain.size)
    elements = " × ".join(map(str, goals.domain.elements))
    console.print_line(f"{goals.title or 'Goals'}: {size} mm, {elements} elements; {describe_state(goals)}")
    for name, text in describe_limits(goals):
        console.print_line(f"  {name}: {text}")


def print_designs(made: list[MadeDesign], console: Console) -> None:
    """Print a line for each design, and where one misses its goals."""
    names = ("mass, g", "compliance, J", "displacement, mm", "stress, MPa", "holes")
    rows = [("", *names, "differs by", "compliance before the finish")]
    for number, design in enumerate(made, start=1):
        values = [f"{design.facts[name]:.4g}" if name in design.facts else "" for name in names]
        distance = "" if design.distance is None else f"{100 * design.distance:.0f} %"
        before = f"{design.gains[0]['compliance']:.4g} J" if design.gains else ""
        rows.append((f"design-{number}", *values, distance, before))
    console.print_lines(format_table(rows))
    for number, design in enumerate(made, start=1):
        if design.faults:
            console.print_note(f"design-{number} misses its goals: {'; '.join(design.faults)}.")
    missed = sum(bool(design.faults) for design in made)
    if missed == len(made):
        console.print_note(f"None of {format_count(len(made), 'design')} meets all goals.")
        console.print_hint("More material, fewer elements in thin places, or other limits: --volume, --resolution.")
