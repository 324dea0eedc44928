"""The pages that teach, train and keep, for everyone: by WCAG 2.2 AA in both themes, in German, 320 pixels wide."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_learning import Learning
from tests.studio.waiting import wait_for_value

AXE_OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # what passes is not written down: on a long page that takes longer than the check
}
TAUGHT = {"missing": 0, "rounds": ["promoted", "kept"], "active": 2}
# By route: what it shows when all is there, and the state.
STATES: dict[str, tuple[str, dict[str, Any]]] = {
    "arena": ("#arena-model", {}),
    "arena/shakespeare": (".arena-answer .text-full", {}),
    "arena/icons": (".arena-answer img", {}),
    "teach/shakespeare": (".win-rate", TAUGHT),
    "teach/shakespeare/kept": (".measures-bad", TAUGHT),
    "teach/icons": (".teach-ring", {"missing": 44}),
    "data": (".data-card", {}),
    "data/holiday": (".sample", {}),
    "train": (".run .u-over", {"jobs": ["running", "queued", "queued", "failed"]}),
    "models": (".model-card", TAUGHT),
    "models?view=tree": (".tree", TAUGHT),
    "models/shakespeare%2F2": (".tree", TAUGHT),
    "models/compare?first=shakespeare/1&second=shakespeare/2": (".compare-form", TAUGHT),
    "system": (".health li", {}),
    "system?tab=programs": (".key-row", {"keys": ["laptop"]}),
    "system?tab=people": (".empty", {}),
    "system?tab=storage": (".list-row", {"bin": ["holiday"]}),
}


MAIN = ("teach/shakespeare", "data/holiday", "train", "models/shakespeare%2F2", "system")  # in the fast tests, too


def open_state(visit: Callable[..., Any], route: str, **options: Any) -> Page:
    selector, state = STATES[route]
    state = dict(state)
    jobs, keys, removed = state.pop("jobs", []), state.pop("keys", []), state.pop("bin", [])
    world = World(outputs=0)
    learning = Learning(world, **state)
    for each in jobs:
        error = {"message": "The memory is full.", "code": "x"} if each == "failed" else None
        learning.add_job("train", {"data": "holiday", "minutes": 5}, each, error=error)
    for name in keys:
        key = {"id": "k", "name": name, "user": "", "scopes": ["read"], "created": world.now(), "prefix": "gl-k-"}
        learning.keys.append(key)
    for name in removed:
        learning.move_to_bin("datasets", name)
    page = visit(world, **options).open(route)
    page.locator(selector).first.wait_for(state="attached")
    return page


def list_violations(page: Page) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page, options=AXE_OPTIONS).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.slow
@pytest.mark.parametrize("route", STATES)
def test_axe_finds_nothing(route: str, visit: Callable[..., Any]) -> None:
    page = open_state(visit, route, reduced_motion="reduce")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert list_violations(page) == [], theme
    page.set_viewport_size({"width": 320, "height": 640})
    assert list_violations(page) == []


@pytest.mark.parametrize(
    "route", [each if each in MAIN else pytest.param(each, marks=pytest.mark.slow) for each in STATES]
)
def test_nothing_is_cut_on_a_narrow_screen_in_german(route: str, visit: Callable[..., Any]) -> None:
    page = open_state(visit, route, viewport={"width": 320, "height": 640}, has_touch=True, locale="de")
    prefixes = ("arena.", "teach.", "data.", "train.", "models.", "system.", "workshop.")
    assert [word for word in page.locator("body").inner_text().split() if word.startswith(prefixes)] == []
    page.wait_for_function("document.documentElement.scrollWidth <= 320")
    list_wide = """() => [...document.querySelectorAll('main *')].filter((each) => {
          const box = each.getBoundingClientRect();
          const scrolls = each.closest('.table-wrap, .tree, .tabs, .segments, pre, code, .plot, .visually-hidden');
          return box.width && box.right > innerWidth + 1 && !scrolls;
        }).map((each) => `${each.localName}.${each.className.baseVal ?? each.className}`)"""
    wait_for_value(page, lambda: page.evaluate(list_wide), [])


def test_reading_order_and_focus_of_a_choice(visit: Callable[..., Any]) -> None:
    """Everything in the arena is reached by Tab: leave, the four choices, undo and skip."""
    page = open_state(visit, "arena/icons")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="prompt 2")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText.split('\\n')[0]")
        )
    for name in ["Leave", "A is better", "Even", "Both bad", "B is better", "Undo", "Skip"]:
        assert any(name in each for each in names), (name, names)
