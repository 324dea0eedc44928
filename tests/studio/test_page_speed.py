"""The pages stay quick with much: no task of the page's own thread takes longer than a frame or three."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from genloom.server.studio.shapes.conversations import ConversationDetail, Turn
from tests.studio.stand_in import World

LONGEST_TASK = 50  # milliseconds
# A busy machine makes every task longer; the same loop of arithmetic says by how much.
PROBE = """() => { const begin = performance.now(); let x = 0;
    for (let n = 0; n < 2e7; n++) x = (x * 31 + n) | 0;
    return performance.now() - begin + 0 * x; }"""
PROBE_MILLISECONDS = 20  # on an idle core of a server of 2024
WATCH = """() => { window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((each) => Math.round(each.duration))))
        .observe({ type: 'longtask', buffered: false }); }"""

pytestmark = pytest.mark.slow


def watch(page: Page) -> None:
    page.wait_for_timeout(500)
    page.evaluate(WATCH)


def assert_no_long_task(page: Page) -> None:
    slowness = max(1.0, min(page.evaluate(PROBE) for _ in range(5)) / PROBE_MILLISECONDS)
    longest = max(page.evaluate("window.tasks"), default=0)
    print(f"longest task {longest} ms, machine {slowness:.1f} times slower than idle")
    assert longest <= LONGEST_TASK * slowness


def make_conversation(world: World, turns: int) -> str:
    """Put a conversation of so many turns into the world."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    text = "Some **bold** words, `code` and a list:\n\n- one\n- two\n\n```python\nprint('hello')\n```\n"
    tree = [
        Turn(
            id=f"t{n}",
            parent=f"t{n - 1}" if n else None,
            role="assistant" if n % 2 else "user",
            content=f"Turn {n}. {text if n % 2 else 'Tell me more.'}",
            created=(start + timedelta(minutes=n)).isoformat(),
        )
        for n in range(turns)
    ]
    id = "2026-11-30-long"
    world.conversations[id] = ConversationDetail(
        id=id,
        title="Long",
        model="smollm2",
        created=tree[0].created,
        changed=tree[-1].created,
        turns=turns,
        tree=tree,
        leaf=tree[-1].id,
    )
    return id


def test_a_thousand_tokens_a_second_are_shown_without_a_long_task(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=1000)
    paragraph = "The quick *brown* fox jumps over the `lazy` dog and runs into the **dark** forest. " * 6
    world.reply = lambda _: "\n\n".join(
        [f"# Part\n\n{paragraph}\n\n```python\n{'x = 1' * 40}\n```\n\n- one\n- two\n"] * 35
    )
    studio = visit(world)
    page = studio.open("chat")
    page.locator("#chat-box").fill("Write")
    watch(page)
    page.keyboard.press("Enter")
    expect(page.locator("gl-thread .turn.assistant:not(.writing)")).to_be_visible()
    assert_no_long_task(page)
    shown = page.locator("gl-thread .turn.assistant gl-markdown").inner_text()
    assert shown.count("The quick brown fox") == 35 * 6


def test_ten_thousand_turns_open_scroll_and_stream_without_a_long_task(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=400)
    world.reply = lambda _: "One more answer. " * 120
    id = make_conversation(world, 10_000)
    studio = visit(world)
    page = studio.open("chat")
    watch(page)
    page.goto(f"{studio.address}/#/chat/{id}")
    expect(page.get_by_text("Turn 9999.")).to_be_visible()
    assert page.locator(".turn").count() < 400
    for _ in range(10):
        page.locator(".chat-scroll").evaluate("(box) => box.scrollBy(0, -1500)")
        page.wait_for_timeout(60)
    page.locator(".chat-scroll").evaluate("(box) => { box.scrollTop = box.scrollHeight / 2; }")
    page.wait_for_function(
        r"""() => [...document.querySelectorAll('.turn.assistant gl-markdown')]
        .map((each) => Number(each.innerText.match(/^Turn (\d+)/)?.[1])).some((n) => 3000 < n && n < 7000)"""
    )
    page.get_by_role("button", name="To the newest message").click()
    page.locator("#chat-box").fill("And now?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn.assistant").last).to_contain_text("One more answer.")
    assert_no_long_task(page)


def test_a_hundred_thousand_outputs_scroll_without_a_long_task(visit: Any) -> None:
    studio = visit(World(outputs=100_000))
    page = studio.open("gallery")
    expect(page.locator("h1")).to_contain_text("100,000 outputs")
    watch(page)
    for n in range(60):
        page.evaluate(f"scrollBy(0, {200 + 40 * n})")
        page.wait_for_timeout(30)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("[data-place='99999']:not(.empty-cell)")).to_be_visible()
    assert_no_long_task(page)


def test_a_text_of_five_megabytes_streams_without_a_long_task(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=100_000)
    world.reply = lambda _: " word word word word word word word word\n" * 120_000
    studio = visit(world)
    page = studio.open("make")
    page.locator(".model-picker select").select_option(label="shakespeare")
    page.locator(".count-picker select").select_option("1")
    page.locator("#make-prompt").fill("On the sea")
    watch(page)
    page.keyboard.press("Enter")
    expect(page.locator("gl-stream-text")).to_contain_text("word word")
    expect(page.locator("gl-output")).to_have_count(1)
    assert_no_long_task(page)


def test_the_first_page_is_painted_at_once(visit: Any) -> None:
    studio = visit(World(outputs=0))
    studio.open("make")
    page = studio.open("make")
    page.reload()
    page.locator("h1").wait_for()
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    slowness = max(1.0, min(page.evaluate(PROBE) for _ in range(5)) / PROBE_MILLISECONDS)
    print(f"first contentful paint after {paint:.0f} ms, machine {slowness:.1f} times slower than idle")
    assert paint < 300 * slowness
