"""Votes: what each rating or choice says about one output, or about two outputs for the same prompt."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from genloom.rate.prompts import build_task, extract_prompt
from genloom.rate.ratings import Choice, LedgerRatings, Rating
from genloom.store.workspace import Workspace

_MAX_PARTNERS = 8  # of a rating, so that the pairs of many ratings of one prompt do not grow with their square
_FULL_MARGIN_STARS = 2  # a difference of two stars is a full vote, one star half a vote
_MARGINS = {
    ("thumb", 1): 1.0,
    ("thumb", -1): -1.0,
    ("stars", 5): 1.0,
    ("stars", 4): 0.5,
    ("stars", 2): -0.5,
    ("stars", 1): -1.0,
}
Judgement = Rating | Choice


@dataclass(frozen=True)
class Vote:
    """One rater's vote on an item: two outputs in the order of their ids, or one output."""

    rater: str
    prompt: str
    task: str  # see prompts.build_task
    item: tuple[str, ...]
    margin: float  # from -1 (the second is better, or the only one is bad) to 1
    events: tuple[str, ...]
    weight: float = 1.0  # below 1 if a rating is part of several pairs, so that all ratings count the same


@dataclass(frozen=True)
class Votes:
    """Votes to learn from, votes that are only evidence about their raters, and entries without a vote."""

    pairs: tuple[Vote, ...]
    singles: tuple[Vote, ...]
    retests: tuple[Vote, ...]  # of pairs shown again, and of ratings beside a choice: how consistent the rater is
    unused: Mapping[str, str]  # entries without a vote, each with the reason
    raters: frozenset[str]
    num_ratings: int  # in effect, also those without a vote
    num_withdrawn: int


def resolve_votes(ledger_ratings: LedgerRatings, records: Mapping[str, Mapping[str, Any]], model: str) -> Votes:
    """Return the votes about outputs of any version of a model; of all models if it is "".

    Outputs are given by their records (see `load_records`). A rater's last word counts; what it replaced is a
    correction, and no evidence against the rater, unless the pair was shown again in the other order.
    """
    unavailable = {
        each.event: "its output is not in this workspace"
        for each in (*ledger_ratings.ratings, *ledger_ratings.choices)
        if not _has_outputs(each, records)
    }

    def select_judgements(judgements: Iterable[Judgement]) -> list[Judgement]:
        return [each for each in judgements if _has_outputs(each, records) and _is_by_model(each, records, model)]

    ratings = [each for each in select_judgements(ledger_ratings.ratings) if isinstance(each, Rating)]
    choices = [each for each in select_judgements(ledger_ratings.choices) if isinstance(each, Choice)]
    replaced, withdrawn = select_judgements(ledger_ratings.replaced), select_judgements(ledger_ratings.withdrawn)
    prompts = {output: extract_prompt(record) for output, record in records.items()}
    tasks = {output: build_task(output, record) for output, record in records.items()}

    digests = {output: record["sha256"] for output, record in records.items()}
    identical = [choice for choice in choices if digests[choice.a] == digests[choice.b]]
    choice_votes = [
        _vote_from_choice(choice, tasks)
        for choice in choices
        if choice.winner in ("a", "b") and digests[choice.a] != digests[choice.b]
    ]
    rating_votes = [
        vote for group in _group_ratings(ratings, prompts) for vote in _list_votes_from_ratings(group, prompts, digests)
    ]
    paired_events = {event for vote in rating_votes for event in vote.events}
    compared_items = {(vote.rater, vote.item) for vote in choice_votes}
    singles = [
        _vote_from_rating(each, prompts, tasks)
        for each in ratings
        if _compute_margin(each) and each.event not in paired_events
    ]
    singles += [
        vote for choice in choices if choice.winner == "bad" for vote in _list_votes_against_both(choice, tasks)
    ]
    retests = [
        _vote_from_choice(each, tasks) for each in _select_retests(replaced, choices) if each.winner in ("a", "b")
    ]

    unused = unavailable | {each.event: "withdrawn" for each in withdrawn}
    unused |= {each.event: "replaced by a later one of the same rater" for each in replaced}
    unused |= {choice.event: "a tie" for choice in choices if choice.winner == "tie"}
    unused |= {choice.event: "both outputs are identical" for choice in identical if choice.winner in ("a", "b")}
    unused |= {
        each.event: _explain_unused(each)
        for each in ratings
        if not _compute_margin(each) and each.event not in paired_events
    }
    pairs = [*choice_votes, *(vote for vote in rating_votes if (vote.rater, vote.item) not in compared_items)]
    retests += [vote for vote in rating_votes if (vote.rater, vote.item) in compared_items]
    used = {event for vote in (*pairs, *singles) for event in vote.events}
    for each in (*ratings, *choices):
        if each.event not in used:
            unused.setdefault(each.event, "a choice between the outputs counts instead")
    raters = frozenset(each.rater for each in (*ratings, *choices))
    num_ratings = len(ratings) + len(choices) + len(unavailable)
    return Votes(tuple(pairs), tuple(singles), tuple(retests), unused, raters, num_ratings, len(withdrawn))


