"""Shapes of blind pairs, ratings, rounds and receipts."""

from typing import Any, Literal

from pydantic import Field

from genloom.server.studio.shapes.datasets import Reason
from genloom.server.studio.shapes.field_types import Name
from genloom.server.studio.shapes.shape import Body, Shape


class Answer(Shape):
    """One of two answers; nothing says which model gave it, or when."""

    medium: str
    mime: str
    url: str
    text: str | None = None
    thumbnail: str | None = None
    sound: str | None = None


class Pair(Shape):
    id: str
    prompt: str
    given: dict[str, str] = Field(default_factory=dict)
    position: int
    count: int
    a: Answer
    b: Answer


class PairProgress(Shape):
    job: str
    done: int
    total: int


class Arena(Shape):
    pairs: list[Pair]
    making: PairProgress | None = None
    answered: int
    total: int
    can_undo: bool
    missing: int  # ratings until a model can learn; 0: enough
    suggested_prompts: list[str] = Field(default_factory=list)


class NewChoice(Body):
    pair: Name
    winner: Literal["a", "b", "tie", "bad", "skip"]


class Reveal(Shape):
    a: str
    b: str


class Chosen(Shape):
    event: str | None
    reveal: Reveal | None  # null after a skip
    answered: int
    total: int
    missing: int


class Undone(Shape):
    pair: Pair | None
    answered: int
    total: int
    missing: int


class RaterCount(Shape):
    name: str
    count: int
    is_machine: bool


class RatingCounts(Shape):
    total: int
    pairs: int
    unpaired: int
    train: int
    held_out: int
    min_train: int
    min_held_out: int
    can_try: bool
    missing: int  # at least so many more; 0: enough
    since_last_round: int
    contradictions: int
    by_rater: list[RaterCount] = Field(default_factory=list)
    unused: list[Reason] = Field(default_factory=list)


class WinRate(Shape):
    rate: float
    low: float
    high: float
    name: str


class Round(Shape):
    receipt: str
    at: str
    champion: str
    challenger: str
    outcome: Literal["promoted", "kept", "overruled", "no_training"]
    headline: str
    win: WinRate | None = None
    method: str
    seconds: float


class Teach(Shape):
    model: str
    medium: str
    active: str
    previous: str | None = None
    ratings: RatingCounts
    is_enough: bool
    shortfall: str  # a sentence; "": there are enough
    job: str | None = None  # the running or queued round
    rounds: list[Round] = Field(default_factory=list)


class Receipt(Shape):
    id: str
    run: str
    headline: str
    outcome_text: str
    outcome: Literal["promoted", "kept", "overruled", "no_training"]
    text: str  # as a terminal shows it
    html: str  # the address of the page
    receipt: dict[str, Any]  # as it is in the ledger, without the examples that are hidden
    hidden_examples: int = 0  # their prompts are those of other people
