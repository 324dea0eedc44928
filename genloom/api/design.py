"""Designs of parts: several different ones for the same goals, finished, assessed, and saved with a report."""

import secrets
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloom import __version__
from genloom.api import progress as progress_bars
from genloom.api.generation import GenerationProgress
from genloom.api.outputs import Output
from genloom.api.signing import Note, save_signed
from genloom.errors import GenloomError
from genloom.store.clock import get_now
from genloom.store.files import expand_home
from genloom.text_format import format_count

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.media.design.goals import DesignGoals
    from genloom.media.design.structure import Structure

BUILT_IN_MODEL = "structures"
NO_MODEL = "none"
COMPUTED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"  # by a program that was not trained
PLANE_SUFFIXES = (".toml", ".png", ".svg", ".dxf", ".stl", ".3mf", ".obj")
SOLID_SUFFIXES = (".toml", ".png", ".stl", ".3mf", ".obj")
SLACK = 0.1  # of the compliance: designs softer than the stiffest by more are not chosen for being different
MAX_GENERATED = 4  # designs that a model makes for each that is wanted, of which different ones are chosen


@dataclass(frozen=True)
class DesignProgress:
    """A step towards the designs."""

    done: float  # from 0 to 1
    note: str


@dataclass(frozen=True)
class MadeDesign:
    """A design, how it came about, and how it differs from the others."""

    structure: "Structure"
    origin: str
    gains: Sequence[Mapping[str, Any]] = ()  # action, compliance in J and volume after each action of the finish
    history: Sequence[float] = ()  # the compliance after each step of an optimization
    output: Output | None = None  # of the model
    distance: float | None = None  # to the nearest other one, 0 to 1
    faults: Sequence[str] = ()
    facts: Mapping[str, float] = field(default_factory=dict)


def find_design_model(workspace: "Workspace", name: str, goals: "DesignGoals") -> "Model | None":
    """Return the model of this name; of "" the built-in one, None if it is missing or makes no such parts.

    Raise GenloomError for a model of another medium.
    """
    if name == NO_MODEL:
        return None
    try:
        model = workspace.model(name or BUILT_IN_MODEL)
    except GenloomError:
        if name:
            raise
        return None
    loaded = model.load()
    if loaded.design.medium != "design":
        raise GenloomError("design.model_of_other_medium", model=model.ref, medium=loaded.design.medium)
    size = getattr(loaded.codec.space, "size", ())
    return None if not name and len(size) != goals.domain.axes else model


def create_designs(
    workspace: "Workspace",
    goals: "DesignGoals | str | Path",
    *,
    count: int = 1,
    model: "Model | str" = "",
    seed: int | None = None,
    refine: int | None = None,
    guide: float | None = None,
    out: str | Path | None = None,
    progress: bool | None = None,
) -> list[MadeDesign]:
    """Design parts that hold: several different ones for the same goals, the stiffest first.

    Parameters
    ----------
    goals
        Path of a design.toml, or words, such as "a light bridge held at both ends"; docs/designs.md describes both.
    count
        Number of designs.
    model
        Model that makes them; "none": topology optimization alone; "": the built-in one, if it is there, else none.
    seed
        Random seed. None: another one each time.
    refine
        Steps of topology optimization after generation. None: 5, and none without a model.
    guide
        Weight of the solver in sampling, 0 to 1. None: 0.
    out
        Folder for the files of each design in all formats, a sheet and report.html. None: nothing is written.
    progress
        Whether a bar is shown on standard error. None: in notebooks only.

    Raises
    ------
    GenloomError
        media.unreadable: the file cannot be read; mechanics.no_support and others: the goals have no solution;
        design.…: they contradict, or the model does not make such parts.
    """
    from genloom.generate.design import read_goal

    understood = ""
    if isinstance(goals, str | Path):
        goals, understood = read_goal(str(goals))
    name = model if isinstance(model, str) else model.ref
    made = []
    with progress_bars.open_bar("Designing", is_silent=not workspace.is_shown(progress)) as bar:
        for event in iter_designs(workspace, goals, count=count, model=name, seed=seed, refine=refine, guide=guide):
            if isinstance(event, DesignProgress):
                bar.update(event.done, event.note)
            else:
                made.append(event)
    if out is not None:
        save_designs(workspace, goals, made, out, understood=[("Goals", understood)] if understood else ())
    return made


