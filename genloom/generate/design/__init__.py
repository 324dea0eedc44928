"""Generation of designs to goals: from a design.toml or from words, finished by steps of topology optimization."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.generate.design.finishing import build_options, check_goals, finish_design
from genloom.generate.design.solver_guidance import SolverGuidance
from genloom.generate.editing import LoadBlob, SamplerStart, SaveBlob, check_edit_options
from genloom.generate.engine import Request
from genloom.generate.selection import Judgement
from genloom.media import design as medium
from genloom.media.design.document import parse_document
from genloom.media.design.facts import assess_structure, compute_facts, count_parts, list_faults
from genloom.media.design.goals import DesignGoals
from genloom.media.design.mechanics.resampling import choose_drawing_grid, resample_density, resample_problem
from genloom.media.design.problems import build_goals, build_problem
from genloom.media.design.structure import Structure, build_empty
from genloom.media.design.words import read_words
from genloom.model import Model
from genloom.settings import option
from genloom.types import Item, SignalSpace

DEFAULT_STEPS = 5  # of topology optimization after generation
MAX_STEPS = 500
PROMPT_OPTION = "goal"  # the option that a prompt is the value of, for models without prompts as a condition


@dataclass(frozen=True)
class EditOptions:
    """Goals of a part, and its finish."""

    goal: str | None = option(None, "Goals of the part: words, or a design.toml.")
    refine: int | None = option(None, "Steps of topology optimization. [default: 5]", minimum=0, maximum=MAX_STEPS)
    guide: float | None = option(None, "Weight of the solver in sampling. [default: 0]", minimum=0, maximum=1)
    budget: int | None = option(None, "Most candidates to try. [default: 20 for each]", minimum=1, maximum=100_000)


@dataclass(frozen=True, eq=False)
class DesignEdit:
    """Goals, and how designs for them are finished and judged."""

    goals: DesignGoals
    refine: int = DEFAULT_STEPS
    guide: float = 0.0
    budget: int = 0
    understood: str = ""  # what was read in words
    gains: dict[Structure, list[dict[str, Any]]] = field(default_factory=dict)  # of the finish of each design

    needs_start = False  # sampling starts from noise

    def extend_request(self, model: Model, request: Request) -> Request:
        """Return the request with the conditions of the goals, on a grid of about the size that was trained."""
        goals = self.fit_goals(model)
        item = Item(build_empty(goals), meta={"volume": goals.limits.volume, "cases": len(goals.cases)})
        values = {
            name: value
            for name, conditioner in model.conditioners.items()
            if (value := conditioner.get_value(item)) is not None
        }
        given = request.given or ({},) * len(request.prompts)
        rows = tuple({**values, **row} for row in given)
        shape, space = goals.domain.shape, model.codec.space
        has_size = isinstance(space, SignalSpace) and shape != tuple(space.size)
        params = {**request.params, "size": shape} if has_size else request.params
        return replace(request, given=rows, params=params)

    def fit_goals(self, model: Model) -> DesignGoals:
        """Return the goals on the grid that the model draws on: their own, if it is about as large as trained."""
        problem, space = build_problem(self.goals), model.codec.space
        if not isinstance(space, SignalSpace) or len(space.size) != problem.axes:
            raise GenloomError("design.model_of_other_axes", model=model.ref, axes=problem.axes)
        shape = choose_drawing_grid(problem.shape, space.size)
        return self.goals if shape == problem.shape else build_goals(resample_problem(problem, shape))

    def prepare(self, model: Model, request: Request) -> SamplerStart:
        """Return the finish of each design, and the guidance by the solver if it is wanted."""
        if not self.guide:
            return SamplerStart({}, self.finish_value)
        problem = build_problem(self.fit_goals(model))
        return SamplerStart(
            {},
            self.finish_value,
            lambda network: SolverGuidance(network, problem, self.guide, options=build_options(self.goals)),
        )

    def finish_value(self, value: Structure) -> Structure:
        """Return the design on the grid of the goals, finished."""
        density = resample_density(value.density, self.goals.domain.shape)
        finished = finish_design(Structure.from_density(density), self.goals, self.refine)
        self.gains[finished.structure] = [
            {"action": gain.action, "compliance": gain.compliance, "volume": gain.volume} for gain in finished.gains
        ]
        return finished.structure

    def judge(self, value: Structure) -> Judgement:
        """Return whether a design meets its goals, and how stiff it is beside a domain that is solid throughout."""
        faults = list_faults(value)
        if not count_parts(value).carries_loads:
            return Judgement(withheld=faults[-1] if faults else "")
        full = Structure.from_density((build_problem(self.goals).passive >= 0).astype(float), self.goals)
        stiffness = assess_structure(full).compliance / assess_structure(value).compliance
        facts: dict[str, Any] = {"values": {name: round(number, 6) for name, number in compute_facts(value).items()}}
        facts |= {"faults": faults} if faults else {}
        facts |= {"gains": self.gains[value]} if value in self.gains else {}
        return Judgement(not faults, min(stiffness, 1.0), facts=facts)

    def pack(self, medium: Any, save_blob: SaveBlob) -> dict[str, Any]:
        goals = save_blob(medium.encode(build_empty(self.goals)), medium.suffixes[0])
        return {"goals": goals, "refine": self.refine, "guide": self.guide, "budget": self.budget}


def build_edit(options: EditOptions, model: Model) -> DesignEdit:
    """Return the edit that the options ask for; raise ValueError for goals that cannot be read or met."""
    check_edit_options(options)
    if options.goal is None:
        raise GenloomError("design.goal_missing")
    goals, understood = read_goal(options.goal)
    check_goals(goals)
    steps = DEFAULT_STEPS if options.refine is None else options.refine
    edit = DesignEdit(goals, steps, options.guide or 0.0, options.budget or 0, understood)
    edit.fit_goals(model)
    return edit


def read_goal(text: str) -> tuple[DesignGoals, str]:
    """Return the goals of a file by its path, or of words, and what was read in the words."""
    path = Path(text).expanduser()
    if path.suffix.lower() not in medium.suffixes:
        reading = read_words(text)
        return reading.goals, "; ".join(f"{phrase}: {meaning}" for phrase, meaning in reading.meanings)
    return read_document(path), ""


def read_document(path: Path) -> DesignGoals:
    """Return the goals of a design.toml, with or without a design."""
    text = medium.read_text(path)
    try:
        goals, _ = parse_document(text)
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    if goals is None:
        raise GenloomError("media.unreadable", path=path, reason=GenloomError("design.empty_document"))
    return goals


def unpack_edit(record: Mapping[str, Any], medium: Any, load_blob: LoadBlob) -> DesignEdit:
    """Return the edit of a record; raise ValueError if its goals are missing or were changed."""
    goals = medium.decode(load_blob(str(record["goals"]))).goals
    if goals is None:
        raise GenloomError("design.goals_unknown")
    return DesignEdit(
        goals, int(record.get("refine", DEFAULT_STEPS)), float(record.get("guide", 0.0)), int(record.get("budget", 0))
    )
