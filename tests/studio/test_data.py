"""Data: from dropped files to a set, its samples and captions, and the bin."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from genloom.studio import FOLDER
from tests.studio.stand_in import World
from tests.studio.stand_in_learning import Learning
from tests.studio.waiting import wait_for_value, wait_until


def test_files_become_a_set_after_a_look_at_what_is_taken(visit: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "My Holiday"
    folder.mkdir()
    for name in ["a.png", "b.png", "notes"]:
        (folder / name).write_bytes(b"x")
    world = World(outputs=0)
    learning = Learning(world, data_names=[])
    page = visit(world).open("data")
    expect(page.get_by_text("Nothing collected yet.")).to_be_visible()
    page.locator("#data-folder").set_input_files(folder)
    expect(page.get_by_role("heading", name="2 files can be taken (Pictures)")).to_be_visible()
    expect(page.get_by_text("2 files are left out")).to_be_visible()
    expect(page.get_by_text("1 without a known ending")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    expect(page.get_by_label("Name")).to_have_value("my-holiday")
    page.get_by_label("Licence").select_option("CC0-1.0")
    page.get_by_role("button", name="Take 2 files").click()
    expect(page.get_by_role("progressbar", name="Collecting")).to_be_visible()
    wait_until(page, lambda: world.jobs)
    [job] = world.jobs.values()
    assert job.params == {"upload": "up1", "name": "my-holiday", "licence": "CC0-1.0"}
    learning.data_names.append("my-holiday")
    learning.end_job(job, dataset="my-holiday", digest="aa")
    expect(page.get_by_role("heading", name="my-holiday")).to_be_visible()


def test_a_collection_that_fails_says_why(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world, data_names=[])
    page = visit(world).open("data")
    page.get_by_role("button", name="Try it with Shakespeare").click()
    expect(page.get_by_role("progressbar", name="Collecting")).to_be_visible()
    wait_until(page, lambda: world.jobs)
    [job] = world.jobs.values()
    assert job.params == {"builtin": "builtin:shakespeare", "name": "shakespeare"}
    learning.fail_job(job, "The disk is full. Empty the bin.", "x")
    expect(page.get_by_role("alert")).to_contain_text("The disk is full. Empty the bin.")
    assert learning.data_names == []


def test_a_set_shows_what_was_taken_and_left(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    page = visit(world).open("data/holiday")
    expect(page.get_by_text("40 of 52 read")).to_be_visible()
    expect(page.get_by_text("12 the same as another")).to_be_visible()
    expect(page.get_by_text("36 95%")).to_be_visible()
    expect(page.get_by_text("CC-BY-4.0")).to_be_visible()
    page.get_by_text("1 note on files").click()
    expect(page.get_by_text("IMG_9.png it is damaged")).to_be_visible()
    page.get_by_role("link", name="Train a model on it").click()
    expect(page.get_by_label("Learns from")).to_have_value("holiday")


def test_a_set_of_texts_says_why_there_are_more_than_files(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    studio = visit(world)
    texts = studio.open("data/shakespeare").get_by_text("A long file is cut into several texts")
    expect(texts).to_be_visible()
    studio.open("data/holiday")
    expect(studio.page.get_by_text("40 of 52 read")).to_be_visible()
    expect(texts).to_have_count(0)


def test_captions_are_written_with_keys_alone(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    page = visit(world).open("data/holiday")
    expect(page.locator(".sample")).to_have_count(3)
    page.keyboard.press("e")
    expect(page.get_by_label("Caption of folder/IMG_0.png")).to_be_focused()
    page.keyboard.type("a beach")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Caption of folder/IMG_1.png")).to_be_focused()
    page.keyboard.type("a boat")
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_label("Caption of folder/IMG_0.png")).to_have_value("a beach")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=re.compile("a beach"))).to_be_focused()
    wait_for_value(page, lambda: learning.captions, {"s0": "a beach", "s1": "a boat"})
    expect(page.get_by_text("2 captions are changed.")).to_be_visible()
    page.get_by_role("button", name="Make the new version").click()
    expect(page.get_by_text("The new version has your captions.")).to_be_visible()
    assert learning.applied_captions == {"s0": "a beach", "s1": "a boat"}


def test_a_caption_that_is_refused_goes_back(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    studio = visit(world)
    page = studio.open("data/holiday")
    expect(page.locator(".sample")).to_have_count(3)
    world.fault["datasets/holiday/samples/s0"] = (409, {"message": "The set is in use.", "code": "x"})
    page.keyboard.press("e")
    expect(page.get_by_label("Caption of folder/IMG_0.png")).to_be_focused()
    page.keyboard.type("a beach")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The set is in use.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".sample").first).to_contain_text("No caption")
    studio.faults.clear()  # the browser's line about status 409


def test_a_deleted_set_is_back_after_undo(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    page = visit(world).open("data/holiday")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_text("holiday is in the bin.")).to_be_visible()
    expect(page.get_by_role("heading", name="shakespeare")).to_be_visible()
    assert learning.data_names == ["shakespeare"]
    page.keyboard.press("Control+z")
    expect(page.get_by_role("heading", name="holiday")).to_be_visible()
    assert learning.bin == []


def test_leaving_a_page_deletes_nothing(visit: Callable[..., Any]) -> None:
    """A method of a page that hides one of the browser's own, such as remove(), would run when the page is left."""
    world = World(outputs=0)
    Learning(world, rounds=["promoted"], active=2)
    studio = visit(world)
    studio.open("data/holiday")
    for route in ["models/shakespeare%2F2", "train", "teach", "arena", "system", "data/shakespeare", "make"]:
        page = studio.open(route)
    sources = [path.read_text() for path in FOLDER.rglob("*.js") if "vendor" not in path.parts]
    names = re.findall(r"customElements\.define\('([\w-]+)'", "".join(sources))
    assert "gl-data-detail" in names
    hidden = page.evaluate(
        """(names) => names.map((name) => customElements.get(name)).filter(Boolean)
        .flatMap((type) => Object.getOwnPropertyNames(type.prototype)
          .filter((key) => key in HTMLElement.prototype && key !== 'constructor')
          .map((key) => `${type.name}.${key}`))""",
        names,
    )
    assert hidden == []
    assert page.evaluate("fetch('api/queue').then((answer) => answer.ok)")  # the server has heard what was sent before
    assert [path for method, path, _ in world.requests if method == "DELETE"] == []


