"""Arena: blind pairs by keys, mouse and thumb."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_learning import Learning
from tests.studio.waiting import wait_for_value


@pytest.fixture
def arena(visit: Callable[..., Any]) -> Callable[..., tuple[Page, Learning]]:
    """Return a function that opens the pairs of a model."""

    def start(model: str = "shakespeare", **options: Any) -> tuple[Page, Learning]:
        world = World(outputs=0)
        learning = Learning(world)
        page = visit(world, **options).open(f"arena/{model}")
        expect(page.get_by_role("heading", name="prompt 1")).to_be_visible()
        return page, learning

    return start


def get_choices(learning: Learning) -> list[tuple[str, str]]:
    return [
        (body["pair"], body["winner"])
        for method, path, body in learning.world.requests
        if method == "POST" and path.endswith("/choices")
    ]


def test_a_session_by_keys(arena: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = arena()
    expect(page.get_by_text("3 more choices until a new version can be proved better")).to_be_visible()
    for n, key in enumerate(["ArrowLeft", "=", "s", "x", "ArrowRight"]):
        page.keyboard.press(key)
        expect(page.get_by_role("heading", name=f"prompt {n + 2}")).to_be_visible()
    winners = ["a", "tie", "skip", "bad", "b"]
    wait_for_value(page, lambda: get_choices(learning), [(f"pair{n + 1}", winner) for n, winner in enumerate(winners)])
    page.keyboard.press("u")
    expect(page.get_by_role("heading", name="prompt 5")).to_be_visible()
    # The second comes too early: the next pair is not there yet.
    page.evaluate(
        """() => { for (let n = 0; n < 2; n++)
        document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true })); }"""
    )
    expect(page.get_by_role("heading", name="prompt 6")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("That was the last pair")).to_be_visible()
    wait_for_value(page, lambda: learning.missing, 0)
    expect(page.get_by_role("link", name="Teach").last).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Arena")).to_be_visible()


def test_the_end_leads_to_teach_also_before_a_proof_is_possible(
    arena: Callable[..., tuple[Page, Learning]],
) -> None:
    page, learning = arena()
    learning.missing = 24
    for n in range(6):
        expect(page.get_by_role("heading", name=f"prompt {n + 1}")).to_be_visible()
        page.keyboard.press("ArrowLeft")
    rest = page.locator(".arena-rest")
    expect(rest).to_contain_text("18 more choices until a new version can be proved better")
    rest.get_by_role("link", name="Teach").click()
    expect(page.get_by_role("button", name="Teach now, without a proof")).to_be_visible()


def test_keys_are_printed_on_the_buttons_and_nothing_names_a_model(
    arena: Callable[..., tuple[Page, Learning]],
) -> None:
    page, _ = arena("icons")
    for name, key in [("A is better", "←"), ("B is better", "→"), ("Even", "="), ("Both bad", "X"), ("Skip", "S")]:
        expect(page.get_by_role("button", name=name)).to_contain_text(key)
    expect(page.locator(".arena-answer img")).to_have_count(2)
    expect(page.locator(".arena-session")).not_to_contain_text("icons/")


def test_a_choice_that_is_not_saved_is_shown_again_with_the_reason(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    studio = visit(world)
    page = studio.open("arena/shakespeare")
    expect(page.get_by_role("heading", name="prompt 1")).to_be_visible()
    world.fault["arena/shakespeare/choices"] = (507, {"message": "The disk is full.", "code": "disk_full"})
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("Your choice was not saved, so the pair is here again. The disk is full.")).to_be_visible()
    expect(page.get_by_role("heading", name="prompt 1")).to_be_visible()
    world.fault.clear()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="prompt 2")).to_be_visible()
    wait_for_value(page, lambda: get_choices(learning), [("pair1", "a"), ("pair1", "b")])
    wait_for_value(page, lambda: learning.answered, 1)
    studio.faults.clear()  # the browser's line about status 507


@pytest.mark.parametrize(
    "model", ["icons", *(pytest.param(each, marks=pytest.mark.slow) for each in ("shakespeare", "tunes"))]
)
def test_both_answers_and_all_buttons_fit_on_a_phone(model: str, arena: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = arena(model, viewport={"width": 320, "height": 640}, has_touch=True)
    for side in "ab":
        expect(page.locator(f".answer-{side} :is(.text-full, img)").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for name in ["A is better", "B is better", "Even", "Both bad", "Skip"]:
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 36
        assert box["y"] + box["height"] <= 640
    page.get_by_role("button", name="B is better").tap()
    expect(page.get_by_role("heading", name="prompt 2")).to_be_visible()
    wait_for_value(page, lambda: get_choices(learning), [("pair1", "b")])


def test_a_pair_of_tunes_is_played_by_keys(arena: Callable[..., tuple[Page, Learning]]) -> None:
    page, _ = arena("tunes")
    expect(page.get_by_role("button", name="Play")).to_have_count(2)
    page.keyboard.press("1")
    expect(page.locator(".answer-a").get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("2")
    expect(page.locator(".answer-b").get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator(".answer-a").get_by_role("button", name="Play")).to_be_visible()  # one at a time


def test_the_start_offers_prompts_and_makes_pairs(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world, total=0)
    page = visit(world).open("arena")
    expect(page.get_by_label("Prompts, one a line")).to_have_value("a boat\na lion")
    page.get_by_label("Prompts, one a line").fill("a fox\n\n a cup ")
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile(r"#/arena/icons$"))
    assert [body["params"] for method, path, body in world.requests if (method, path) == ("POST", "jobs")] == [
        {"model": "icons", "prompts": ["a fox", "a cup"], "count": 2}  # 3 choices are missing
    ]
