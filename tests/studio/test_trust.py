"""Trust: where an output came from, files that are verified, reports with intervals, keys and content rules."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from genloom.server.studio.shapes.trust import Decision
from tests.studio.stand_in import World
from tests.studio.stand_in_trust import AT, FINDINGS, Trust
from tests.studio.test_access import NARROW, WIDE, list_violations
from tests.studio.waiting import wait_for_value


@pytest.fixture
def trust() -> Trust:
    return Trust(World(outputs=8))


def test_the_line_of_an_output_leads_to_licences_and_copies(visit: Callable[..., Any], trust: Trust) -> None:
    page = visit(trust.world).open("gallery/2026-11-30-000002")
    line = page.locator("gl-provenance")
    expect(line.get_by_text("Signed by “Mia's studio”")).to_be_visible()
    expect(line.get_by_text("Marked with a key of this studio")).to_be_visible()
    expect(line.get_by_role("link", name="icons/1")).to_be_visible()
    expect(line.get_by_role("link", name="icons@5c57")).to_have_count(0)  # it is not here
    expect(line.get_by_text("1,203 documents · MIT")).to_be_visible()
    line.get_by_role("button", name="Check it").click()
    expect(line.get_by_role("heading", name="Made here, and unchanged")).to_be_visible()
    expect(line.get_by_text("found (p = 3e-21)")).to_be_visible()
    line.get_by_role("button", name="What it copied").click()
    expect(line.get_by_text("More than chance explains")).to_be_visible()
    expect(line.get_by_text("97% alike · OFL-1.1")).to_be_visible()


def test_an_output_on_the_page_make_tells_where_it_came_from(visit: Callable[..., Any], trust: Trust) -> None:
    page = visit(trust.world).open("make")
    page.locator("gl-output").first.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Where it came from").click()
    dialog = page.get_by_role("dialog", name="Where it came from")
    expect(dialog.get_by_text("1,203 documents · MIT")).to_be_visible()


def drop(page: Page, *names: str) -> None:
    page.locator("#verify-files").set_input_files([{"name": each, "mimeType": "", "buffer": b"x"} for each in names])


def test_dropped_files_get_a_verdict_each_and_are_not_kept(visit: Callable[..., Any], trust: Trust) -> None:
    page = visit(trust.world).open("verify")
    drop(page, *FINDINGS)
    verdicts = page.locator(".trust-verdict")
    expect(verdicts).to_have_count(4)
    expect(verdicts.get_by_role("heading")).to_have_text(
        [
            "Made here, and unchanged",
            "Changed since “Mia's studio” signed it",
            "Signed by “Somebody”, whom you don’t know",
            "No evidence",
        ]
    )
    assert "person" not in verdicts.last.inner_text()
    wait_for_value(page, lambda: ("DELETE", "uploads/up1", {}) in trust.world.requests, True)
    drop(page, "own.png")
    expect(verdicts).to_have_count(5)


def test_the_reports_of_a_model_show_intervals(visit: Callable[..., Any], trust: Trust) -> None:
    page = visit(trust.world).open("models/icons%2F1")
    panel = page.locator("gl-model-trust")
    for name, row in (("Bias", "gender"), ("Privacy", "Tells training texts from unseen ones")):
        section = panel.locator("section", has=page.get_by_role("heading", name=name, exact=True))
        section.get_by_role("button", name="Measure").click()
        expect(section.locator(".interval-row", has_text=row)).to_be_visible()
    expect(panel.get_by_role("img", name="+0.31, in all likelihood from +0.12 to +0.5")).to_have_count(3)
    expect(panel.get_by_text("It gives away training data.")).to_be_visible()
    panel.get_by_text("Read the card").click()
    expect(panel.get_by_role("heading", name="A card")).to_be_visible()
    expect(panel.get_by_text("license: mit")).to_have_count(0)


def test_a_key_is_replaced_after_a_question(visit: Callable[..., Any], trust: Trust) -> None:
    page = visit(trust.world).open("system?tab=trust")
    page.locator("li", has_text="Marking key").get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Earlier ones are still recognised")
    dialog.get_by_role("button", name="New key").click()
    expect(page.get_by_text("recognises earlier outputs")).to_be_visible()
    assert [key.is_active for key in trust.keys if key.kind == "marking"] == [False, True]
    expect(page.get_by_role("link", name="Save the certificate")).to_have_attribute(
        "href", f"{page.url.split('#')[0]}api/trust/certificate"
    )


def test_rules_are_edited_tried_and_their_decisions_listed(visit: Callable[..., Any], trust: Trust) -> None:
    facts: Any = {"at": AT, "rule": "crow", "action": "log", "target": "prompt", "model": "tales/1"}
    trust.decisions.append(Decision(id="1", sha256="ab" * 32, **facts))
    studio = visit(trust.world)
    page = studio.open("system?tab=trust")
    expect(page.get_by_text("Sexual content with minors")).to_be_visible()
    expect(page.locator("li", has_text="tales/1")).to_contain_text("noted")
    page.get_by_role("button", name="Edit your rules").click()
    box = page.get_by_label("Your rules (TOML)")
    expect(box).to_have_value("# an example\n")
    box.fill("nonsense")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("policy.toml cannot be read.")).to_be_visible()
    box.fill("[rules.crow]\n")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("crows")).to_be_visible()
    page.get_by_label("Try a text").fill("a crow")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="crow")).to_be_visible()
    studio.faults.clear()  # the browser's line about status 400


STATES = ("gallery/2026-11-30-000002", "verify", "models/icons%2F1", "system?tab=trust")


def show_all(page: Page, route: str) -> None:
    """Open what the page has of trust."""
    if route == "verify":
        drop(page, *FINDINGS)
        expect(page.locator(".trust-verdict")).to_have_count(4)
    elif route.startswith("models"):
        reports = page.locator("gl-model-trust .trust-report")
        for number in range(2):
            reports.nth(number).locator("button").click()
        expect(page.locator(".intervals")).to_have_count(2)
    elif route.startswith("system"):
        page.locator("gl-system-trust button").first.wait_for()
    else:
        page.locator("gl-provenance .actions button").nth(1).click()
        expect(page.locator("gl-provenance .matches")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("route", STATES)
def test_no_barriers(visit: Callable[..., Any], trust: Trust, route: str) -> None:
    page = visit(trust.world, reduced_motion="reduce", viewport=WIDE).open(route)
    show_all(page, route)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert list_violations(page) == [], theme
    page.set_viewport_size(NARROW)
    assert list_violations(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("route", STATES)
def test_nothing_is_cut_on_a_narrow_screen_in_german(visit: Callable[..., Any], trust: Trust, route: str) -> None:
    page = visit(trust.world, viewport=NARROW, locale="de").open(route)
    show_all(page, route)
    page.wait_for_function("document.documentElement.scrollWidth <= 320")
    prefixes = ("trust.", "verify.", "shell.", "models.", "system.")
    assert [word for word in page.locator("body").inner_text().split() if word.startswith(prefixes)] == []
