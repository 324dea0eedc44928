"""Models: the family tree, promotion, comparison, export, deletion with undo."""

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from genloom.errors import load_messages
from genloom.studio import FOLDER
from tests.studio.stand_in import World
from tests.studio.stand_in_learning import Learning
from tests.studio.waiting import wait_for_value


def test_a_model_shows_its_family_and_facts(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world, rounds=["promoted"], active=2)
    page = visit(world).open("models")
    page.get_by_role("link", name=re.compile("shakespeare")).first.click()
    expect(page.get_by_role("heading", name="shakespeare/2")).to_be_visible()
    tree = page.get_by_role("group", name="Where it comes from")
    expect(tree.get_by_role("link", name="shakespeare, data")).to_be_visible()
    expect(tree.get_by_role("link", name="shakespeare/2, taught by you")).to_have_attribute("aria-current", "true")
    expect(tree.locator("path.edge")).to_have_count(3)  # data → 1 → 2, 1 → outputs; the data of 2 are those of 1
    names = ["shakespeare, data", "shakespeare/1", "shakespeare/2"]
    boxes = [tree.get_by_role("link", name=name).bounding_box() for name in names]
    lefts = [box["x"] for box in boxes if box]
    assert lefts == sorted(lefts)
    assert len(lefts) == 3
    tree.get_by_role("link", name="shakespeare/1").click()
    expect(page.get_by_role("heading", name="shakespeare/1")).to_be_visible()
    page.get_by_role("button", name="Use this version").click()
    expect(page.get_by_text("shakespeare/1 is in use now.")).to_be_visible()


def test_data_that_are_not_here_have_no_link(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world, data_names=[])
    page = visit(world).open("models/shakespeare%2F1")
    tree = page.get_by_role("group", name="Where it comes from")
    expect(tree.get_by_role("link", name="shakespeare/1")).to_be_visible()
    expect(tree.get_by_text("shakespeare", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="shakespeare", exact=True)).to_have_count(0)
    expect(tree.get_by_role("link", name="shakespeare, data")).to_have_count(0)


def test_a_version_that_is_not_here_is_named_beside_the_error(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    world.fault["models/icons/7"] = (404, {"message": "There is no version 7.", "code": "store.no_such_version"})
    studio = visit(world)
    page = studio.open("models/icons%2F7")
    expect(page.get_by_role("heading", name="icons/7")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("There is no version 7.")
    studio.faults.clear()  # the browser's line about status 404


def test_the_list_and_the_tree_are_addresses(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    studio = visit(world)
    page = studio.open("models")
    expect(page.locator(".model-card").first).to_be_visible()
    studio.open("models?view=tree")
    expect(page.locator(".tree")).to_be_visible()
    page.go_back()
    expect(page.locator(".model-card").first).to_be_visible()
    expect(page.locator(".tree")).to_have_count(0)
    page.get_by_role("button", name="Family tree").click()
    expect(page.locator(".tree")).to_be_visible()
    expect(page).to_have_url(re.compile("view=tree"))


def test_a_deleted_version_is_back_after_undo(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world, rounds=["promoted"], active=1)
    page = visit(world).open("models/shakespeare%2F2")
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_text("shakespeare/2 is in the bin.")).to_be_visible()
    page.keyboard.press("Control+z")
    wait_for_value(page, lambda: learning.bin, [])
    page.goto(f"{page.url.split('#')[0]}#/models/shakespeare%2F2")
    expect(page.get_by_role("heading", name="shakespeare/2")).to_be_visible()


def test_a_model_in_need_is_deleted_only_on_request(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    studio = visit(world)
    page = studio.open("models/shakespeare%2F1")
    error = {"message": "To remove it anyway: genloom remove models shakespeare/1 --force", "code": "api.still_needed"}
    details = [{"code": "loss_of_base", "models": "tuned/1"}, {"code": "loss_of_replay", "outputs": 20}]
    world.fault["models/shakespeare/1"] = (409, error | {"details": details})
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog", name="shakespeare/1 is still needed")
    expect(dialog).to_contain_text("tuned/1 cannot be used")
    expect(dialog).to_contain_text("20 outputs can no longer be made again")
    expect(dialog).not_to_contain_text("genloom remove")  # no command where there is a button
    expect(dialog.get_by_role("button", name="Delete anyway")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    assert not any("force" in str(body) for method, _, body in world.requests if method == "DELETE")
    studio.faults.clear()  # the browser's line about status 409


def test_every_loss_of_a_removal_has_its_words() -> None:
    losses = {key for key in load_messages("api") if key.startswith("loss_of_")}
    assert losses
    for language in ("en", "de"):
        messages = json.loads((FOLDER / "messages" / language / "workshop.json").read_text(encoding="utf-8"))
        assert {key for key in messages if key.startswith("loss_of_")} == losses


def test_two_models_answer_the_same_prompt(visit: Callable[..., Any]) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    Learning(world, rounds=["promoted"], active=2)
    page = visit(world).open("models/compare?first=shakespeare/1&second=shakespeare/2")
    page.get_by_label("Prompt").fill("ROMEO:")
    page.get_by_role("button", name="Make both").click()
    expect(page.locator(".compare-pair figure")).to_have_count(2)
    expect(page.locator(".compare-pair figcaption > span:first-child")).to_have_text(["shakespeare/1", "shakespeare/2"])
    jobs = [body["params"] for method, path, body in world.requests if (method, path) == ("POST", "jobs")]
    assert [job["model"] for job in jobs] == ["shakespeare/1", "shakespeare/2"]
    assert jobs[0]["seed"] == jobs[1]["seed"]
    page.get_by_role("button", name="This one is better").first.click()
    expect(page.locator(".compare-pair figcaption").first).to_contain_text("Better")
    [(path, body)] = [(path, body) for method, path, body in world.requests if path.endswith("/prefer")]
    assert body["over"] not in path


def test_the_tree_of_all(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    page = visit(world).open("models")
    page.get_by_role("button", name="Family tree").click()
    expect(page.get_by_role("link", name="icons/1, built in")).to_be_visible()


def test_the_adapters_of_a_base_are_listed_with_it(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world, rounds=["promoted"], active=2, adapters=["sonnets/1"])
    page = visit(world).open("models")
    expect(page.locator(".model-card", has_text="sonnets")).to_contain_text("adapter on shakespeare/1")
    page.goto(f"{page.url.split('#')[0]}#/models/shakespeare%2F1")
    adapters = page.get_by_role("region", name="Adapters on shakespeare/1")
    expect(adapters.get_by_role("listitem")).to_have_count(1)  # shakespeare/2 is one of its versions
    expect(adapters.get_by_role("link", name="Make something")).to_have_attribute("href", re.compile("sonnets"))
    adapters.get_by_role("link", name="sonnets/1").click()
    expect(page.get_by_role("heading", name="sonnets/1")).to_be_visible()
    expect(adapters).to_have_count(0)
