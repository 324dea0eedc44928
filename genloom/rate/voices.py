"""What each rating and choice says of an output by itself, or of two outputs for the same prompt."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from genloom.rate.prompts import prompt_of
from genloom.rate.ratings import Choice, Rating, Standing
from genloom.store.workspace import Workspace

_PLAIN = 2  # stars by which an output has to be ahead for a whole voice; one star is half of one
_LEANS = {
    ("thumb", 1): 1.0,
    ("thumb", -1): -1.0,
    ("stars", 5): 1.0,
    ("stars", 4): 0.5,
    ("stars", 2): -0.5,
    ("stars", 1): -1.0,
}
Judgement = Rating | Choice


@dataclass(frozen=True)
class Voice:
    """What one rater says of an item: two outputs in the order of their ids, or one."""

    rater: str
    prompt: str
    item: tuple[str, ...]
    lean: float  # from -1, the second is better or the only one is bad, to 1
    events: tuple[str, ...]
    share: float = 1.0  # below 1 where a rating speaks in several pairs, so that none counts more than another


@dataclass(frozen=True)
class Heard:
    """The voices that teach, those that only tell about their raters, and the entries that say nothing."""

    pairs: tuple[Voice, ...]
    alone: tuple[Voice, ...]
    aside: tuple[Voice, ...]  # ratings that were replaced, and those that replaced them: how steady is the rater?
    unused: Mapping[str, str]  # entries, each with the reason
    raters: frozenset[str]


def heard(workspace: Workspace, stands: Standing, model: str) -> Heard:
    """The voices about outputs of a model, in whatever version, or of all models where it is ""."""
    records = _records(workspace, [*stands.ratings, *stands.choices, *stands.replaced, *stands.withdrawn])
    absent = {
        each.event: "its output is not in this workspace"
        for each in (*stands.ratings, *stands.choices)
        if not _here(each, records)
    }

    def about(judged: Iterable[Judgement]) -> list[Judgement]:
        return [each for each in judged if _here(each, records) and _by(each, records, model)]

    ratings = [each for each in about(stands.ratings) if isinstance(each, Rating)]
    choices = [each for each in about(stands.choices) if isinstance(each, Choice)]
    replaced, withdrawn = about(stands.replaced), about(stands.withdrawn)
    prompts = {output: prompt_of(record) for output, record in records.items()}

    chosen = [_chosen(choice) for choice in choices if choice.winner in ("a", "b")]
    compared = [voice for group in _groups(ratings, prompts) for voice in _compared(group, prompts)]
    spoke = {event for voice in compared for event in voice.events}
    direct = {(voice.rater, voice.item) for voice in chosen}
    alone = [_alone(each, prompts) for each in ratings if _leans(each) and each.event not in spoke]
    alone += [voice for choice in choices if choice.winner == "bad" for voice in _both_bad(choice)]
    unsteady = {each.about for each in replaced}
    aside = [_alone(each, prompts) for each in (*replaced, *ratings)
             if isinstance(each, Rating) and _leans(each) and each.about in unsteady]  # fmt: skip
    aside += [_chosen(each) for each in replaced if isinstance(each, Choice) and each.winner in ("a", "b")]

    unused = absent | {each.event: "withdrawn" for each in withdrawn}
    unused |= {each.event: "replaced by a later one of the same rater" for each in replaced}
    unused |= {choice.event: "a tie" for choice in choices if choice.winner == "tie"}
    unused |= {each.event: _silent(each) for each in ratings if not _leans(each) and each.event not in spoke}
    pairs = [*chosen, *(voice for voice in compared if (voice.rater, voice.item) not in direct)]
    aside += [voice for voice in compared if (voice.rater, voice.item) in direct]
    raters = frozenset(each.rater for each in (*ratings, *choices))
    return Heard(tuple(pairs), tuple(alone), tuple(aside), unused, raters)


def _records(workspace: Workspace, judged: Iterable[Judgement]) -> dict[str, Mapping[str, Any]]:
    records = {}
    for output in {output for each in judged for output in each.outputs}:
        try:
            records[output] = workspace.output(output)[1]
        except ValueError:
            continue  # removed, or another workspace's
    return records


def _here(each: Judgement, records: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(records.get(output, {}).get("sha256") == digest for output, digest in each.outputs.items())


def _by(each: Judgement, records: Mapping[str, Mapping[str, Any]], model: str) -> bool:
    """Whether the model wrote one of the outputs that this is about."""
    writers = {str(records[output].get("model", "")).partition("/")[0] for output in each.outputs}
    return not model or model in writers


def _leans(rating: Rating) -> float:
    return _LEANS.get((rating.scale, rating.value), 0.0)


def _silent(rating: Rating) -> str:
    return "a note" if rating.scale == "note" else "three stars: neither good nor bad"


def _chosen(choice: Choice) -> Voice:
    item = tuple(sorted((choice.a, choice.b)))
    winner = choice.a if choice.winner == "a" else choice.b
    return Voice(choice.rater, choice.prompt, item, 1.0 if winner == item[0] else -1.0, (choice.event,))


def _both_bad(choice: Choice) -> list[Voice]:
    return [Voice(choice.rater, choice.prompt, (output,), -1.0, (choice.event,)) for output in (choice.a, choice.b)]


def _alone(rating: Rating, prompts: Mapping[str, str]) -> Voice:
    return Voice(rating.rater, prompts[rating.output], (rating.output,), _leans(rating), (rating.event,))


def _groups(ratings: Sequence[Rating], prompts: Mapping[str, str]) -> list[list[Rating]]:
    """The ratings that can be compared: one rater's, in one scale, of outputs for one prompt."""
    groups: dict[tuple[str, str, str], list[Rating]] = {}
    for rating in ratings:
        if rating.scale != "note":
            groups.setdefault((rating.rater, rating.scale, prompts[rating.output]), []).append(rating)
    return list(groups.values())


def _compared(group: Sequence[Rating], prompts: Mapping[str, str]) -> list[Voice]:
    """A voice for every two outputs that were rated differently."""
    ordered = sorted(group, key=lambda rating: rating.output)
    pairs = [(a, b) for a, b in combinations(ordered, 2) if a.value != b.value]
    meets = Counter(each.event for pair in pairs for each in pair)
    return [
        Voice(
            a.rater,
            prompts[a.output],
            (a.output, b.output),
            max(-1.0, min((a.value - b.value) / _PLAIN, 1.0)),
            (a.event, b.event),
            1 / max(meets[a.event], meets[b.event]),
        )
        for a, b in pairs
    ]
