"""Ratings become pairs and opinions, as heavy as their raters are reliable; clashes are shown, too few refused."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from genloom.rate.preferences import (
    MIN_HELD_OUT,
    MIN_TRAIN,
    Preference,
    Preferences,
    UnpairedPreference,
    assign_split,
    build_preferences,
    compute_sample_size,
    require_enough_preferences,
)
from genloom.rate.raters import PRIOR_ACCURACY, BinaryLabel, compute_label_weight, estimate_accuracies
from genloom.rate.ratings import record_choice, record_rating, withdraw_rating
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace

Told = Callable[..., str]
ONE: Any = pytest.approx(1)


class Desk:
    """Rates with few words: `up(output)`, `stars(output, 4)`, `choice(a, b, "a")`."""

    def __init__(self, workspace: Workspace, ledger: Ledger):
        self.workspace, self.ledger = workspace, ledger

    def up(self, output: str, rater: str = "me") -> str:
        return record_rating(self.workspace, self.ledger, output, rater, "thumb", 1).id

    def down(self, output: str, rater: str = "me") -> str:
        return record_rating(self.workspace, self.ledger, output, rater, "thumb", -1).id

    def stars(self, output: str, value: int, rater: str = "me") -> str:
        return record_rating(self.workspace, self.ledger, output, rater, "stars", value).id

    def choice(self, a: str, b: str, winner, rater: str = "me") -> str:
        return record_choice(self.workspace, self.ledger, a, b, winner, rater).id

    def found(self, model: str = "notes") -> Preferences:
        return build_preferences(self.workspace, self.ledger, model)


@pytest.fixture
def desk(workspace: Workspace, ledger: Ledger) -> Desk:
    return Desk(workspace, ledger)


def test_a_choice_is_a_pair_of_weight_one(desk: Desk, told: Told) -> None:
    a, b = told("A tale"), told("A tale")
    event = desk.choice(a, b, "b")
    found = desk.found()
    assert found.pairs == (Preference("A tale", b, a, ONE, (event,)),)
    assert (found.unpaired, found.contradictions, dict(found.unused)) == ((), (), {})
    assert found.raters == {"me": pytest.approx(1)}


def test_both_bad_are_two_bad_opinions_and_a_tie_says_nothing(desk: Desk, told: Told) -> None:
    a, b = told("A tale"), told("A tale")
    bad, tie = desk.choice(a, b, "bad"), desk.choice(told("B"), told("B"), "tie")
    found = desk.found()
    assert found.unpaired == tuple(UnpairedPreference("A tale", output, False, ONE, (bad,)) for output in (a, b))
    assert (found.pairs, found.unused) == ((), {tie: "a tie"})


def test_thumbs_on_one_prompt_are_pairs_and_others_are_opinions(desk: Desk, told: Told) -> None:
    good, bad, alone = told("A tale"), told("A tale"), told("Another")
    up, down, single = desk.up(good), desk.down(bad), desk.down(alone)
    found = desk.found()
    assert found.pairs == (Preference("A tale", good, bad, ONE, tuple(sorted((up, down)))),)
    assert found.unpaired == (UnpairedPreference("Another", alone, False, ONE, (single,)),)


def test_equal_thumbs_on_one_prompt_stay_opinions(desk: Desk, told: Told) -> None:
    for _ in range(2):
        desk.up(told("A tale"))
    found = desk.found()
    assert (found.pairs, [o.is_desirable for o in found.unpaired]) == ((), [True, True])


def test_a_rating_in_many_pairs_counts_no_more_than_another(desk: Desk, told: Told) -> None:
    desk.up(told("A tale"))
    for _ in range(3):
        desk.down(told("A tale"))
    pairs = desk.found().pairs
    assert len(pairs) == 3
    assert sum(pair.weight for pair in pairs) == pytest.approx(1)


def test_more_stars_apart_say_more(desk: Desk, told: Told) -> None:
    for number, (first, second) in enumerate(((5, 4), (5, 3), (1, 5))):
        desk.stars(told(str(number)), first)
        desk.stars(told(str(number)), second)
    weights = {pair.prompt: pair.weight for pair in desk.found().pairs}
    assert 0.3 < weights["0"] < 0.7
    assert weights["1"] == weights["2"] == pytest.approx(1)


def test_thumbs_and_stars_are_not_compared_with_each_other(desk: Desk, told: Told) -> None:
    desk.up(told("A tale"))
    desk.stars(told("A tale"), 1)
    found = desk.found()
    assert (found.pairs, len(found.unpaired)) == ((), 2)


def test_three_stars_and_notes_teach_nothing_and_say_so(
    desk: Desk, told: Told, workspace: Workspace, ledger: Ledger
) -> None:
    middle = desk.stars(told("A tale"), 3)
    note = record_rating(workspace, ledger, told("A tale"), "me", "note", note="hm").id
    found = desk.found()
    assert (found.pairs, found.unpaired) == ((), ())
    assert found.unused == {middle: "three stars: neither good nor bad", note: "a note"}


def test_a_choice_goes_before_stars_and_the_clash_is_shown(desk: Desk, told: Told) -> None:
    a, b = told("A tale"), told("A tale")
    events = {desk.stars(a, 5), desk.stars(b, 1), desk.choice(a, b, "b")}
    found = desk.found()
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [(b, a)]
    (clash,) = found.contradictions
    assert (set(clash.events), clash.raters, set(clash.outputs)) == (events, ("me",), {a, b})


def test_two_who_agree_say_more_and_two_who_clash_say_nothing(desk: Desk, told: Told) -> None:
    a, b, c, d = told("A"), told("A"), told("B"), told("B")
    for rater in ("me", "you"):
        desk.choice(a, b, "a", rater)
    clash = {desk.choice(c, d, "a", "me"), desk.choice(d, c, "a", "you")}
    found = desk.found()
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [(a, b)]
    assert found.pairs[0].weight > 1
    assert found.unused == dict.fromkeys(clash, "as much was said against it")
    assert [set(each.events) for each in found.contradictions] == [clash]
    assert found.contradictions[0].raters == ("me", "you")


def test_the_majority_outvotes(desk: Desk, told: Told) -> None:
    a, b = told("A"), told("A")
    desk.choice(a, b, "a", "one")
    desk.choice(a, b, "a", "two")
    other = desk.choice(a, b, "b", "three")
    found = desk.found()
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [(a, b)]
    assert found.unused == {other: "outvoted"}
    assert found.raters["three"] < 1 < found.raters["one"]


def test_only_what_the_model_wrote_counts(desk: Desk, told: Told) -> None:
    ours, theirs = told("A", model="notes/2"), told("A", model="tales/1")
    desk.choice(ours, theirs, "a")
    desk.up(told("B", model="tales/1"))
    assert (len(desk.found("notes").pairs), len(desk.found("notes").unpaired)) == (1, 0)
    assert (len(desk.found("tales").pairs), len(desk.found("tales").unpaired)) == (1, 1)
    assert (len(desk.found("").pairs), len(desk.found("").unpaired)) == (1, 1)
    assert desk.found("other") == Preferences((), (), (), {}, {})


def test_outputs_of_another_workspace_are_told_and_left_out(desk: Desk, told: Told, workspace: Workspace) -> None:
    gone, kept = told("A"), told("A")
    gone_event, _ = desk.down(gone), desk.up(kept)
    path, _ = workspace.get_output(gone)
    path.with_suffix(".json").unlink()
    found = desk.found()
    assert found.pairs == ()
    assert found.unused == {gone_event: "its output is not in this workspace"}


def test_withdrawn_and_replaced_ratings_have_no_effect(desk: Desk, told: Told, ledger: Ledger) -> None:
    output, other = told("A"), told("A")
    old, new, gone = desk.up(output), desk.down(output), desk.up(other)
    withdraw_rating(ledger, gone)
    found = desk.found()
    assert [(o.output, o.is_desirable, o.events) for o in found.unpaired] == [(output, False, (new,))]
    assert found.unused == {old: "replaced by a later one of the same rater", gone: "withdrawn"}
    (clash,) = found.contradictions
    assert (clash.outputs, clash.raters, set(clash.events)) == ((output,), ("me",), {old, new})


def test_who_contradicts_themselves_counts_less_than_who_repeats(desk: Desk, told: Told) -> None:
    for n in range(6):
        a, b = told(str(n)), told(str(n))
        for first, second in ((a, b), (b, a)):
            desk.choice(first, second, "a", "left")  # takes whatever is shown first
            desk.choice(first, second, "a" if first == a else "b", "steady")
    raters = desk.found().raters
    assert raters["left"] < 0.5 < 1 < raters["steady"]


def judged(right: dict[str, float], items: int, seed: int) -> list[BinaryLabel]:
    draw = random.Random(seed)
    truths = [(str(n), draw.random() < 0.5) for n in range(items)]
    return [
        BinaryLabel(rater, (item,), truth == (draw.random() < share))
        for item, truth in truths
        for rater, share in right.items()
    ]


def test_the_accuracy_of_raters_is_found_from_their_agreement() -> None:
    true = {"sure": 0.95, "good": 0.85, "fair": 0.7, "coin": 0.5}
    found = estimate_accuracies(judged(true, 1000, seed=1))
    for rater, share in true.items():
        assert found[rater] == pytest.approx(share, abs=0.05)


def test_a_lone_rater_is_known_by_repeats() -> None:
    draw = random.Random(2)
    for share in (0.6, 0.9):
        votes = [BinaryLabel("me", (str(n),), draw.random() < share) for n in range(400) for _ in range(2)]
        assert estimate_accuracies(votes)["me"] == pytest.approx(share, abs=0.06)


def test_of_whom_nothing_is_known_the_prior_holds() -> None:
    assert estimate_accuracies([BinaryLabel("me", (str(n),), True) for n in range(50)]) == {"me": PRIOR_ACCURACY}
    assert compute_label_weight(PRIOR_ACCURACY) == pytest.approx(1)
    assert compute_label_weight(0.5) == 0


def test_who_shouts_the_same_again_does_not_outvote_two_others(desk: Desk, told: Told) -> None:
    a, b = told("A"), told("A")
    for _ in range(6):
        desk.choice(a, b, "a", "loud")
    for rater in ("one", "two"):
        desk.choice(a, b, "b", rater)
        for n in range(4):  # whose word is as good, elsewhere
            c, d = told(f"{rater} {n}"), told(f"{rater} {n}")
            desk.choice(c, d, "a", rater)
            desk.choice(d, c, "b", rater)
    (pair,) = [pair for pair in desk.found().pairs if pair.prompt == "A"]
    assert pair.chosen == b


def test_a_quarter_of_the_prompts_is_held_out_whatever_their_case_and_blanks() -> None:
    held = sum(assign_split(f"prompt {n}") == "val" for n in range(4000))
    assert held == pytest.approx(1000, abs=100)
    assert all(assign_split(f" PROMPT\t{n}\n") == assign_split(f"prompt {n}") for n in range(50))
    # A prompt's place must never change: what was held out would be learned from.
    assert "".join(assign_split(f"prompt {n}")[0] for n in range(24)) == "tttttttvttttttttvvvttttt"


def exact_power(count: int, rate: float, alpha: float) -> float:
    def tail(least: int, p: float) -> float:
        return sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(least, count + 1))

    least = next(k for k in range(count + 2) if tail(k, 0.5) <= alpha)
    return tail(least, rate)


@pytest.mark.parametrize(("effect", "power", "alpha"), [(0.5, 0.8, 0.05), (0.4, 0.8, 0.05), (0.25, 0.9, 0.01)])
def test_so_many_comparisons_are_needed_by_the_exact_test(effect: float, power: float, alpha: float) -> None:
    least = compute_sample_size(effect, power, alpha)
    assert exact_power(least - 1, 0.5 + effect, alpha) < power
    assert all(exact_power(n, 0.5 + effect, alpha) >= power for n in range(least, least + 40))


def test_smaller_effects_need_more_and_the_smallest_are_refused() -> None:
    numbers = [compute_sample_size(effect) for effect in (0.4, 0.3, 0.2, 0.1, 0.05)]
    assert numbers == sorted(numbers)
    assert compute_sample_size(0.4) == MIN_HELD_OUT
    with pytest.raises(ValueError, match=r"from 0\.02 to 0\.5, and 0\.001 is not"):
        compute_sample_size(0.001)


def test_too_little_is_refused_with_the_number_that_is_missing() -> None:
    def some(count: int, where: str) -> list[UnpairedPreference]:
        prompts = [prompt for prompt in map(str, range(2000)) if assign_split(prompt) == where]
        return [UnpairedPreference(prompt, "x", True, 1.0, ()) for prompt in prompts[:count]]

    with pytest.raises(ValueError, match=r"20 preferences to learn from and 5 held out .* about 24 more"):
        require_enough_preferences(Preferences((), (*some(20, "train"), *some(5, "val")), (), {}, {}))
    with pytest.raises(ValueError, match=rf"about {4 * MIN_HELD_OUT} more, of answers to different prompts"):
        require_enough_preferences(Preferences((), tuple(some(100, "train")), (), {}, {}))
    require_enough_preferences(Preferences((), (*some(MIN_TRAIN, "train"), *some(MIN_HELD_OUT, "val")), (), {}, {}))
