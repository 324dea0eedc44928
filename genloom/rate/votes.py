"""What each rating and choice says of an output by itself, or of two outputs for the same prompt."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from genloom.rate.prompts import extract_prompt
from genloom.rate.ratings import Choice, LedgerRatings, Rating
from genloom.store.workspace import Workspace

_FULL_MARGIN_STARS = 2  # stars by which an output has to be ahead for a whole voice; one star is half of one
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
    """What one rater says of an item: two outputs in the order of their ids, or one."""

    rater: str
    prompt: str
    item: tuple[str, ...]
    margin: float  # from -1, the second is better or the only one is bad, to 1
    events: tuple[str, ...]
    weight: float = 1.0  # below 1 where a rating speaks in several pairs, so that none counts more than another


@dataclass(frozen=True)
class Votes:
    """The voices that teach, those that only tell about their raters, and the entries that say nothing."""

    pairs: tuple[Vote, ...]
    singles: tuple[Vote, ...]
    retests: tuple[Vote, ...]  # ratings that were replaced, and those that replaced them: how steady is the rater?
    unused: Mapping[str, str]  # entries, each with the reason
    raters: frozenset[str]


def resolve_votes(workspace: Workspace, ledger_ratings: LedgerRatings, model: str) -> Votes:
    """The voices about outputs of a model, in whatever version, or of all models where it is ""."""
    records = _load_records(
        workspace,
        [*ledger_ratings.ratings, *ledger_ratings.choices, *ledger_ratings.replaced, *ledger_ratings.withdrawn],
    )
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

    choice_votes = [_vote_from_choice(choice) for choice in choices if choice.winner in ("a", "b")]
    rating_votes = [vote for group in _group_ratings(ratings, prompts) for vote in _votes_from_ratings(group, prompts)]
    paired_events = {event for vote in rating_votes for event in vote.events}
    compared_items = {(vote.rater, vote.item) for vote in choice_votes}
    singles = [
        _vote_from_rating(each, prompts)
        for each in ratings
        if _compute_margin(each) and each.event not in paired_events
    ]
    singles += [vote for choice in choices if choice.winner == "bad" for vote in _votes_against_both(choice)]
    replaced_keys = {each.replacement_key for each in replaced}
    retests = [_vote_from_rating(each, prompts) for each in (*replaced, *ratings)
             if isinstance(each, Rating) and _compute_margin(each) and each.replacement_key in replaced_keys]  # fmt: skip
    retests += [_vote_from_choice(each) for each in replaced if isinstance(each, Choice) and each.winner in ("a", "b")]

    unused = unavailable | {each.event: "withdrawn" for each in withdrawn}
    unused |= {each.event: "replaced by a later one of the same rater" for each in replaced}
    unused |= {choice.event: "a tie" for choice in choices if choice.winner == "tie"}
    unused |= {
        each.event: _explain_unused(each)
        for each in ratings
        if not _compute_margin(each) and each.event not in paired_events
    }
    pairs = [*choice_votes, *(vote for vote in rating_votes if (vote.rater, vote.item) not in compared_items)]
    retests += [vote for vote in rating_votes if (vote.rater, vote.item) in compared_items]
    raters = frozenset(each.rater for each in (*ratings, *choices))
    return Votes(tuple(pairs), tuple(singles), tuple(retests), unused, raters)


def _load_records(workspace: Workspace, judgements: Iterable[Judgement]) -> dict[str, Mapping[str, Any]]:
    records = {}
    for output in {output for judgement in judgements for output in judgement.outputs}:
        try:
            records[output] = workspace.get_output(output)[1]
        except ValueError:
            continue  # removed, or another workspace's
    return records


def _has_outputs(judgement: Judgement, records: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(records.get(output, {}).get("sha256") == digest for output, digest in judgement.outputs.items())


def _is_by_model(judgement: Judgement, records: Mapping[str, Mapping[str, Any]], model: str) -> bool:
    """Whether the model wrote one of the outputs that this is about."""
    model_names = {str(records[output].get("model", "")).partition("/")[0] for output in judgement.outputs}
    return not model or model in model_names


def _compute_margin(rating: Rating) -> float:
    return _MARGINS.get((rating.scale, rating.value), 0.0)


def _explain_unused(rating: Rating) -> str:
    return "a note" if rating.scale == "note" else "three stars: neither good nor bad"


def _vote_from_choice(choice: Choice) -> Vote:
    item = tuple(sorted((choice.a, choice.b)))
    winner = choice.a if choice.winner == "a" else choice.b
    return Vote(choice.rater, choice.prompt, item, 1.0 if winner == item[0] else -1.0, (choice.event,))


def _votes_against_both(choice: Choice) -> list[Vote]:
    return [Vote(choice.rater, choice.prompt, (output,), -1.0, (choice.event,)) for output in (choice.a, choice.b)]


def _vote_from_rating(rating: Rating, prompts: Mapping[str, str]) -> Vote:
    return Vote(rating.rater, prompts[rating.output], (rating.output,), _compute_margin(rating), (rating.event,))


def _group_ratings(ratings: Sequence[Rating], prompts: Mapping[str, str]) -> list[list[Rating]]:
    """The ratings that can be compared: one rater's, in one scale, of outputs for one prompt."""
    groups: dict[tuple[str, str, str], list[Rating]] = {}
    for rating in ratings:
        if rating.scale != "note":
            groups.setdefault((rating.rater, rating.scale, prompts[rating.output]), []).append(rating)
    return list(groups.values())


def _votes_from_ratings(group: Sequence[Rating], prompts: Mapping[str, str]) -> list[Vote]:
    """A voice for every two outputs that were rated differently."""
    sorted_ratings = sorted(group, key=lambda rating: rating.output)
    pairs = [(a, b) for a, b in combinations(sorted_ratings, 2) if a.value != b.value]
    pair_counts = Counter(each.event for pair in pairs for each in pair)
    return [
        Vote(
            a.rater,
            prompts[a.output],
            (a.output, b.output),
            max(-1.0, min((a.value - b.value) / _FULL_MARGIN_STARS, 1.0)),
            (a.event, b.event),
            1 / max(pair_counts[a.event], pair_counts[b.event]),
        )
        for a, b in pairs
    ]
