"""Designs: goals from words, an example or a file are shown first; what is made has files and a report."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_designs import DOCUMENT, Designs
from tests.studio.test_access import NARROW, WIDE, list_violations


@pytest.fixture
def designs() -> Designs:
    return Designs(World(outputs=0))


def make(page: Page, name: str = "Look at the goals", start: str = "Design") -> None:
    page.get_by_role("textbox").first.fill("a light bridge")
    page.get_by_role("button", name=name).click()
    page.get_by_role("button", name=start, exact=True).click()
    expect(page.locator(".design-card")).to_have_count(4)


def test_words_become_goals_and_designs_with_files(visit: Callable[..., Any], designs: Designs) -> None:
    page = visit(designs.world).open("designs")
    page.get_by_label("What should it be?").fill("a light bridge")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="Picture of Bridge")).to_be_visible()
    expect(page.get_by_text("a deck on two feet")).to_be_visible()
    page.get_by_label("Number of designs").select_option("2")
    page.get_by_role("button", name="Design", exact=True).click()
    cards = page.locator(".design-card")
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("meets the goals")
    expect(cards.last).to_contain_text("The stress is 130 MPa")
    job = next(iter(designs.world.jobs))
    expect(page.get_by_role("link", name="Report")).to_have_attribute(
        "href", f"{page.url.split('/#')[0]}/api/designs/{job}/files/report.html"
    )
    cards.first.get_by_role("button", name="Download").click()
    expect(page.get_by_role("menuitem", name="STL")).to_have_attribute("download", "design-1.stl")
    assert designs.world.jobs[job].params == {"goals": DOCUMENT, "count": 2}


def test_a_file_is_a_source_and_an_error_names_the_entry(visit: Callable[..., Any], designs: Designs) -> None:
    studio = visit(designs.world)
    page = studio.open("designs")
    page.get_by_role("button", name="File", exact=True).click()
    file = {"name": "design.toml", "mimeType": "", "buffer": b'title = "Mine"'}
    page.locator("#design-file").set_input_files([file])
    expect(page.get_by_label("Goals (design.toml)")).to_have_value('title = "Mine"')
    designs.world.fault["designs/goals"] = (400, {"message": "There is no [domain].", "code": "design.entry_missing"})
    page.get_by_role("button", name="Look at the goals").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no [domain].")
    expect(page.get_by_role("button", name="Design", exact=True)).to_have_count(0)
    studio.faults.clear()  # the browser's line about status 400


def test_files_are_deleted_after_a_question(visit: Callable[..., Any], designs: Designs) -> None:
    page = visit(designs.world).open("designs")
    make(page)
    page.get_by_role("button", name="Delete the files").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the files").click()
    expect(page.locator(".design-card")).to_have_count(0)


@pytest.mark.slow
def test_no_barriers(visit: Callable[..., Any], designs: Designs) -> None:
    page = visit(designs.world, reduced_motion="reduce", viewport=WIDE).open("designs")
    make(page)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert list_violations(page) == [], theme
    page.set_viewport_size(NARROW)
    assert list_violations(page) == []


def test_nothing_is_cut_on_a_narrow_screen_in_german(visit: Callable[..., Any], designs: Designs) -> None:
    page = visit(designs.world, viewport=NARROW, locale="de").open("designs")
    make(page, "Ziele ansehen", "Entwerfen")
    page.wait_for_function("document.documentElement.scrollWidth <= 320")
    words = page.locator("body").inner_text().split()
    assert [word for word in words if word.startswith(("designs.", "shell."))] == []
