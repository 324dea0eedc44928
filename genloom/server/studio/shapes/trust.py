"""Shapes of traces, signatures, marks, keys and content rules."""

from typing import Annotated, Any, Literal

from pydantic import Field

from genloom.server.studio.shapes.shape import Body, Shape
from genloom.settings import MAX_RECIPE_BYTES


class TraceNode(Shape):
    """Something in the line of an output: a model, a run, a data set, documents …"""

    id: str
    kind: str
    name: str
    state: str = ""  # intact, changed, removed, missing; "" for a fact of something else
    problem: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)


class TraceEdge(Shape):
    """`source` derives from `target`."""

    source: str
    target: str
    relation: str


class Signature(Shape):
    """The signature that an output gets where it leaves."""

    state: Literal["signed", "unsigned", "unavailable"]
    signer: str = ""
    is_embedded: bool = False  # else it is beside the file
    facts: list[str] = Field(default_factory=list)  # what it tells, by name


class Mark(Shape):
    """The mark that an output was made with."""

    is_marked: bool
    key: str | None = None


class Provenance(Shape):
    """The line of an output, back to documents with their licences."""

    root: str
    nodes: list[TraceNode]
    edges: list[TraceEdge]
    left_out: int = 0  # nodes that only the file shows
    is_intact: bool
    signature: Signature
    mark: Mark


class TrustKey(Shape):
    """A key without its secret, or the certificate of another authority."""

    id: str
    kind: Literal["marking", "signing", "trusted"]
    name: str
    created: str
    expires: str
    is_active: bool


class TrustKeys(Shape):
    keys: list[TrustKey]
    can_sign: bool  # whether the extra `trust` is installed


class NewTrustKey(Body):
    """A new key of a kind; for signing, `name` makes a new authority, and "" keeps the one that is there."""

    kind: Literal["marking", "signing"]
    name: Annotated[str, Field(max_length=200)] = ""


class Certificate(Body):
    pem: Annotated[str, Field(min_length=1, max_length=100_000)]


class Rule(Shape):
    """A content rule."""

    name: str
    action: Literal["refuse", "warn", "log"]
    reason: str
    on: list[str]
    is_fixed: bool  # it always holds
    is_own: bool  # of this workspace


class Rules(Shape):
    """The content rules that hold, and the file of this workspace that adds to those of Genloom."""

    rules: list[Rule]
    log_text: bool
    text: str  # of the file; "": there is none
    example: str  # to begin one


class NewRules(Body):
    text: Annotated[str, Field(max_length=MAX_RECIPE_BYTES)]


class RuleCheck(Body):
    text: Annotated[str, Field(max_length=200_000)]
    target: Literal["prompt", "output"] = "prompt"


class RuleMatch(Shape):
    rule: str
    action: Literal["refuse", "warn", "log"]
    reason: str
    words: list[str]


class Decision(Shape):
    """An entry of the ledger: a rule applied to a text."""

    id: str
    at: str
    rule: str
    action: str
    target: str
    model: str
    sha256: str
    text: str | None = None
