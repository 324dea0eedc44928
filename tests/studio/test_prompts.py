"""Prompts: a form from the library, texts from it, versions, tests, and the bin."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_prompts import PromptLibrary
from tests.studio.test_access import NARROW, WIDE, list_violations
from tests.studio.waiting import wait_for_value


@pytest.fixture
def library() -> PromptLibrary:
    return PromptLibrary(World(outputs=0, tokens_per_second=2000))


def list_jobs(library: PromptLibrary, kind: str) -> list[Any]:
    return [
        body["params"]
        for method, path, body in library.world.requests
        if (method, path) == ("POST", "jobs") and body["kind"] == kind
    ]


def test_a_form_becomes_texts(visit: Callable[..., Any], library: PromptLibrary) -> None:
    page = visit(library.world).open("prompts")
    page.get_by_role("link", name=re.compile("an e-mail")).click()
    expect(page.get_by_role("heading", name="email", exact=True)).to_be_visible()
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.get_by_label("To", exact=True)).to_be_focused()  # it must be filled in
    page.get_by_label("To", exact=True).fill("a late supplier")
    page.get_by_text("6 more fields").click()
    page.get_by_label("Points").fill("forty chairs\n\nno answer")
    page.get_by_role("button", name="short, 60 words").click()
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator(".group gl-output")).to_have_count(2)
    [params] = list_jobs(library, "generate")
    given = {"to": "a late supplier", "points": ["forty chairs", "no answer"]}
    assert params["template"] == {"name": "email/0", "given": given, "length": "short"}
    assert (params["model"], params["n"]) == ("smollm2/1", 2)
    output = page.locator(".group gl-output").first
    output.get_by_role("button", name="Like", exact=True).click()
    expect(output.get_by_role("button", name="Like", exact=True)).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.locator(".group gl-output")).to_have_count(2)


def test_an_error_stands_beside_the_form(visit: Callable[..., Any], library: PromptLibrary) -> None:
    library.world.fault["jobs"] = (400, {"message": "The value is too long.", "code": "assistant.value_too_long"})
    studio = visit(library.world)
    page = studio.open("prompts/poem")
    page.get_by_label("Subject").fill("the sea")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The value is too long.")
    studio.faults.clear()  # the browser's lines about status 400


def test_a_change_is_a_version_and_undo_brings_them_back(visit: Callable[..., Any], library: PromptLibrary) -> None:
    studio = visit(library.world)
    studio.keep_messages()
    page = studio.open("prompts/email")
    page.get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog", name="Change email")
    dialog.get_by_label("Instructions").fill("You write for a small bakery.")
    dialog.get_by_label("What is different").fill("for the bakery")
    dialog.get_by_role("button", name="Save a new version").click()
    expect(page.get_by_text("email/1 is in use now")).to_be_visible()
    expect(page.get_by_text("You write for a small bakery.")).to_be_visible()
    expect(page.locator(".rows li").first).to_contain_text("for the bakery")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete own versions").click()
    expect(page.get_by_role("heading", name="Prompts")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    wait_for_value(page, lambda: [each.version for each in library.versions["email"]], [0, 1])


def test_a_new_prompt_has_a_form_of_its_own(visit: Callable[..., Any], library: PromptLibrary) -> None:
    page = visit(library.world).open("prompts")
    page.get_by_role("button", name="New prompt").click()
    dialog = page.get_by_role("dialog", name="New prompt")
    dialog.get_by_label("Name").fill("toast")
    dialog.get_by_role("button", name="Make the prompt").click()
    expect(page.get_by_role("heading", name="toast")).to_be_visible()
    expect(page.get_by_label("who")).to_be_visible()
    assert library.versions["toast"][-1].prompt == "Write a toast to {who}[[ about {what}]]."


def test_tests_show_what_did_not_pass(visit: Callable[..., Any], library: PromptLibrary) -> None:
    page = visit(library.world).open("prompts/email")
    page.get_by_role("button", name="Run the tests").click()
    expect(page.get_by_text("1 of 2 passed, with smollm2/1.")).to_be_visible()
    expect(page.get_by_text("contains: The word Saturday is missing.")).to_be_visible()
    assert list_jobs(library, "test_prompt") == [{"prompt": "email/0", "model": "smollm2/1"}]


def test_again_goes_to_the_form_with_its_values(visit: Callable[..., Any], library: PromptLibrary) -> None:
    world = library.world
    output = world.add_output("smollm2/1", "text", prompt="Write a toast", text="To all!")
    again = {
        "model": "smollm2/1",
        "prompt": "Write a toast",
        "template": {"name": "poem/0", "given": {"about": "rain"}, "length": "long"},
    }
    world.again[output.id] = again
    page = visit(world).open(f"make?again={output.id}", shows="prompts")
    expect(page).to_have_url(re.compile("#/prompts/poem"))
    expect(page.get_by_label("Subject")).to_have_value("rain")
    expect(page.get_by_role("button", name="long, 120 words")).to_have_attribute("aria-pressed", "true")


def show(page: Page, route: str) -> None:
    if "/" in route:
        page.get_by_text("6 more fields").or_(page.get_by_text("6 weitere Felder")).click()
    expect(page.locator(".prompt-card, .prompt-form").first).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("route", ["prompts", "prompts/email"])
def test_no_barriers(visit: Callable[..., Any], library: PromptLibrary, route: str) -> None:
    page = visit(library.world, reduced_motion="reduce", viewport=WIDE).open(route)
    show(page, route)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert list_violations(page) == [], theme
    page.set_viewport_size(NARROW)
    assert list_violations(page) == []


@pytest.mark.parametrize("route", ["prompts", "prompts/email"])
def test_nothing_is_cut_on_a_narrow_screen_in_german(
    visit: Callable[..., Any], library: PromptLibrary, route: str
) -> None:
    page = visit(library.world, viewport=NARROW, locale="de").open(route)
    show(page, route)
    page.wait_for_function("document.documentElement.scrollWidth <= 320")
    words = page.locator("body").inner_text().split()
    assert [word for word in words if word.startswith(("prompts.", "make.", "shell."))] == []
    expect(page.get_by_text("eine E-Mail")).to_be_visible()