def test_persons_and_their_consents_are_said_with_the_files(visit: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("a.png", "consent.toml"):
        (tmp_path / name).write_bytes(b"x")
    world = World(outputs=0)
    Learning(world, data_names=[])
    page = visit(world).open("data")
    page.locator("#data-files").set_input_files(tmp_path / "a.png")
    page.get_by_text("Persons in it").click()
    page.get_by_role("checkbox", name="voices").check()
    page.get_by_role("checkbox", name="nobody").check()
    expect(page.get_by_role("checkbox", name="voices")).not_to_be_checked()
    page.get_by_role("checkbox", name="faces").check()
    expect(page.get_by_role("checkbox", name="nobody")).not_to_be_checked()
    with page.expect_response("**/api/uploads"):
        page.get_by_label("Consents").set_input_files(tmp_path / "consent.toml")
    page.get_by_role("button", name="Take 2 files").click()
    wait_until(page, lambda: world.jobs)
    [job] = world.jobs.values()
    assert (job.params["persons"], job.params["consent"]) == (["face"], "up1")


def test_a_consent_is_withdrawn_after_a_question(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    consent = {"who": "Anna", "of": ["face"], "purposes": ["training"], "state": "valid", "until": "2027-12-31"}
    Learning(world, consents=[consent])
    page = visit(world).open("data/holiday")
    row = page.get_by_role("region", name="Persons and their consent").get_by_role("listitem")
    expect(row).to_contain_text("valid")
    expect(row).to_contain_text("faces · training · until Dec 31, 2027")
    row.get_by_role("button", name="Withdraw the consent of Anna").click()
    page.get_by_role("button", name="Withdraw", exact=True).click()
    expect(row).to_contain_text("withdrawn")
    expect(row.get_by_role("button")).to_have_count(0)
