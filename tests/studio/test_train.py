"""Train: the dial and its promise, the queue, a run from start to end."""

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from genloom.api.progress import TEXT_QUALITY
from genloom.studio import FOLDER
from tests.studio.stand_in import World, dump
from tests.studio.stand_in_learning import Learning
from tests.studio.waiting import wait_until


def test_the_dial_shows_what_comes_of_it_and_starts_a_run(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    page = visit(world).open("train")
    dial = page.get_by_role("slider", name="Time")
    expect(dial).to_have_attribute("aria-valuetext", "10 min")
    expect(page.locator(".tile", has_text="Expected quality")).to_contain_text("1.8 ± 0.1")
    expect(page.locator(".tile", has_text="Memory")).to_contain_text("1.2 GB")
    expect(page.get_by_text("Text at this level sounds right and means little.")).to_be_visible()
    expect(page.get_by_text("With 30 min: 1.8 · With 1 hr 30 min: 1.8")).to_be_visible()
    dial.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".dial output")).to_have_text("15 min")
    expect(page.locator(".tile", has_text="Memory")).to_contain_text("1.3 GB")
    page.get_by_text("Options").click()
    page.get_by_label("Name of the model").fill("beach")
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile("#/train/"))
    [job] = world.jobs.values()
    assert job.params == {"data": "holiday", "minutes": 15, "name": "beach"}
    assert sum(path == "forecast" for _, path, _ in world.requests) == 2  # the first stop, then the whole dial at once

    job.state, job.position = "running", None
    world.emit("job.running", {"job": dump(job)})
    job.progress.share, job.progress.step, job.progress.steps, job.progress.seconds_left = 0.5, 450, 900, 300
    world.emit("job.progress", {"id": job.id, "kind": "train", "progress": dump(job.progress)})
    expect(page.get_by_text("Step 450 of 900 · 50% · 5 min left")).to_be_visible()
    expect(page.locator(".u-over").first).to_be_attached()  # the chart is drawn
    expect(page.get_by_role("img", name=re.compile("Error went from 3 to 0.33 at step 8"))).to_be_visible()
    page.get_by_role("button", name="As a table").first.click()
    expect(page.get_by_role("region", name="Error in training").get_by_role("row")).to_have_count(10)
    expect(page.get_by_text("the king")).to_be_visible()

    facts = {"forecast": {"seconds": 870, "bits_per_byte": 1.8}, "fact": {"seconds": 860, "bits_per_byte": 1.77}}
    learning.end_job(job, model="beach/1", run="r", **facts)
    expect(page.get_by_role("row", name="bits per byte 1.8 1.77")).to_be_visible()
    expect(page.get_by_role("link", name="Make something with it")).to_have_attribute("href", re.compile("make.*beach"))


def test_of_little_data_no_good_sentences_are_promised(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    learning.level = "little_data"
    page = visit(world).open("train")
    expect(page.get_by_text("How good new text will be is unknown: from so little text")).to_be_visible()


def test_every_level_of_text_has_its_words() -> None:
    for language in ("en", "de"):
        messages = json.loads((FOLDER / "messages" / language / "train.json").read_text(encoding="utf-8"))
        assert {key.removeprefix("level_") for key in messages if key.startswith("level_")} == TEXT_QUALITY.keys()


def test_what_cannot_fit_is_refused_with_the_reason(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    page = visit(world).open("train")
    page.get_by_role("slider", name="Time").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("alert")).to_have_text("It needs 13.2 GB of memory, and 6.0 GB are free.")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()


def test_without_data_it_leads_to_data(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world, data_names=[])
    page = visit(world).open("train")
    page.get_by_role("link", name="Add data").click()
    expect(page.get_by_role("heading", name="Data")).to_be_visible()


def test_the_queue_is_reordered_and_paused(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    for name in ["one", "two", "three"]:
        learning.add_job("train", {"name": name, "data": "holiday"})
    page = visit(world).open("train")
    rows = page.locator(".queue li")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Move Train three up").click()
    expect(rows.nth(1)).to_contain_text("Train three")
    page.get_by_role("button", name="Move Train one down").click()
    expect(rows.nth(0)).to_contain_text("Train three")
    order = sorted(world.jobs.values(), key=lambda job: job.position or 0)
    assert [job.params["name"] for job in order] == ["three", "one", "two"]
    page.get_by_role("button", name="Cancel Train two").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: nothing new starts.")).to_be_visible()
    assert learning.is_paused


def test_a_stopped_run_goes_on(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    job = learning.add_job("train", {"data": "holiday"}, "running")
    page = visit(world).open(f"train/{job.id}")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Train holiday stopped. What was learned is kept.")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".queue")).to_contain_text("Train holiday")


def test_a_failed_run_is_no_success(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    learning = Learning(world)
    error = {"message": "The memory is full. Train with fewer minutes.", "code": "train.out_of_memory"}
    job = learning.add_job("train", {"data": "holiday"}, "failed", error=error)
    page = visit(world).open("train")
    page.get_by_role("link", name=re.compile("failed Train holiday")).click()
    expect(page.get_by_role("alert")).to_have_text("The memory is full. Train with fewer minutes.")
    expect(page.get_by_role("link", name="Make something with it")).to_have_count(0)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".queue")).to_contain_text("Train holiday")
    assert world.jobs[job.id].state == "queued"


def test_titles_of_jobs_are_in_the_language_of_the_page(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world).add_job("train", {"data": "holiday"})
    page = visit(world, locale="de").open("train")
    expect(page.locator(".queue li")).to_contain_text("holiday trainieren")


def test_tuning_can_protect_each_document(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world)
    page = visit(world).open("train?data=shakespeare&from=shakespeare/1")
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Protect each document").select_option("3")
    wait_until(
        page, lambda: any(path == "forecast" and body["params"].get("epsilon") == 3 for _, path, body in world.requests)
    )
    page.get_by_role("button", name="Start").click()
    wait_until(page, lambda: world.jobs)
    [job] = world.jobs.values()
    assert (job.params["from"], job.params["private"], job.params["epsilon"]) == ("shakespeare/1", True, 3)
