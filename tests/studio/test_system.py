"""System: memory, keys that are shown once, the bin."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.studio.stand_in import World
from tests.studio.stand_in_learning import Learning


def test_memory_and_health_name_the_cure(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    page = visit(world).open("system")
    expect(page.get_by_text("9 GB free of 16 GB")).to_be_visible()
    expect(page.get_by_text("apt install g++")).to_be_visible()
    expect(page.get_by_role("row", name="icons/1 busy 22 MB just now")).to_be_visible()


def test_a_key_is_shown_once_and_taken_back(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    page = visit(world).open("system?tab=programs")
    page.get_by_role("button", name="New key").click()
    expect(page.get_by_role("button", name="Make the key")).to_be_disabled()
    page.get_by_label("What is it for?").fill("laptop")
    page.get_by_label("manage").check()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("gl-k1-secret")).to_be_visible()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_text("gl-k1-secret")).to_have_count(0)
    expect(page.get_by_text("laptop")).to_be_visible()
    [key] = learning.keys
    assert set(key["scopes"]) == {"generate", "read", "rate", "admin"}
    page.get_by_role("button", name="Take back the key laptop").click()
    page.get_by_role("button", name="Take back", exact=True).click()
    expect(page.get_by_text("The key laptop no longer works.")).to_be_visible()
    assert learning.keys == []


def test_the_bin_gives_back_and_is_emptied_after_a_question(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world, data_names=["shakespeare"])
    for name in ["holiday", "old"]:
        learning.move_to_bin("datasets", name)
    page = visit(world).open("system?tab=storage")
    page.locator("li", has_text="holiday").get_by_role("button", name="Restore").click()
    expect(page.get_by_text("holiday is back.")).to_be_visible()
    assert learning.data_names == ["shakespeare", "holiday"]
    page.get_by_role("button", name="Empty it").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("The bin is empty.")).to_be_visible()
    assert learning.bin == []


def test_problems_of_the_workspace_are_told_in_the_language_of_the_page(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    page = visit(world, locale="de").open("system")
    expect(page.get_by_text("models/a ist beschädigt: it is cut off. Stellen Sie es aus einer")).to_be_visible()
    expect(page.locator(".health [lang=en]", has_text="a rare problem")).to_be_visible()  # as the program says it


def test_an_exported_model_is_downloaded_and_deleted(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    url = "/api/jobs/x1/download"
    row = {"id": "x1", "model": "icons/1", "file": "icons-1.gguf", "bytes": 12_000_000, "created": world.now()}
    learning.exports.append(row | {"url": url})
    page = visit(world).open("system?tab=storage")
    link = page.get_by_role("link", name="Download", exact=True)
    expect(link).to_have_attribute("href", f"{page.url.split('/#')[0]}{url}")
    page.get_by_role("button", name="Delete the file icons-1.gguf").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the file").click()
    expect(page.get_by_role("heading", name="Exported models")).to_have_count(0)
    assert learning.exports == []
