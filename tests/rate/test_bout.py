"""A round of comparisons is blind, the same for the same rater, and shows some pairs twice."""

from genloom.rate.bout import bout_of, showings

PROMPTS = [f"prompt {n}" for n in range(40)]


def test_every_prompt_is_shown_once_and_a_share_again_the_other_way_round() -> None:
    order = showings("bout", PROMPTS, "me", repeats=0.25)
    first, again = order[:40], order[40:]
    assert sorted(s.prompt for s in first) == sorted(PROMPTS)
    assert len(again) == 10
    assert [s.again for s in order] == [False] * 40 + [True] * 10
    sides = {s.prompt: s.swapped for s in first}
    assert all(s.swapped is not sides[s.prompt] for s in again)
    places = [s.prompt for s in order]
    assert all(places.index(s.prompt, 40) - places.index(s.prompt) > 3 for s in again)
    assert len({s.event for s in order}) == 50


def test_chance_decides_order_and_sides() -> None:
    order = showings("bout", PROMPTS, "me", repeats=0)
    assert [s.prompt for s in order] != PROMPTS
    assert 8 < sum(s.swapped for s in order) < 32


def test_the_same_rater_gets_the_same_and_others_another() -> None:
    assert showings("bout", PROMPTS, "me", 0.1) == showings("bout", PROMPTS, "me", 0.1)
    assert showings("bout", PROMPTS, "me", 0.1) != showings("bout", PROMPTS, "you", 0.1)
    events = [{s.event for s in showings(bout, PROMPTS, who, 0)} for bout in ("x", "y") for who in ("me", "you")]
    assert len(set.union(*events)) == 160


def test_too_few_pairs_are_not_repeated() -> None:
    assert len(showings("bout", PROMPTS[:3], "me", 1.0)) == 3
    assert len(showings("bout", PROMPTS[:5], "me", 1.0)) == 7


def test_other_models_prompts_and_settings_are_another_round() -> None:
    given = (["d1", "d2"], PROMPTS, {"length": 9})
    others = [
        (["d2", "d1"], PROMPTS, {"length": 9}),
        (["d1", "d2"], PROMPTS[1:], {"length": 9}),
        (["d1", "d2"], PROMPTS, {}),
    ]
    assert bout_of(*given) == bout_of(*given)
    assert len({bout_of(*each) for each in (given, *others)}) == 4
