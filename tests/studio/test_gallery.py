"""Gallery: find, look, rate, and remove with undo, among many."""

import re
from contextlib import suppress
from typing import Any

from playwright.sync_api import Error, Route, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_trust import Trust
from tests.studio.waiting import wait_until


def test_filters_are_in_the_address_and_combine(visit: Any) -> None:
    studio = visit(World(outputs=400))
    page = studio.open("gallery")
    expect(page.locator("h1")).to_contain_text("400 outputs")
    page.get_by_role("button", name="Pictures").click()
    page.locator("#gallery-search").fill("fox")
    expected = [each for each in studio.world.outputs.values() if each.medium == "image" and "fox" in each.prompt]
    expect(page.locator("h1")).to_contain_text(f"{len(expected)} outputs")
    expect(page).to_have_url(re.compile("(?=.*q=fox)(?=.*medium=image)"))
    page.reload()
    expect(page.locator("h1")).to_contain_text(f"{len(expected)} outputs")
    page.get_by_role("button", name="Clear the filters").click()
    expect(page.locator("h1")).to_contain_text("400 outputs")


def test_an_output_opens_with_every_setting_and_the_way_back_is_where_it_was(visit: Any) -> None:
    studio = visit(World(outputs=400))
    Trust(studio.world)
    page = studio.open("gallery")
    page.locator("[data-place='0']").wait_for()
    page.evaluate("scrollTo(0, 3000)")
    page.locator("[data-place='48']:not(.empty-cell)").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    page.locator("[data-place='48']").click()
    detail = page.locator("gl-output-detail")
    expect(detail.get_by_role("heading", name="How it was made")).to_be_visible()
    for fact in ("Model", "Seed", "Made"):
        expect(detail.locator("dt", has_text=fact).first).to_be_visible()
    expect(detail.get_by_role("heading", name="Where it came from")).to_be_visible()
    first = page.url
    page.keyboard.press("ArrowRight")
    page.wait_for_function("url => location.href !== url", arg=first)
    page.keyboard.press("Escape")
    expect(page.locator(".gallery-list")).to_be_visible()
    page.wait_for_function("y => Math.abs(scrollY - y) < 400", arg=before)


def test_the_keyboard_reaches_and_rates_every_output(visit: Any) -> None:
    studio = visit(World(outputs=120))
    page = studio.open("gallery")
    first = page.locator("[data-place='0']")
    first.focus()
    page.keyboard.press("End")
    expect(page.locator("[data-place='119']")).to_be_focused()
    page.keyboard.press("Home")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("4")
    expect(page.locator("[data-place='1'] .mark.star")).to_have_text("★★★★")
    page.keyboard.press("Enter")
    expect(page.locator("gl-output-detail").get_by_role("button", name="4 stars")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_many_are_removed_at_once_and_come_back(visit: Any) -> None:
    studio = visit(World(outputs=60))
    studio.keep_messages()
    page = studio.open("gallery")
    page.locator("[data-place='0']").click(modifiers=["Control"])
    page.locator("[data-place='3']").click(modifiers=["Shift"])
    expect(page.get_by_role("toolbar", name="4 selected")).to_be_visible()
    page.get_by_role("toolbar").get_by_role("button", name="Move to the bin").click()
    expect(page.locator("h1")).to_contain_text("56 outputs")
    page.get_by_role("button", name="Bin").click()
    expect(page.locator("h1")).to_contain_text("4 outputs")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_contain_text("0 outputs")
    page.get_by_role("button", name="Back to the gallery").click()
    expect(page.locator("h1")).to_contain_text("60 outputs")


def test_many_outputs_scroll_to_any_place(visit: Any) -> None:
    studio = visit(World(outputs=20_000))
    page = studio.open("gallery")
    expect(page.locator("h1")).to_contain_text("20,000 outputs")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    page.wait_for_function(  # the first place shown, once the browser has told the page that it was scrolled
        """() => {
          const place = Number(document.querySelector('.cell:not(.empty-cell)')?.dataset.place);
          return 9000 < place && place < 11000;
        }"""
    )
    assert page.locator(".cell").count() < 150
    lists = [body for method, path, body in studio.world.requests if path == "outputs"]
    assert len(lists) < 8  # what was scrolled past was not read


def test_pages_that_were_scrolled_past_are_not_waited_for(visit: Any) -> None:
    studio = visit(World(outputs=3_000))
    page = studio.open("gallery")
    expect(page.locator("[data-place='0']:not(.empty-cell)")).to_be_visible()
    held: list[Route] = []
    page.route("**/api/outputs?*", lambda route: held.append(route))  # the server takes its time
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    wait_until(page, lambda: held)
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    wait_until(page, lambda: held[0].request.url in ended)
    page.unroute("**/api/outputs?*")
    page.evaluate("scrollTo(0, 0)")
    for route in held:
        with suppress(Error):  # it was given up
            route.continue_()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("[data-place='2999']:not(.empty-cell)")).to_be_visible()


def test_an_empty_bin_and_a_search_without_results_say_so(visit: Any) -> None:
    studio = visit(World(outputs=10))
    page = studio.open("gallery?deleted=true")
    expect(page.get_by_text("The bin is empty")).to_be_visible()
    page.goto(f"{studio.address}/#/gallery?q=zzz")
    expect(page.get_by_text("Nothing fits")).to_be_visible()


def test_the_versions_of_a_model_are_filtered_apart(visit: Any) -> None:
    world = World(outputs=0)
    for version in (1, 2, 2):
        world.add_output(f"icons/{version}", "image")
    page = visit(world).open("gallery")
    page.get_by_label("Any model").select_option("icons/2")
    expect(page.locator("h1")).to_contain_text("2 outputs")
    expect(page).to_have_url(re.compile("model=icons(/|%2F)2"))