def load_records(workspace: Workspace, ledger_ratings: LedgerRatings) -> dict[str, Mapping[str, Any]]:
    """Return the records of all rated outputs that are in the workspace.

    Raises GenloomError for an output or record that was changed: nothing is learned from what nobody rated.
    """
    outputs = dict.fromkeys(output for judgement in ledger_ratings for output in judgement.outputs)
    return {output: workspace.verify_output(output)[1] for output in outputs if workspace.has_output(output)}


def _select_retests(replaced: Sequence[Judgement], choices: Sequence[Choice]) -> list[Choice]:
    """Return the replaced choices whose pair was shown again in the other order; else it was corrected."""
    histories: dict[tuple[str, ...], list[Choice]] = {}
    for choice in (*(each for each in replaced if isinstance(each, Choice)), *choices):
        histories.setdefault(choice.replacement_key, []).append(choice)
    return [before for history in histories.values() for before, after in pairwise(history) if before.a == after.b]


def _has_outputs(judgement: Judgement, records: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(records.get(output, {}).get("sha256") == digest for output, digest in judgement.outputs.items())


def _is_by_model(judgement: Judgement, records: Mapping[str, Mapping[str, Any]], model: str) -> bool:
    """Return whether the model generated one of the rated outputs."""
    model_names = {str(records[output].get("model", "")).partition("/")[0] for output in judgement.outputs}
    return not model or model in model_names


def _compute_margin(rating: Rating) -> float:
    return _MARGINS.get((rating.scale, rating.value), 0.0)


def _explain_unused(rating: Rating) -> str:
    return "a note" if rating.scale == "note" else "three stars: neither good nor bad"


def _vote_from_choice(choice: Choice, tasks: Mapping[str, str]) -> Vote:
    item = tuple(sorted((choice.a, choice.b)))
    winner = choice.a if choice.winner == "a" else choice.b
    task = min(tasks[output] for output in item)  # without a prompt, the pair is the task of one of its nonces
    return Vote(choice.rater, choice.prompt, task, item, 1.0 if winner == item[0] else -1.0, (choice.event,))


def _list_votes_against_both(choice: Choice, tasks: Mapping[str, str]) -> list[Vote]:
    return [
        Vote(choice.rater, choice.prompt, tasks[output], (output,), -1.0, (choice.event,))
        for output in (choice.a, choice.b)
    ]


def _vote_from_rating(rating: Rating, prompts: Mapping[str, str], tasks: Mapping[str, str]) -> Vote:
    output = rating.output
    return Vote(rating.rater, prompts[output], tasks[output], (output,), _compute_margin(rating), (rating.event,))


def _group_ratings(ratings: Sequence[Rating], prompts: Mapping[str, str]) -> list[list[Rating]]:
    """Group the comparable ratings: by one rater, on one scale, of outputs for one prompt.

    Outputs without a prompt are not compared: all of them would be one group, whose pairs share their outputs and so
    are not independent evidence.
    """
    groups: dict[tuple[str, str, str], list[Rating]] = {}
    for rating in ratings:
        if rating.scale != "note" and prompts[rating.output]:
            groups.setdefault((rating.rater, rating.scale, prompts[rating.output]), []).append(rating)
    return list(groups.values())


def _list_votes_from_ratings(
    group: Sequence[Rating], prompts: Mapping[str, str], digests: Mapping[str, str]
) -> list[Vote]:
    """Return votes for pairs of outputs with different ratings: all pairs of a small group, some of a large one."""
    ratings_by_value: dict[int, list[Rating]] = {}
    for rating in sorted(group, key=lambda rating: rating.output):
        ratings_by_value.setdefault(rating.value, []).append(rating)
    pairs = [
        tuple(sorted(pair, key=lambda rating: rating.output))
        for some, others in combinations(ratings_by_value.values(), 2)
        for pair in _pair_up(some, others)
        if digests[pair[0].output] != digests[pair[1].output]
    ]
    pair_counts = Counter(each.event for pair in pairs for each in pair)
    return [
        Vote(
            a.rater,
            prompts[a.output],
            "",
            (a.output, b.output),
            max(-1.0, min((a.value - b.value) / _FULL_MARGIN_STARS, 1.0)),
            (a.event, b.event),
            1 / max(pair_counts[a.event], pair_counts[b.event]),
        )
        for a, b in pairs
    ]


def _pair_up(some: Sequence[Rating], others: Sequence[Rating]) -> Iterator[tuple[Rating, Rating]]:
    """Yield all pairs, or of two large groups a sample in which each rating is in about equally many pairs."""
    long, short = sorted((some, others), key=len, reverse=True)
    for n, rating in enumerate(long):
        for m in range(min(len(short), _MAX_PARTNERS)):
            yield rating, short[(n + m) % len(short)]
