"""Everyone can use it: axe finds no fault of WCAG 2.2 A or AA on any page, light and dark, narrow and wide."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_knowledge import REPLY, Documents
from tests.studio.stand_in_trust import Trust

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # what passes is not written down: on a long page that takes longer than the check
}
NARROW, WIDE = {"width": 320, "height": 640}, {"width": 1280, "height": 800}


STILL = """() => document.getAnimations().every((each) => each.playState !== 'running'
    || each.effect.getTiming().iterations === Infinity)"""


def list_violations(page: Page) -> list[str]:
    page.wait_for_function(STILL)
    found = Axe().run(page, options=RULES).response["violations"]
    nodes = [(each["id"], node) for each in found for node in each["nodes"]]
    return [f"{rule}: {node['html'][:160]} {node['failureSummary'][:200]}" for rule, node in nodes]


def show_first_run(page: Page) -> None:
    expect(page.get_by_role("heading", name="What would you like to make?")).to_be_visible()


def show_settings(page: Page) -> None:
    page.get_by_role("button", name="Settings").click()
    expect(page.locator("#option-guidance_scale")).to_be_visible()
    expect(page.locator("gl-output").first).to_be_visible()


def show_source(page: Page) -> None:
    page.get_by_role("button", name="Change a part").click()
    expect(page.locator("canvas.mask-paint")).to_be_visible()


def show_menu(page: Page) -> None:
    page.locator("gl-output").first.get_by_role("button", name="More").click()
    expect(page.get_by_role("menuitem").first).to_be_visible()


def show_answer(page: Page) -> None:
    page.locator("#chat-box").fill("Tell me about the animals of the forest, and name each with its colour and size.")
    page.keyboard.press("Enter")
    page.locator("gl-thread .turn.assistant:not(.writing)").wait_for()
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_text("2 / 2")).to_be_visible()


def show_cells(page: Page) -> None:
    page.locator(".cell:not(.empty-cell)").first.wait_for()


def show_detail(page: Page) -> None:
    page.locator("gl-provenance").get_by_role("button", name="What it copied").click()
    expect(page.get_by_text("OFL-1.1").first).to_be_visible()


def show_dialog(key: str) -> Callable[[Page], None]:
    def show(page: Page) -> None:
        page.locator("main h1").first.wait_for(state="attached")
        page.keyboard.press(key)
        expect(page.get_by_role("dialog")).to_be_visible()

    return show


def show_preferences(page: Page) -> None:
    page.get_by_role("button", name="More").last.click() if page.viewport_size["width"] < 720 else None  # ty: ignore
    page.get_by_role("button", name="Preferences").click()
    expect(page.get_by_role("dialog", name="Preferences")).to_be_visible()


def show_documents(page: Page) -> None:
    page.get_by_role("button", name="Documents").click()
    expect(page.get_by_role("radio", name="harbour")).to_be_visible()


def show_sources(page: Page) -> None:
    show_documents(page)
    page.get_by_role("radio", name="harbour").check()
    page.get_by_role("button", name="Use", exact=True).click()
    page.locator("#chat-box").fill("When was the lighthouse built?")
    page.keyboard.press("Enter")
    page.locator("gl-markdown button.cite").click()
    expect(page.locator(".passage").first).to_be_visible()


STATES: dict[str, tuple[str, int, Callable[[Page], None]]] = {
    "first run": ("make", 0, show_first_run),
    "settings": ("make", 16, show_settings),
    "mask": ("make?source=2026-11-30-000000", 16, show_source),
    "menu": ("make", 16, show_menu),
    "chat": ("chat", 0, show_answer),
    "documents": ("chat", 0, show_documents),
    "sources": ("chat", 0, show_sources),
    "gallery": ("gallery", 200, show_cells),
    "detail": ("gallery/2026-11-30-000002", 16, show_detail),
    "keyboard help": ("make", 0, show_dialog("?")),
    "search": ("gallery", 16, show_dialog("Control+k")),
    "preferences": ("make", 0, show_preferences),
}


def check(visit: Any, state: str, theme: str, size: dict[str, int]) -> None:
    route, outputs, show = STATES[state]
    world = World(outputs=outputs, tokens_per_second=2000)
    Trust(world)
    Documents(world, "harbour", "recipes")
    world.reply = lambda _: (
        REPLY
        if state == "sources"
        else "An answer with `code`, a [link](https://example.org) and\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    page = visit(world, color_scheme=theme, viewport=size).open(route)
    show(page)
    assert list_violations(page) == []
    page.wait_for_function(
        "width => document.documentElement.scrollWidth <= width", arg=size["width"]
    )  # nothing beside


@pytest.mark.parametrize("state", ["first run", "chat", "gallery", "detail"])  # the others with the slow tests
def test_no_barriers_in_light_and_wide(visit: Any, state: str) -> None:
    check(visit, state, "light", WIDE)


@pytest.mark.slow
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_no_barriers_anywhere(visit: Any, state: str, theme: str, size: dict[str, int]) -> None:
    check(visit, state, theme, size)


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_no_barriers_at_the_door(visit: Any, size: dict[str, int]) -> None:
    world = World(outputs=0)
    world.is_signed_in = False
    studio = visit(world, color_scheme="dark", viewport=size)
    page = studio.open("make")
    expect(page.get_by_role("heading", name="Sign in to Genloom")).to_be_visible()
    box = page.locator("form").bounding_box()
    assert box is not None
    assert box["width"] >= 280
    assert abs(box["x"] + box["width"] / 2 - size["width"] / 2) < 10  # in the middle
    assert list_violations(page) == []
    studio.faults.clear()  # the browser's lines about status 401


def test_the_narrow_bar_has_room_for_its_scroll_bar(visit: Any) -> None:
    page = visit(World(outputs=0), viewport={"width": 780, "height": 437}).open("make")
    side = page.locator(".side")
    side.evaluate("side => side.style.width = `${side.clientWidth - 15}px`")  # browsers under test hide scroll bars
    assert side.evaluate("side => side.scrollHeight > side.clientHeight && side.scrollWidth <= side.clientWidth")


def test_the_language_changes_everywhere_and_is_kept(visit: Any) -> None:
    studio = visit(World(outputs=8))
    page = studio.open("gallery")
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("dialog", name="Einstellungen")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("h1")).to_contain_text("Galerie")
    page.reload()
    expect(page.locator("h1")).to_contain_text("Galerie")
    expect(page.locator("html")).to_have_attribute("lang", "de")


def test_a_german_browser_gets_german(visit: Any) -> None:
    page = visit(World(outputs=0), locale="de-AT").open("make")
    expect(page.get_by_role("heading", name="Was möchten Sie erzeugen?")).to_be_visible()


def test_the_theme_is_chosen_and_kept(visit: Any) -> None:
    page = visit(World(outputs=0)).open("make")
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_css("color-scheme", "dark")
    page.reload()
    expect(page.get_by_role("button", name="Preferences")).to_be_visible()
    expect(page.locator("html")).to_have_css("color-scheme", "dark")


def test_make_rate_and_open_by_keyboard_alone(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("i")
    page.keyboard.type("a red fox")
    page.keyboard.press("Enter")
    page.locator("gl-output").nth(3).wait_for()
    page.keyboard.press("Escape")
    page.locator("#make-prompt").evaluate("(box) => box.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    expect(page.locator("gl-output-detail").get_by_role("button", name="Like", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page.locator("#chat-box")).to_be_visible()


def test_reduced_motion_stops_what_moves(visit: Any) -> None:
    page = visit(World(outputs=0), reduced_motion="reduce").open("make")
    page.locator("#make-prompt").fill("a lion")
    page.keyboard.press("Enter")
    page.locator(".shimmer, .forming, gl-output").first.wait_for()
    moving = """() => document.getAnimations().filter((each) => each.effect.getComputedTiming().duration > 2
        && each.playState === 'running').length"""
    assert page.evaluate(moving) == 0


def test_single_keys_can_be_switched_off(visit: Any) -> None:
    page = visit(World(outputs=0)).open("make")
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("?")
    page.keyboard.press("Control+k")  # still works, and comes later
    expect(page.get_by_role("dialog", name="Search")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(1)
