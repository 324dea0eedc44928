"""A round of comparisons is blind, the same for the same rater, and shows some pairs twice."""

from genloom.rate.session import compute_session_id, schedule_trials

PROMPTS = [f"prompt {n}" for n in range(40)]


def test_every_prompt_is_shown_once_and_a_share_again_the_other_way_round() -> None:
    order = schedule_trials("bout", PROMPTS, "me", repeat_rate=0.25)
    first, again = order[:40], order[40:]
    assert sorted(s.prompt for s in first) == sorted(PROMPTS)
    assert len(again) == 10
    assert [s.is_repeat for s in order] == [False] * 40 + [True] * 10
    sides = {s.prompt: s.is_swapped for s in first}
    assert all(s.is_swapped is not sides[s.prompt] for s in again)
    places = [s.prompt for s in order]
    assert all(places.index(s.prompt, 40) - places.index(s.prompt) > 3 for s in again)
    assert len({s.event for s in order}) == 50


def test_chance_decides_order_and_sides() -> None:
    order = schedule_trials("bout", PROMPTS, "me", repeat_rate=0)
    assert [s.prompt for s in order] != PROMPTS
    assert 8 < sum(s.is_swapped for s in order) < 32


def test_the_same_rater_gets_the_same_and_others_another() -> None:
    assert schedule_trials("bout", PROMPTS, "me", 0.1) == schedule_trials("bout", PROMPTS, "me", 0.1)
    assert schedule_trials("bout", PROMPTS, "me", 0.1) != schedule_trials("bout", PROMPTS, "you", 0.1)
    events = [{s.event for s in schedule_trials(bout, PROMPTS, who, 0)} for bout in ("x", "y") for who in ("me", "you")]
    assert len(set.union(*events)) == 160


def test_too_few_pairs_are_not_repeated() -> None:
    assert len(schedule_trials("bout", PROMPTS[:3], "me", 1.0)) == 3
    assert len(schedule_trials("bout", PROMPTS[:5], "me", 1.0)) == 7


def test_other_models_prompts_and_settings_are_another_round() -> None:
    given = (["d1", "d2"], PROMPTS, {"length": 9})
    others = [
        (["d2", "d1"], PROMPTS, {"length": 9}),
        (["d1", "d2"], PROMPTS[1:], {"length": 9}),
        (["d1", "d2"], PROMPTS, {}),
    ]
    assert compute_session_id(*given) == compute_session_id(*given)
    assert len({compute_session_id(*each) for each in (given, *others)}) == 4
