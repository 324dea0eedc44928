"""A session of comparisons is blind, the same for the same rater, and repeats some pairs."""

from genloom.rate.session import compute_session_id, schedule_trials

PROMPTS = [f"prompt {n}" for n in range(40)]


def test_every_prompt_is_shown_once_and_a_share_again_swapped() -> None:
    trials = schedule_trials("session", PROMPTS, "me", repeat_rate=0.25)
    first, repeats = trials[:40], trials[40:]
    assert sorted(s.prompt for s in first) == sorted(PROMPTS)
    assert len(repeats) == 10
    assert [s.is_repeat for s in trials] == [False] * 40 + [True] * 10
    sides = {s.prompt: s.is_swapped for s in first}
    assert all(s.is_swapped is not sides[s.prompt] for s in repeats)
    positions = [s.prompt for s in trials]
    assert all(positions.index(s.prompt, 40) - positions.index(s.prompt) > 3 for s in repeats)
    assert len({s.event for s in trials}) == 50


def test_chance_decides_order_and_sides() -> None:
    trials = schedule_trials("session", PROMPTS, "me", repeat_rate=0)
    assert [s.prompt for s in trials] != PROMPTS
    assert 8 < sum(s.is_swapped for s in trials) < 32


def test_a_rater_always_gets_the_same_trials_and_others_different_ones() -> None:
    assert schedule_trials("session", PROMPTS, "me", 0.1) == schedule_trials("session", PROMPTS, "me", 0.1)
    assert schedule_trials("session", PROMPTS, "me", 0.1) != schedule_trials("session", PROMPTS, "you", 0.1)
    events = [
        {s.event for s in schedule_trials(session, PROMPTS, who, 0)} for session in ("x", "y") for who in ("me", "you")
    ]
    assert len(set.union(*events)) == 160


def test_too_few_pairs_are_not_repeated() -> None:
    assert len(schedule_trials("session", PROMPTS[:3], "me", 1.0)) == 3
    assert len(schedule_trials("session", PROMPTS[:5], "me", 1.0)) == 7


def test_other_models_prompts_or_settings_are_another_session() -> None:
    arguments = (["d1", "d2"], PROMPTS, {"length": 9})
    others = [
        (["d2", "d1"], PROMPTS, {"length": 9}),
        (["d1", "d2"], PROMPTS[1:], {"length": 9}),
        (["d1", "d2"], PROMPTS, {}),
    ]
    assert compute_session_id(*arguments) == compute_session_id(*arguments)
    assert len({compute_session_id(*each) for each in (arguments, *others)}) == 4