def iter_designs(
    workspace: "Workspace",
    goals: "DesignGoals",
    *,
    count: int = 1,
    model: str = "",
    seed: int | None = None,
    refine: int | None = None,
    guide: float | None = None,
) -> Generator[DesignProgress | MadeDesign]:
    """Yield the steps, then `count` different designs for the goals, the stiffest first.

    They are those of a model, finished by `refine` steps of topology optimization; without a model (`model` "none", or
    the built-in one does not make such parts), optimizations that begin from different densities.

    Raises
    ------
    GenloomError
        mechanics.no_support, mechanics.mechanism and others: the goals have no solution; design.…: they contradict.
    """
    from genloom.generate.design.finishing import check_goals

    check_goals(goals)
    seed = secrets.randbits(32) if seed is None else seed
    generator = find_design_model(workspace, model, goals)
    if generator is None:
        made = yield from optimize_designs(goals, count, seed, refine or 0)
    else:
        made = yield from generate_designs(generator, goals, count, seed, refine, guide)
    yield from describe_designs(made)


def optimize_designs(
    goals: "DesignGoals", count: int, seed: int, refine: int
) -> Generator[DesignProgress, None, list[MadeDesign]]:
    """Optimize from different densities, half as many again as are wanted; return different ones of the best."""
    from genloom.generate.design.finishing import build_options, draw_start, finish_design, optimize_design
    from genloom.media.design.structure import Structure

    num_starts = count + count // 2
    num_steps = sum(stage.steps for stage in build_options(goals).schedule)
    made = []
    for index in range(num_starts):
        history: list[float] = []
        step = None
        for step in optimize_design(goals, draw_start(goals, seed, index)):
            history.append(step.compliance)
            done = (index + min(len(history) / num_steps, 1.0)) / num_starts
            yield DesignProgress(done, f"optimization {index + 1} of {num_starts}, {step.compliance:.4g} J")
        assert step is not None, "an optimization yields its start"
        finished = finish_design(Structure.from_density(step.density), goals, refine)
        start = "an even density" if index == 0 else f"smooth noise {index} of seed {seed}"
        origin = f"Topology optimization (SIMP) alone, from {start}; {format_count(len(history) - 1, 'step')}"
        made.append(MadeDesign(finished.structure, origin, to_records(finished.gains), history))
    return choose_designs(made, count)


def generate_designs(
    model: "Model", goals: "DesignGoals", count: int, seed: int, refine: int | None, guide: float | None
) -> Generator[DesignProgress, None, list[MadeDesign]]:
    """Generate with a model, which stores its outputs; return different ones of the best."""
    from genloom.media.design.document_writing import write_goals

    options = {"refine": refine, "guide": guide}
    params: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    made = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "goals.toml"
        path.write_text(write_goals(goals), encoding="utf-8")
        wanted = count if count == 1 else count + count // 2
        budget = MAX_GENERATED * wanted
        for event in model.iter_generate(n=wanted, seed=seed, goal=str(path), budget=budget, **params):
            if isinstance(event, GenerationProgress):
                yield DesignProgress(event.step / event.total, event.note)
                continue
            gains = (event.record.get("judgement") or {}).get("gains") or ()
            num_steps = format_count(max(len(gains) - 2, 0), "step")
            origin = f"Generated by {event.model}, output {event.id}, and finished by {num_steps}"
            made.append(MadeDesign(event.value, origin, gains, output=event))
    return choose_designs(made, count)


def to_records(gains: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"action": gain.action, "compliance": gain.compliance, "volume": gain.volume} for gain in gains]


def choose_designs(made: Sequence[MadeDesign], count: int) -> list[MadeDesign]:
    """Return the stiffest design without faults and those most different from it; then those with faults."""
    from genloom.generate.design.finishing import choose_different
    from genloom.media.design.facts import assess_structure, list_faults

    assessed = [replace(each, faults=list_faults(each.structure)) for each in made]
    chosen: list[MadeDesign] = []
    for group in ([each for each in assessed if not each.faults], [each for each in assessed if each.faults]):
        wanted = min(count - len(chosen), len(group))
        if wanted:
            compliances = [assess_structure(each.structure).compliance for each in group]
            numbers = choose_different([each.structure for each in group], compliances, wanted, SLACK)
            chosen += [group[number] for number in numbers]
    return chosen


