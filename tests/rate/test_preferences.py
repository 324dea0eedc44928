"""Ratings become pairs and single ratings, weighted by rater accuracy; contradictions are listed, too few refused."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from genloom.rate.preferences import (
    MIN_HELD_OUT,
    MIN_TRAIN,
    Preference,
    Preferences,
    UnpairedPreference,
    build_preferences,
    compute_sample_size,
    require_enough_preferences,
)
from genloom.rate.prompts import assign_split, normalize_prompt
from genloom.rate.raters import PRIOR_ACCURACY, BinaryLabel, compute_label_weight, estimate_accuracies
from genloom.rate.ratings import record_choice, record_rating, withdraw_rating
from genloom.store.ledger import Ledger
from genloom.store.workspace import Workspace
from tests.errors import raises_code

SaveOutput = Callable[..., str]
ONE: Any = pytest.approx(1)


class Rater:
    """Short calls to rate: `up(output)`, `stars(output, 4)`, `choose(a, b, "a")`."""

    def __init__(self, workspace: Workspace, ledger: Ledger):
        self.workspace, self.ledger = workspace, ledger

    def up(self, output: str, rater: str = "me") -> str:
        return record_rating(self.workspace, self.ledger, output, rater, "thumb", 1).id

    def down(self, output: str, rater: str = "me") -> str:
        return record_rating(self.workspace, self.ledger, output, rater, "thumb", -1).id

    def stars(self, output: str, value: int, rater: str = "me") -> str:
        return record_rating(self.workspace, self.ledger, output, rater, "stars", value).id

    def choose(self, a: str, b: str, winner, rater: str = "me") -> str:
        return record_choice(self.workspace, self.ledger, a, b, winner, rater).id

    def preferences(self, model: str = "notes") -> Preferences:
        return build_preferences(self.workspace, self.ledger, model)


@pytest.fixture
def rate(workspace: Workspace, ledger: Ledger) -> Rater:
    return Rater(workspace, ledger)


def test_a_choice_is_a_pair_of_weight_one(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A tale"), save_output("A tale")
    event = rate.choose(a, b, "b")
    preferences = rate.preferences()
    assert preferences.pairs == (Preference("A tale", b, a, ONE, (event,)),)
    assert (preferences.unpaired, preferences.contradictions, dict(preferences.unused)) == ((), (), {})
    assert preferences.raters == {"me": pytest.approx(1)}


def test_both_bad_are_two_undesirable_outputs_and_a_tie_has_no_effect(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A tale"), save_output("A tale")
    bad, tie = rate.choose(a, b, "bad"), rate.choose(save_output("B"), save_output("B"), "tie")
    preferences = rate.preferences()
    assert preferences.unpaired == tuple(UnpairedPreference("A tale", output, False, ONE, (bad,)) for output in (a, b))
    assert (preferences.pairs, preferences.unused) == ((), {tie: "a tie"})


def test_thumbs_on_the_same_prompt_are_pairs_and_others_are_single_ratings(
    rate: Rater, save_output: SaveOutput
) -> None:
    good, bad, alone = save_output("A tale"), save_output("A tale"), save_output("Another")
    up, down, single = rate.up(good), rate.down(bad), rate.down(alone)
    preferences = rate.preferences()
    assert preferences.pairs == (Preference("A tale", good, bad, ONE, tuple(sorted((up, down)))),)
    assert preferences.unpaired == (UnpairedPreference("Another", alone, False, ONE, (single,)),)


def test_equal_thumbs_on_one_prompt_stay_single_ratings(rate: Rater, save_output: SaveOutput) -> None:
    for _ in range(2):
        rate.up(save_output("A tale"))
    preferences = rate.preferences()
    assert (preferences.pairs, [o.is_desirable for o in preferences.unpaired]) == ((), [True, True])


def test_a_rating_in_many_pairs_counts_no_more_than_another(rate: Rater, save_output: SaveOutput) -> None:
    rate.up(save_output("A tale"))
    for _ in range(3):
        rate.down(save_output("A tale"))
    pairs = rate.preferences().pairs
    assert len(pairs) == 3
    assert sum(pair.weight for pair in pairs) == pytest.approx(1)


def test_a_larger_difference_of_stars_weighs_more(rate: Rater, save_output: SaveOutput) -> None:
    for number, (first, second) in enumerate(((5, 4), (5, 3), (1, 5))):
        rate.stars(save_output(str(number)), first)
        rate.stars(save_output(str(number)), second)
    weights = {pair.prompt: pair.weight for pair in rate.preferences().pairs}
    assert 0.3 < weights["0"] < 0.7
    assert weights["1"] == weights["2"] == pytest.approx(1)


def test_thumbs_and_stars_are_not_compared_with_each_other(rate: Rater, save_output: SaveOutput) -> None:
    rate.up(save_output("A tale"))
    rate.stars(save_output("A tale"), 1)
    preferences = rate.preferences()
    assert (preferences.pairs, len(preferences.unpaired)) == ((), 2)


def test_three_stars_and_notes_have_no_effect_with_a_reason(
    rate: Rater, save_output: SaveOutput, workspace: Workspace, ledger: Ledger
) -> None:
    middle = rate.stars(save_output("A tale"), 3)
    note = record_rating(workspace, ledger, save_output("A tale"), "me", "note", note="hm").id
    preferences = rate.preferences()
    assert (preferences.pairs, preferences.unpaired) == ((), ())
    assert preferences.unused == {middle: "three stars: neither good nor bad", note: "a note"}


def test_a_choice_overrides_stars_and_the_contradiction_is_listed(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A tale"), save_output("A tale")
    events = {rate.stars(a, 5), rate.stars(b, 1), rate.choose(a, b, "b")}
    preferences = rate.preferences()
    assert [(pair.chosen, pair.rejected) for pair in preferences.pairs] == [(b, a)]
    (clash,) = preferences.contradictions
    assert (set(clash.events), clash.raters, set(clash.outputs)) == (events, ("me",), {a, b})


def test_agreeing_votes_add_up_and_opposite_votes_cancel(rate: Rater, save_output: SaveOutput) -> None:
    a, b, c, d = save_output("A"), save_output("A"), save_output("B"), save_output("B")
    for rater in ("me", "you"):
        rate.choose(a, b, "a", rater)
    clash = {rate.choose(c, d, "a", "me"), rate.choose(d, c, "a", "you")}
    preferences = rate.preferences()
    assert [(pair.chosen, pair.rejected) for pair in preferences.pairs] == [(a, b)]
    assert preferences.pairs[0].weight > 1
    assert preferences.unused == dict.fromkeys(clash, "cancelled by opposite votes")
    assert [set(each.events) for each in preferences.contradictions] == [clash]
    assert preferences.contradictions[0].raters == ("me", "you")


def test_the_majority_outvotes_the_minority(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A"), save_output("A")
    rate.choose(a, b, "a", "one")
    rate.choose(a, b, "a", "two")
    other = rate.choose(a, b, "b", "three")
    preferences = rate.preferences()
    assert [(pair.chosen, pair.rejected) for pair in preferences.pairs] == [(a, b)]
    assert preferences.unused == {other: "outvoted"}
    assert preferences.raters["three"] < 1 < preferences.raters["one"]


def test_identical_outputs_are_no_preference(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A", "same"), save_output("A", "same")
    choice = rate.choose(a, b, "a")
    assert rate.preferences().pairs == ()
    assert rate.preferences().unused == {choice: "both outputs are identical"}
    rate.up(a)
    rate.down(b)
    preferences = rate.preferences()
    assert (preferences.pairs, {each.output: each.is_desirable for each in preferences.unpaired}) == (
        (),
        {a: True, b: False},
    )


def test_every_rating_is_used_or_has_a_reason(rate: Rater, save_output: SaveOutput) -> None:
    a, b, c = (save_output("A") for _ in range(3))
    events = {rate.choose(a, b, "a"), rate.up(a), rate.down(b), rate.stars(c, 3), rate.choose(b, c, "tie")}
    preferences = rate.preferences()
    used = {event for each in (*preferences.pairs, *preferences.unpaired) for event in each.events}
    assert used | preferences.unused.keys() == events
    assert set(preferences.unused.values()) == {
        "a choice between the outputs counts instead", "a tie", "three stars: neither good nor bad",
    }  # fmt: skip


def test_a_correction_is_no_contradiction_and_costs_no_weight(rate: Rater, save_output: SaveOutput) -> None:
    a, b, c = save_output("A"), save_output("A"), save_output("B")
    rate.choose(a, b, "a", "p")
    rate.choose(a, b, "b", "p")
    rate.choose(a, b, "b", "q")
    rate.up(c, "p")
    rate.down(c, "p")
    preferences = rate.preferences()
    assert preferences.contradictions == ()
    assert preferences.raters["p"] == preferences.raters["q"] >= 1
    assert [(pair.chosen, pair.rejected) for pair in preferences.pairs] == [(b, a)]


def test_who_answers_a_repeated_pair_differently_contradicts_themselves(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A"), save_output("A")
    first = rate.choose(a, b, "a", "p")
    again = rate.choose(b, a, "a", "p")  # shown again in the other order, as the arena does
    rate.choose(a, b, "b", "q")
    preferences = rate.preferences()
    assert [(each.raters, set(each.events)) for each in preferences.contradictions] == [(("p",), {first, again})]
    assert preferences.raters["p"] < 1


def test_the_pairs_of_many_ratings_do_not_grow_with_their_square(rate: Rater, save_output: SaveOutput) -> None:
    for n in range(60):
        (rate.up if n % 3 else rate.down)(save_output("A"))
    preferences = rate.preferences()
    assert len(preferences.pairs) == 40 * 8
    assert len({output for pair in preferences.pairs for output in pair.outputs}) == 60
    assert {pair.chosen for pair in preferences.pairs}.isdisjoint(pair.rejected for pair in preferences.pairs)


def test_a_changed_record_is_named_and_nothing_is_learned_from_it(
    rate: Rater, save_output: SaveOutput, workspace: Workspace
) -> None:
    output = save_output("A", "true")
    rate.up(output)
    path = workspace.get_output(output)[0].with_suffix(".json")
    path.write_text(path.read_text().replace("true", "forged", 1))
    with raises_code("store.output_record_changed", path=path):
        rate.preferences()
    path.unlink()
    assert set(rate.preferences().unused.values()) == {"its output is not in this workspace"}


def test_only_outputs_of_the_model_count(rate: Rater, save_output: SaveOutput) -> None:
    ours, theirs = save_output("A", model="notes/2"), save_output("A", model="tales/1")
    rate.choose(ours, theirs, "a")
    rate.up(save_output("B", model="tales/1"))
    assert (len(rate.preferences("notes").pairs), len(rate.preferences("notes").unpaired)) == (1, 0)
    assert (len(rate.preferences("tales").pairs), len(rate.preferences("tales").unpaired)) == (1, 1)
    assert (len(rate.preferences("").pairs), len(rate.preferences("").unpaired)) == (1, 1)
    assert rate.preferences("other") == Preferences((), (), (), {}, {})


def test_missing_outputs_are_listed_and_left_out(rate: Rater, save_output: SaveOutput, workspace: Workspace) -> None:
    gone, kept = save_output("A"), save_output("A")
    gone_event, _ = rate.down(gone), rate.up(kept)
    path, _ = workspace.get_output(gone)
    path.with_suffix(".json").unlink()
    preferences = rate.preferences()
    assert preferences.pairs == ()
    assert preferences.unused == {gone_event: "its output is not in this workspace"}


def test_withdrawn_and_replaced_ratings_have_no_effect(rate: Rater, save_output: SaveOutput, ledger: Ledger) -> None:
    output, other = save_output("A"), save_output("A")
    old, new, gone = rate.up(output), rate.down(output), rate.up(other)
    withdraw_rating(ledger, gone)
    preferences = rate.preferences()
    assert [(o.output, o.is_desirable, o.events) for o in preferences.unpaired] == [(output, False, (new,))]
    assert preferences.unused == {old: "replaced by a later one of the same rater", gone: "withdrawn"}
    assert preferences.contradictions == (), "a correction"


def test_inconsistent_raters_count_less_than_consistent_ones(rate: Rater, save_output: SaveOutput) -> None:
    for n in range(6):
        a, b = save_output(str(n)), save_output(str(n))
        for first, second in ((a, b), (b, a)):
            rate.choose(first, second, "a", "left")  # takes whatever is shown first
            rate.choose(first, second, "a" if first == a else "b", "steady")
    raters = rate.preferences().raters
    assert raters["left"] < 0.5 < 1 < raters["steady"]


def simulate_labels(accuracies: dict[str, float], items: int, seed: int) -> list[BinaryLabel]:
    rng = random.Random(seed)
    truths = [(str(n), rng.random() < 0.5) for n in range(items)]
    return [
        BinaryLabel(rater, (item,), truth == (rng.random() < share))
        for item, truth in truths
        for rater, share in accuracies.items()
    ]


def test_accuracy_is_estimated_from_agreement() -> None:
    true = {"sure": 0.95, "good": 0.85, "fair": 0.7, "coin": 0.5}
    preferences = estimate_accuracies(simulate_labels(true, 1000, seed=1))
    for rater, share in true.items():
        assert preferences[rater] == pytest.approx(share, abs=0.05)


def test_the_accuracy_of_a_single_rater_is_estimated_from_repeats() -> None:
    rng = random.Random(2)
    for share in (0.6, 0.9):
        votes = [BinaryLabel("me", (str(n),), rng.random() < share) for n in range(400) for _ in range(2)]
        assert estimate_accuracies(votes)["me"] == pytest.approx(share, abs=0.06)


def test_without_evidence_the_prior_accuracy_holds() -> None:
    assert estimate_accuracies([BinaryLabel("me", (str(n),), True) for n in range(50)]) == {"me": PRIOR_ACCURACY}
    assert compute_label_weight(PRIOR_ACCURACY) == pytest.approx(1)
    assert compute_label_weight(0.5) == 0


def test_repeating_a_vote_does_not_outvote_two_others(rate: Rater, save_output: SaveOutput) -> None:
    a, b = save_output("A"), save_output("A")
    for _ in range(6):
        rate.choose(a, b, "a", "loud")
    for rater in ("one", "two"):
        rate.choose(a, b, "b", rater)
        for n in range(4):  # whose word is as good, elsewhere
            c, d = save_output(f"{rater} {n}"), save_output(f"{rater} {n}")
            rate.choose(c, d, "a", rater)
            rate.choose(d, c, "b", rater)
    (pair,) = [pair for pair in rate.preferences().pairs if pair.prompt == "A"]
    assert pair.chosen == b


def test_a_quarter_of_the_prompts_is_held_out_whatever_their_case_and_whitespace() -> None:
    held = sum(assign_split(f"prompt {n}") == "val" for n in range(4000))
    assert held == pytest.approx(1000, abs=100)
    assert all(assign_split(f" PROMPT\t{n}\n") == assign_split(f"prompt {n}") for n in range(50))
    # A prompt's split must never change, or held-out prompts would be trained on.
    assert "".join(assign_split(f"prompt {n}")[0] for n in range(24)) == "tttttttvttttttttvvvttttt"


def exact_power(count: int, rate: float, alpha: float) -> float:
    def tail(least: int, p: float) -> float:
        return sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(least, count + 1))

    least = next(k for k in range(count + 2) if tail(k, 0.5) <= alpha)
    return tail(least, rate)


@pytest.mark.parametrize(("effect", "power", "alpha"), [(0.5, 0.8, 0.05), (0.4, 0.8, 0.05), (0.25, 0.9, 0.01)])
def test_the_sample_size_is_that_of_the_exact_test(effect: float, power: float, alpha: float) -> None:
    least = compute_sample_size(effect, power, alpha)
    assert exact_power(least - 1, 0.5 + effect, alpha) < power
    assert all(exact_power(n, 0.5 + effect, alpha) >= power for n in range(least, least + 40))


def test_smaller_effects_need_more_comparisons_and_the_smallest_are_refused() -> None:
    numbers = [compute_sample_size(effect) for effect in (0.4, 0.3, 0.2, 0.1, 0.05)]
    assert numbers == sorted(numbers)
    assert compute_sample_size(0.4) == MIN_HELD_OUT
    with raises_code("rate.bad_effect", effect=0.001):
        compute_sample_size(0.001)


def test_too_few_preferences_are_refused_with_the_number_missing() -> None:
    def make(count: int, split: str) -> list[UnpairedPreference]:
        prompts = [prompt for prompt in map(str, range(2000)) if assign_split(prompt) == split]
        return [UnpairedPreference(prompt, "x", True, 1.0, ()) for prompt in prompts[:count]]

    with raises_code("rate.too_few_preferences", train=20, held_out=5, missing=24):
        require_enough_preferences(Preferences((), (*make(20, "train"), *make(5, "val")), (), {}, {}))
    with raises_code("rate.too_few_preferences", missing=4 * MIN_HELD_OUT):
        require_enough_preferences(Preferences((), tuple(make(100, "train")), (), {}, {}))
    require_enough_preferences(Preferences((), (*make(MIN_TRAIN, "train"), *make(MIN_HELD_OUT, "val")), (), {}, {}))


def test_ratings_without_a_prompt_are_split_by_nonce(rate: Rater, save_output: SaveOutput) -> None:
    """An unconditional model has one prompt, "", and every draw of noise is a task of its own."""
    outputs = [save_output("", str(n), row=n % 2, request={"nonces": [n, n]}) for n in range(400)]
    for a, b in zip(outputs[:200:2], outputs[1:200:2], strict=True):
        rate.choose(a, b, "a")
    for n, output in enumerate(outputs[200:]):
        (rate.up if n % 2 else rate.down)(output)
    preferences = rate.preferences()
    assert (len(preferences.pairs), len(preferences.unpaired)) == (100, 200)
    assert len({each.key for each in (*preferences.pairs, *preferences.unpaired)}) == 300
    for each, share in ((preferences.pairs, 25), (preferences.unpaired, 50)):
        assert sum(preference.split == "val" for preference in each) == pytest.approx(share, abs=15)
    require_enough_preferences(preferences)


@pytest.mark.slow
def test_without_prompt_and_nonce_outputs_are_split_by_their_id(rate: Rater, save_output: SaveOutput) -> None:
    for n in range(200):
        rate.up(save_output("", str(n)))
    assert 20 < sum(each.split == "val" for each in rate.preferences().unpaired) < 80


def test_an_output_in_a_held_out_comparison_is_never_trained_on(rate: Rater, save_output: SaveOutput) -> None:
    outputs = [save_output("", str(n), row=0, request={"nonces": [n]}) for n in range(40)]
    for a, b in pairwise(outputs):
        rate.choose(a, b, "a")
    preferences = rate.preferences()
    by_split = {
        split: {output for pair in preferences.pairs if pair.split == split for output in pair.outputs}
        for split in ("train", "val")
    }
    assert by_split["train"]
    assert by_split["val"]
    assert not by_split["train"] & by_split["val"]
    assert len(preferences.unused) == 39 - len(preferences.pairs)


def test_letter_case_is_part_of_a_prompts_identity() -> None:
    """SMILES: benzene and cyclohexane."""
    assert normalize_prompt("c1ccccc1") != normalize_prompt("C1CCCCC1")
    assert normalize_prompt(" a\tprompt\n") == normalize_prompt("a prompt")
