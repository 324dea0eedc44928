"""Choice of outputs among more: a medium may withhold values, and an edit may say how well each meets what was asked.

Batches are generated until enough outputs are met, or a budget of outputs is spent. Each batch is stored with its own
request, so what is chosen replays like any output.

Shape letters: B rows of a request.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from genloom import plugins
from genloom.generate.decode import Draft
from genloom.generate.engine import MAX_OUTPUTS, Request, split_batches
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.noise import NUM_NONCES

OUTPUTS_PER_WANTED, MIN_BUDGET = 20, 100  # of an edit without a budget of its own
BATCH_ROWS, MAX_ROUND_ROWS = 128, 1024
DUPLICATE, COPY = "duplicate", "copy of training data"


@dataclass(frozen=True)
class Judgement:
    """The judgement of an output before it is handed out."""

    is_met: bool = True  # whether it meets what was asked
    score: float = 1.0  # how well, from 0 to 1; the best are handed out first
    withheld: str = ""  # why it is not handed out at all; "" if it may be
    key: str = ""  # outputs of one key are the same value, of which the first counts
    facts: Mapping[str, Any] = field(default_factory=dict)  # of the record, as JSON


@runtime_checkable
class JudgingEdit(Protocol):
    """An edit that judges what is made by it."""

    def extend_request(self, model: Model, request: Request) -> Request:
        """Return the request with the conditions of its rows, which may differ in each."""
        ...

    def judge(self, value: Any) -> Judgement: ...

    @property
    def budget(self) -> int:
        """The most outputs that are generated for a request; 0: a multiple of those that are wanted."""
        ...


@dataclass
class SelectionReport:
    """Counts of a choice."""

    num_wanted: int
    budget: int
    num_generated: int = 0
    num_met: int = 0  # different outputs that meet what was asked
    num_chosen: int = 0
    withheld: Counter[str] = field(default_factory=Counter)  # reason → outputs
    cautions: tuple[str, ...] = ()  # why what was asked can hardly be met, known before any output

    def to_dict(self) -> dict[str, Any]:
        counts = {"wanted": self.num_wanted, "budget": self.budget, "generated": self.num_generated}
        counts |= {"met": self.num_met, "chosen": self.num_chosen}
        return {**counts, "withheld": dict(self.withheld.most_common()), "cautions": list(self.cautions)}


@dataclass(frozen=True)
class Candidate:
    """An output that may be handed out."""

    batch: int
    row: int
    group: int
    judgement: Judgement


@dataclass
class Group:
    """The rows of a request that differ in their nonces only."""

    prompt: str
    given: Mapping[str, Any] | None
    nonce: int  # of the first
    num_wanted: int = 0
    num_generated: int = 0
    num_met: int = 0


def build_selection(model: Model, request: Request) -> "Selection | None":
    """Return the choice of the outputs of a request; None if everything that is generated is handed out."""
    screen = get_ability(plugins.find_part("medium", model.design.medium), "screen_value")
    if screen is None and not isinstance(request.edit, JudgingEdit):
        return None
    return Selection(model, request)


def find_withheld_rows(medium: Any, values: Sequence[Any]) -> dict[int, str]:
    """Return the rows whose values the medium does not hand out, each with the reason."""
    screen = get_ability(medium, "screen_value")
    return {row: reason for row, value in enumerate(values) if screen is not None and (reason := screen(value))}


class Selection:
    """The choice of the outputs of one request."""

    def __init__(self, model: Model, request: Request):
        self.model, self.request = model, request
        medium = plugins.find_part("medium", model.design.medium)
        self.screen, self.identify = get_ability(medium, "screen_value"), get_ability(medium, "identify_value")
        self.edit = request.edit if isinstance(request.edit, JudgingEdit) else None
        self.groups, self.rows = group_rows(request)
        wanted = len(request.prompts)
        budget = (self.edit.budget if self.edit else 0) or max(OUTPUTS_PER_WANTED * wanted, MIN_BUDGET)
        cautions = getattr(self.edit, "cautions", ())
        self.report = SelectionReport(wanted, min(max(budget, wanted), MAX_OUTPUTS), cautions=cautions)
        self.candidates: list[Candidate] = []
        self.keys: set[tuple[int, str]] = set()
        self.num_rounds = 0
        self.batch_groups: list[list[int]] = []

    def iter_batches(self) -> Iterator[Request]:
        """Yield the batches to generate; `add` takes the result of each before the next is asked for."""
        rows, request = self.rows, self.request
        while rows:
            first = 0
            for batch in split_batches(request, BATCH_ROWS):
                if self.edit is not None:
                    batch = self.edit.extend_request(self.model, batch)
                self.batch_groups.append(rows[first : first + len(batch.prompts)])
                first += len(batch.prompts)
                yield batch
                if self.num_rounds and not self._count_missing():
                    return
            self.num_rounds += 1
            rows, request = self._build_round()

    def add(self, draft: Draft, copied: Collection[int] = ()) -> None:
        """Judge the outputs of the last batch, of which the rows `copied` copy training data."""
        groups = self.batch_groups[-1]
        for row, (value, number) in enumerate(zip(draft.values, groups, strict=True)):
            group = self.groups[number]
            group.num_generated += 1
            self.report.num_generated += 1
            judgement = Judgement(withheld=COPY) if row in copied else self._judge(value)
            if not judgement.withheld and (number, judgement.key) in self.keys:
                judgement = replace(judgement, withheld=DUPLICATE)
            if judgement.withheld:
                self.report.withheld[judgement.withheld] += 1
                continue
            self.keys.add((number, judgement.key))
            group.num_met += judgement.is_met
            self.candidates.append(Candidate(len(self.batch_groups) - 1, row, number, judgement))

    def choose(self) -> list[Candidate]:
        """Return what is handed out: the best of each group, those that meet what was asked first."""
        chosen: list[Candidate] = []
        for number, group in enumerate(self.groups):
            own = [candidate for candidate in self.candidates if candidate.group == number]
            own.sort(key=lambda candidate: (not candidate.judgement.is_met, -candidate.judgement.score))
            chosen += own[: group.num_wanted]
        self.report.num_met = self.count_met()
        self.report.num_chosen = len(chosen)
        return chosen

    def count_met(self) -> int:
        """Return how many different outputs meet what was asked."""
        return sum(group.num_met for group in self.groups)

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1: of the outputs that are wanted, or of the budget."""
        done = sum(min(group.num_met, group.num_wanted) for group in self.groups)
        return max(done / self.report.num_wanted, min(self.report.num_generated / self.report.budget, 1.0))

    def _judge(self, value: Any) -> Judgement:
        if self.screen is not None and (reason := self.screen(value)):
            return Judgement(False, 0.0, reason)
        judgement = self.edit.judge(value) if self.edit is not None else Judgement()
        return judgement if judgement.withheld else replace(judgement, key=self.identify(value))

    def _count_missing(self) -> int:
        return sum(max(group.num_wanted - group.num_met, 0) for group in self.groups)

    def _build_round(self) -> tuple[list[int], Request]:
        """Return the groups of the rows of another round and its request; no rows if all is met or spent."""
        missing = [max(group.num_wanted - group.num_met, 0) for group in self.groups]
        left = self.report.budget - self.report.num_generated
        if not any(missing) or left <= 0 or self.request.prompt_ids or self.request.interpolation is not None:
            return [], self.request
        rows: list[int] = []
        for number, (group, count) in enumerate(zip(self.groups, missing, strict=True)):
            if count:
                share = (group.num_met + 0.5) / (group.num_generated + 1)
                rows += [number] * min(int(1.2 * count / share) + 1, MAX_ROUND_ROWS)
        rows = rows[: min(left, MAX_ROUND_ROWS)] if len(rows) > left else rows
        nonces: list[int] = []
        for number in sorted(set(rows)):
            rng = np.random.default_rng([self.groups[number].nonce, self.num_rounds])
            nonces += rng.integers(NUM_NONCES, size=rows.count(number)).tolist()
        groups = [self.groups[number] for number in rows]
        given = tuple(group.given or {} for group in groups) if self.request.given else ()
        prompts = tuple(group.prompt for group in groups)
        return rows, replace(self.request, prompts=prompts, nonces=tuple(nonces), given=given)


def group_rows(request: Request) -> tuple[list[Group], list[int]]:
    """Return the groups of a request, and the group of each row."""
    groups: list[Group] = []
    rows: list[int] = []
    numbers: dict[tuple[str, int], int] = {}
    for row, (prompt, nonce) in enumerate(zip(request.prompts, request.nonces, strict=True)):
        given = request.given[row] if request.given else None
        number = numbers.setdefault((prompt, id(given)), len(groups))
        if number == len(groups):
            groups.append(Group(prompt, given, nonce))
        groups[number].num_wanted += 1
        rows.append(number)
    return groups, rows