def describe_designs(made: Sequence[MadeDesign]) -> Generator[MadeDesign]:
    """Yield the designs with their facts and the distance to the nearest other one."""
    from genloom.generate.design.finishing import measure_distance
    from genloom.media.design.facts import compute_facts

    for each in made:
        distances = [measure_distance(each.structure, other.structure) for other in made if other is not each]
        yield replace(each, facts=compute_facts(each.structure), distance=min(distances, default=None))


def save_designs(
    workspace: "Workspace",
    goals: "DesignGoals",
    made: Sequence[MadeDesign],
    folder: str | Path,
    *,
    suffixes: Sequence[str] = (),
    understood: Sequence[tuple[str, str]] = (),
    note: Note | None = None,
) -> dict[str, list[str]]:
    """Write every design in all formats, a sheet and report.html into a folder; return the files by design.

    All are signed where that is possible; `note` gets the reason where it is not. A format that a design cannot be
    written in, such as a solid of nothing, is left out, and `note` gets the reason.
    """
    from genloom.media import design as medium
    from genloom.media.design.report import ReportEntry, build_report

    folder = expand_home(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known = PLANE_SUFFIXES if goals.domain.axes == 2 else SOLID_SUFFIXES
    files: dict[str, list[str]] = {}
    for number, each in enumerate(made, start=1):
        name = f"design-{number}"
        files[name] = []
        for suffix in [suffix for suffix in suffixes or known if suffix in known]:
            path = folder / f"{name}{suffix}"
            try:
                if each.output is not None:
                    each.output.save(path, note=note)
                else:
                    data = medium.render(each.structure, suffix)
                    save_signed(workspace, path, data, collect_design_facts(each), note, COMPUTED)
            except GenloomError as error:
                if note is not None:
                    note(f"{path.name}: {error}")
                continue
            files[name].append(path.name)
    captions = [f"design-{number}" for number in range(1, len(made) + 1)]
    facts = {"designs": [collect_design_facts(each) for each in made]}
    sheet = medium.sheet([each.structure for each in made], captions)
    save_signed(workspace, folder / "sheet.png", sheet.data, facts, note, COMPUTED)
    entries = [
        ReportEntry(name, each.structure, each.origin, each.gains, each.history, each.distance, files[name])
        for name, each in zip(files, made, strict=True)
    ]
    report = build_report(goals, entries, build_frame(workspace, made, understood))
    save_signed(workspace, folder / "report.html", report, facts, note, COMPUTED)
    return files


def collect_design_facts(made: MadeDesign) -> dict[str, Any]:
    """Return what a signature tells of a design."""
    if made.output is not None:
        return {"output": made.output.id, "model": made.output.model}
    return {"method": made.origin, "program": f"genloom {__version__}"}


def build_frame(workspace: "Workspace", made: Sequence[MadeDesign], understood: Sequence[tuple[str, str]]) -> Any:
    """Return the facts of a report as a whole."""
    from genloom.media.design.report import ReportFrame
    from genloom.trust import signing

    outputs = [each.output for each in made if each.output is not None]
    method = ["Finish: floating parts are removed, and the volume is met exactly by the threshold of a projection."]
    provenance = {"Program": f"Genloom {__version__}"}
    if outputs:
        method.insert(0, "Designs are generated by a model that reads the goals as fields on the grid.")
        provenance |= {"Model": outputs[0].model, "Outputs": ", ".join(output.id for output in outputs)}
    else:
        method.insert(
            0,
            "Topology optimization for the least compliance at the volume: SIMP, optimality criteria (with a limit of "
            "stress: MMA), density filter, Heaviside projection; from different starting densities.",
        )
    try:
        signing.load_signing_key(workspace.folder)
        signature = "The files are signed (C2PA) by this workspace's key; genloom verify FILE checks them."
    except (GenloomError, OSError, ImportError) as error:
        signature = f"The files are not signed: {error}"
    created = f"{get_now():%Y-%m-%d %H:%M}"
    return ReportFrame(created, f"Genloom {__version__}", method, understood, signature, provenance)
