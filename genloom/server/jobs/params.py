"""The parameters of each kind of job, checked before it is queued."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genloom.server.access import Scope
from genloom.server.errors import APIError
from genloom.server.jobs.store import Lane

Name = Annotated[str, Field(min_length=1, max_length=200)]
OptionalName = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]
Amount = Annotated[int, Field(ge=0, le=10**15)]
Minutes = Annotated[float, Field(ge=0, le=60 * 24 * 30, allow_inf_nan=False)]
Plain = str | bool | int | Annotated[float, Field(allow_inf_nan=False)] | None
Settings = Annotated[dict[Annotated[str, Field(max_length=100)], Plain | list[Plain]], Field(max_length=100)]
FileRef = Annotated[str, Field(pattern=r"^(output|upload):[0-9a-z-]{1,40}$")]  # never a path
MAX_OUTPUTS = 1000  # of one job
Person = Literal["voice", "face", "likeness", "words", "none"]
# What `options` may not set: paths, the number of processes, and what has a parameter of its own.
_NOT_OF_A_MEDIUM = frozenset(
    ("sources", "consent", "persons", "progress", "workers", "name", "medium", "licence", "column", "keep")
) | frozenset(("near_duplicates", "val", "test", "seed"))
_CHECKS_THAT_RUN_PROGRAMS = frozenset(("code",))


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Template(Params):
    """A prompt of the library, with the values of its variables."""

    name: Name  # e.g. email, email/2
    given: Annotated[dict[Annotated[str, Field(max_length=100)], Text | list[Text]], Field(max_length=64)] = Field(
        default_factory=dict
    )
    length: Annotated[str, Field(max_length=40)] = ""


class Generate(Params):
    model: Name
    prompt: Text = ""
    template: Template | None = None
    prompts: Annotated[list[Text], Field(max_length=MAX_OUTPUTS)] = Field(default_factory=list)
    n: Annotated[int, Field(ge=1, le=MAX_OUTPUTS)] = 1
    seed: Seed | None = None
    given: Settings = Field(default_factory=dict)
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=16)] = Field(
        default_factory=list
    )
    preset: Annotated[list[Name], Field(max_length=8)] = Field(default_factory=list)
    adapters: Annotated[list[Name], Field(max_length=8)] = Field(default_factory=list)
    precision: OptionalName = "auto"
    is_chat: bool | None = None
    is_marked: bool = True
    refuse_copies: bool = False
    continue_from: OptionalName = ""
    params: Settings = Field(default_factory=dict)
    files: Annotated[dict[Annotated[str, Field(max_length=100)], FileRef], Field(max_length=8)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _check_count(self) -> "Generate":
        if self.n * max(len(self.prompts), 1) > MAX_OUTPUTS:
            raise ValueError(f"a job makes at most {MAX_OUTPUTS} outputs")
        if self.template and (self.prompts or self.prompt or self.given or self.continue_from):
            raise ValueError("a template stands in place of prompts")
        return self


class Chat(Params):
    """Made by the conversation, which has the question."""

    model: Name
    conversation: Name
    question: Name  # its id
    seed: Seed | None = None
    params: Settings = Field(default_factory=dict)


class Knowledge(Params):
    """Documents of an upload that questions are answered from; they join those of the same name."""

    upload: Name
    name: Name


class Arena(Params):
    model: Name
    against: OptionalName = ""
    prompts: Annotated[list[Text], Field(max_length=500)] = Field(default_factory=list)
    count: Annotated[int, Field(ge=1, le=200)] = 1  # pairs for each prompt
    params: Settings = Field(default_factory=dict)
    seed: Seed | None = None


class Collect(Params):
    """Files of an upload, or something built in; `consent` is an upload too, and `options` are those of the medium."""

    upload: OptionalName = ""
    builtin: Annotated[str, Field(max_length=200, pattern=r"^(builtin:[a-z0-9-]+)?$")] = ""  # never a path
    name: OptionalName = ""
    medium: OptionalName = ""
    licence: OptionalName = ""
    column: OptionalName = ""
    keep: Annotated[list[Name], Field(max_length=50)] = Field(default_factory=list)
    near_duplicates: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    val: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    test: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    seed: Seed = 0
    persons: Annotated[list[Person], Field(max_length=5)] = Field(default_factory=list)
    consent: OptionalName = ""
    options: Settings = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_source(self) -> "Collect":
        if bool(self.upload) == bool(self.builtin):
            raise ValueError("name either an upload or something built in")
        if own := _NOT_OF_A_MEDIUM.intersection(self.options):
            raise ValueError(f"{min(own)} is not an option of a medium")
        return self


class Train(Params):
    data: Name
    minutes: Minutes = 0.0
    params: Amount = 0
    tokens: Amount = 0
    steps: Amount = 0
    name: OptionalName = ""
    from_: OptionalName = Field("", alias="from")
    method: Literal["", "lora", "full"] = ""
    overrides: Settings = Field(default_factory=dict)
    seed: Seed = 0
    private: bool = False
    epsilon: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 8.0  # of private tuning


class Learn(Params):
    model: Name
    minutes: Minutes = 0.0
    steps: Amount = 0
    method: OptionalName = "auto"
    check: OptionalName = ""
    reward: Annotated[list[Name], Field(max_length=8)] = Field(default_factory=list)
    best_of: Annotated[int, Field(ge=0, le=64)] = 0
    prompts: Annotated[list[Text], Field(max_length=1000)] = Field(default_factory=list)
    max_eval_prompts: Annotated[int, Field(ge=0, le=10_000)] = 0
    trial: bool = False
    overrides: Settings = Field(default_factory=dict)
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_checks(self) -> "Learn":
        for spec in (self.check, *self.reward):
            if spec.partition(":")[0].strip() in _CHECKS_THAT_RUN_PROGRAMS:
                raise ValueError("checks that run programs are for the command line")
        return self


class Evaluate(Params):
    model: Name
    data: OptionalName = ""
    split: Literal["val", "test"] = "val"
    battery: bool = False
    tasks: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)
    limit: Amount = 0
    options: Settings = Field(default_factory=dict)


class Compare(Evaluate):
    other: Name


class Forget(Params):
    model: Name
    rater: OptionalName = ""
    item: OptionalName = ""


class Import(Params):
    source: OptionalName = ""  # a name of the catalogue
    upload: OptionalName = ""
    name: OptionalName = ""
    base: OptionalName = ""

    @model_validator(mode="after")
    def _check_source(self) -> "Import":
        if bool(self.upload) == bool(self.source):
            raise ValueError("name either an upload or a known model")
        return self


class Export(Params):
    model: Name
    to: Literal["hf", "gguf", "peft"] = "hf"
    precision: OptionalName = ""


class Verify(Params):
    """Files of an upload, or an output as it leaves."""

    output: OptionalName = ""
    upload: OptionalName = ""
    marks: Literal["full", "fast", "none"] = "full"

    @model_validator(mode="after")
    def _check_source(self) -> "Verify":
        if bool(self.upload) == bool(self.output):
            raise ValueError("name either an upload or an output")
        return self


class Copies(Params):
    """An output, against the data of its model or a data set; or a file of an upload, against those that are named."""

    output: OptionalName = ""
    upload: OptionalName = ""
    model: OptionalName = ""
    data: OptionalName = ""

    @model_validator(mode="after")
    def _check_source(self) -> "Copies":
        if bool(self.upload) == bool(self.output):
            raise ValueError("name either an upload or an output")
        if self.upload and bool(self.model) == bool(self.data):
            raise ValueError("name either the model or the data set that an upload is compared with")
        if self.output and self.model:
            raise ValueError("an output is compared with the data of its own model, or with a data set")
        return self


class TestPrompt(Params):
    """The tests of a prompt of the library, answered by a model."""

    prompt: Name
    model: Name
    seed: Seed = 0


class Design(Params):
    """Parts for the goals of a document (design.toml)."""

    goals: Text
    count: Annotated[int, Field(ge=1, le=16)] = 4
    model: OptionalName = ""  # "none": topology optimization alone
    refine: Annotated[int, Field(ge=0, le=500)] | None = None
    guide: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    seed: Seed | None = None


class Bias(Params):
    model: Name
    against: OptionalName = ""
    language: Literal["en", "de"] = "en"
    continuations: Annotated[int, Field(ge=0, le=100)] = 2
    seed: Seed = 0


class Privacy(Params):
    model: Name
    documents: Annotated[int, Field(ge=10, le=10_000)] = 100


KINDS: dict[str, type[Params]] = {
    "generate": Generate,
    "chat": Chat,
    "arena": Arena,
    "knowledge": Knowledge,
    "collect": Collect,
    "train": Train,
    "learn": Learn,
    "evaluate": Evaluate,
    "compare": Compare,
    "forget": Forget,
    "import": Import,
    "export": Export,
    "verify": Verify,
    "copies": Copies,
    "bias": Bias,
    "privacy": Privacy,
    "test_prompt": TestPrompt,
    "design": Design,
}
# What the engine runs, and what does not wait for a training; all others run one after the other.
_LANES: dict[str, Lane] = {
    "generate": "engine",
    "chat": "engine",
    "arena": "engine",
    "knowledge": "light",
    "verify": "light",
    "copies": "light",
    "design": "design",
}
_SCOPES: dict[str, Scope] = {
    "generate": "generate",
    "chat": "generate",
    "arena": "rate",
    "knowledge": "generate",
    "verify": "read",
    "copies": "read",
    "design": "generate",
}


def get_scope(kind: str) -> Scope:
    """Return what a user must be allowed to do to queue a job of this kind."""
    return _SCOPES.get(kind, "train")


def get_lane(kind: str) -> Lane:
    """Return where jobs of this kind run."""
    return _LANES.get(kind, "heavy")


def parse_params(kind: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with their defaults; raise APIError naming the first that is wrong."""
    if kind not in KINDS:
        raise APIError("studio.unknown_job_kind", param="kind", kind=kind[:64], known=", ".join(KINDS))
    try:
        return KINDS[kind].model_validate(params).model_dump(by_alias=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "params"
        reason = first["msg"].removeprefix("Value error, ")
        raise APIError(
            "studio.bad_job_param", param=f"params.{name[:100]}", kind=kind, name=name[:100], reason=reason
        ) from None
