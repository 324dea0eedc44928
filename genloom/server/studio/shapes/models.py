"""Shapes of models, their options and family."""

from typing import Annotated, Any, Literal

from pydantic import Field

from genloom.server.studio.shapes.shape import Body, Shape


class Option(Shape):
    name: str
    type: str  # int, float, str, bool, choice, list, file
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] = Field(default_factory=list)
    requirement: str = ""
    help: str  # one plain sentence
    group: Literal["sampling", "condition", "edit"] = "sampling"
    is_basic: bool = False  # shown before the knobs are unfolded


class Preset(Shape):
    name: str
    help: str  # one plain sentence


class Additions(Shape):
    """Additions to a generation: presets, and adapters that were tuned on the same base."""

    presets: list[Preset]
    adapters: list[str]


class ModelData(Shape):
    name: str
    digest: str


class Model(Shape):
    ref: str
    name: str
    version: int
    medium: str
    kind: Literal["built_in", "imported", "trained", "tuned", "taught"]
    parent: str | None = None
    children: list[str] = Field(default_factory=list)
    data: ModelData | None = None
    is_active: bool
    is_adapter: bool
    created: str
    bytes: int
    digest: str
    parameters: int | None = None
    metric: str | None = None  # what was measured on held-out data
    value: float | None = None
    licences: list[str] = Field(default_factory=list)
    receipt: str | None = None
    outputs: int = 0
    has_prompt: bool = True
    # generate, chat, edit, continue, teach, tune, delete, export; of models of speech: speak, transcribe
    can: list[str] = Field(default_factory=list)


class Node(Shape):
    id: str
    kind: Literal["dataset", "model", "outputs"]
    label: str
    detail: str = ""
    is_here: bool = True  # false: data of a model that came from elsewhere


class Edge(Shape):
    source: str
    target: str
    how: str  # trained on, tuned from, taught, imported, generated


class Family(Shape):
    """The tree of all models, from data to outputs."""

    nodes: list[Node]
    edges: list[Edge]


class Evaluation(Shape):
    data: str
    at: str
    lines: list[str]
    report: dict[str, Any]
    charts: list[str] = Field(default_factory=list)  # addresses


class ModelDetail(Model):
    card: dict[str, Any]
    card_text: str  # Markdown
    nodes: list[Node] = Field(default_factory=list)
    edges: list[Edge] = Field(default_factory=list)
    evaluations: list[Evaluation] = Field(default_factory=list)
    bias: dict[str, Any] | None = None  # the reports of jobs of these kinds
    privacy: dict[str, Any] | None = None
    export_formats: list[str] = Field(default_factory=list)
    prompts: list[str] = Field(default_factory=list)  # to try


class Promotion(Body):
    reason: Annotated[str, Field(max_length=1000)] = ""
    allow_withdrawn: bool = False


class Active(Shape):
    """The version of a model that its name alone means, and the one that a rollback makes active."""

    name: str
    active: str
    previous: str | None = None
