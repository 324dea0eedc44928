"""Teach: from ratings to a receipt, and back."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from starlette.responses import JSONResponse

from tests.studio.stand_in import World, dump
from tests.studio.stand_in_learning import Learning
from tests.studio.stand_in_world import pass_gate
from tests.studio.waiting import wait_until


@pytest.fixture
def teach(visit: Callable[..., Any]) -> Callable[..., tuple[Page, Learning]]:
    """Return a function that opens the page of the model shakespeare."""

    def start(route: str = "teach/shakespeare", holds_events: bool = False, **state: Any) -> tuple[Page, Learning]:
        world = World(outputs=0)
        world.holds_events = holds_events
        learning = Learning(world, **state)
        return visit(world).open(route), learning

    return start


def test_without_ratings_it_says_what_to_do(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, _ = teach(missing=44)
    expect(page.get_by_role("heading", name="Not rated yet: a round takes 44 ratings")).to_be_visible()
    page.get_by_role("link", name="Choose between pairs").click()
    expect(page.get_by_role("heading", name="Arena")).to_be_visible()
    expect(page.get_by_label("Model")).to_have_value("shakespeare")


def test_too_few_ratings_show_how_many_are_missing(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, _ = teach(missing=14)
    expect(page.get_by_role("heading", name="14 ratings are missing")).to_be_visible()
    expect(page.get_by_text("19 of 33")).to_be_visible()
    expect(page.get_by_role("button", name="Teach shakespeare")).to_have_count(0)


def test_twenty_ratings_teach_without_a_proof(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = teach(missing=24)
    expect(page.get_by_text("They are too few to prove it better")).to_be_visible()
    page.get_by_role("button", name="Teach now, without a proof").click()
    expect(page.get_by_role("heading", name="The round waits")).to_be_visible()
    [job] = learning.world.jobs.values()
    assert (job.kind, job.params) == ("learn", {"model": "shakespeare", "minutes": 5, "trial": True})


def test_a_second_trial_of_the_same_ratings_is_not_recommended(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, _ = teach(missing=24, rounds=["kept"], fresh=0)
    expect(page.get_by_text("Teaching again from the same ratings seldom helps")).to_be_visible()
    expect(page.get_by_text("You can teach it now")).to_have_count(0)
    expect(page.get_by_role("button", name="Teach now, without a proof")).to_be_enabled()


def test_what_happens_before_the_page_is_connected_is_not_missed(
    teach: Callable[..., tuple[Page, Learning]],
) -> None:
    page, learning = teach(missing=0, holds_events=True)
    page.get_by_role("button", name="Teach shakespeare").click()
    expect(page.get_by_role("heading", name="The round waits")).to_be_visible()
    [job] = learning.world.jobs.values()
    job.state, job.position = "running", None
    learning.world.emit("job.running", {"job": dump(job)})
    assert not learning.world.waiting, "the page is connected already"
    learning.world.holds_events = False
    expect(page.get_by_role("heading", name="shakespeare is learning")).to_be_visible()


def test_a_round_from_the_button_to_the_way_back(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = teach(missing=0)
    page.get_by_text("Options").click()
    page.get_by_label("Minutes").fill("2")
    page.get_by_role("button", name="Teach shakespeare").click()
    expect(page.get_by_role("heading", name="The round waits")).to_be_visible()
    [job] = learning.world.jobs.values()
    assert (job.kind, job.params) == ("learn", {"model": "shakespeare", "minutes": 2})

    job.state, job.position = "running", None
    learning.world.emit("job.running", {"job": dump(job)})
    expect(page.get_by_role("heading", name="shakespeare is learning")).to_be_visible()
    job.progress.stage, job.progress.share, job.progress.seconds_left = "Training shakespeare", 0.4, 65
    learning.world.emit("job.progress", {"id": job.id, "kind": "learn", "progress": dump(job.progress)})
    expect(page.get_by_text("Learn · 40% · 65 sec left")).to_be_visible()
    expect(page.locator(".phases [aria-current=step]")).to_contain_text("Learn")

    learning.rounds, learning.active = ["promoted"], 2
    learning.end_job(job, receipt="promoted", promoted=True, challenger="shakespeare/2")
    expect(page.get_by_role("heading", name="shakespeare/2 is better, and in use")).to_be_visible()
    expect(page.get_by_text("In 86 tests on prompts it had not learned from, the new version won 69%.")).to_be_visible()
    expect(page.get_by_role("img", name="The new version wins 69%, between 58% and 78%")).to_be_visible()
    better = page.get_by_role("table", name="Better")
    expect(better).to_contain_text("Copied from the training data")
    expect(page.get_by_text("Nothing got worse by more than is allowed")).to_be_visible()
    expect(page.locator(".example .preferred")).to_contain_text("I love.")

    page.get_by_role("button", name="Go back to shakespeare/1").click()
    expect(page.get_by_text("shakespeare/1 is in use again.")).to_be_visible()
    assert learning.active == 1
    page.keyboard.press("Control+z")
    expect(page.get_by_text("shakespeare/2 is in use now.")).to_be_visible()
    assert learning.active == 2


def test_an_answer_that_comes_late_does_not_hide_a_newer_one(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = teach(missing=0, rounds=["promoted"], active=2)
    expect(page.get_by_role("button", name="Go back to shakespeare/1")).to_be_visible()
    wait_until(page, lambda: learning.world.waiting)
    states, is_held = [], True

    async def delay_first(_request: Any, method: str, parts: list[str], _body: Any) -> JSONResponse | None:
        if (method, parts) != ("GET", ["teach", "shakespeare"]):
            return None
        states.append(learning.describe_teach("shakespeare"))
        state = states[-1]
        if len(states) == 1:
            await pass_gate(lambda: is_held)
        return JSONResponse(state)

    learning.world.answers.insert(0, delay_first)
    learning.world.emit("rating.created", {"output": "x", "event": "e"})
    wait_until(page, lambda: states)
    learning.active = 1
    learning.world.emit("model.promoted", {"name": "shakespeare", "active": "shakespeare/1"})
    expect(page.get_by_role("button", name="Use shakespeare/2 again")).to_be_visible()
    is_held = False
    with page.expect_response("**/api/receipts/*"):  # the late answer, to its end
        pass
    page.evaluate("fetch('api/queue').then((answer) => answer.ok)")
    expect(page.get_by_role("button", name="Use shakespeare/2 again")).to_be_visible()
    expect(page.get_by_role("button", name="Go back to shakespeare/1")).to_have_count(0)


def test_a_round_without_proof_says_so_and_can_be_overruled(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = teach(missing=0, rounds=["kept"])
    expect(page.get_by_role("heading", name="Not proved better: shakespeare/1 stays")).to_be_visible()
    expect(page.get_by_text("It got worse in: Answers with insults.")).to_be_visible()
    expect(page.get_by_role("table", name="Worse")).to_contain_text("Answers with insults")
    page.get_by_role("button", name="Use shakespeare/3 anyway").click()
    page.get_by_label("Your reason (optional)").fill("I like it")
    page.get_by_role("button", name="Use it anyway").click()
    expect(page.get_by_text("shakespeare/3 is in use now.")).to_be_visible()
    assert learning.active == 3
    assert ("POST", "models/shakespeare/3/promote", {"reason": "I like it"}) in learning.world.requests


def test_a_failed_round_shows_its_error_and_is_no_success(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, learning = teach(missing=0)
    error = {"message": "The memory is full. Close other programs.", "code": "train.out_of_memory"}
    job = learning.add_job("learn", {"model": "shakespeare"}, "running")
    expect(page.get_by_role("heading", name="shakespeare is learning")).to_be_visible()
    learning.fail_job(job, **error)
    expect(page.get_by_role("alert")).to_contain_text("The memory is full. Close other programs.")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The memory is full. Close other programs.")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="The round waits")).to_be_visible()


def test_an_address_opens_a_receipt(teach: Callable[..., tuple[Page, Learning]]) -> None:
    page, _ = teach("teach/shakespeare/kept", missing=0, rounds=["promoted", "kept"], active=2)
    expect(page.get_by_role("heading", name="Not proved better: shakespeare/1 stays")).to_be_visible()
    expect(page.get_by_text("it tests whether the new version is better. Contradictions are ratings")).to_be_visible()
    page.get_by_role("link", name="in use shakespeare/2").click()
    expect(page.get_by_role("heading", name="shakespeare/2 is better, and in use")).to_be_visible()


def test_an_alarm_is_told_in_the_language_of_the_page(visit: Callable[..., Any]) -> None:
    world = World(outputs=0)
    Learning(world, missing=0, rounds=["kept"])
    page = visit(world, locale="de").open("teach/shakespeare/kept")
    expect(page.get_by_role("note")).to_contain_text("während „Antworten mit Beleidigungen“ schlechter wird: von 0")
