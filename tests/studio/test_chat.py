"""Chat: streamed answers, branches that stay, and the conversations beside them."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_learning import Learning
from tests.studio.stand_in_world import pass_gate
from tests.studio.waiting import wait_for_value

ANSWER = """Here is **bold** and `code`:

| name | n |
|---|--:|
| fox | 12 |

```python
print("hello")
```

1. one
2. two
"""


def ask(page: Page, text: str) -> None:
    page.locator("#chat-box").fill(text)
    page.keyboard.press("Enter")


def test_an_answer_streams_as_markdown(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=400)
    world.reply = lambda _: ANSWER
    studio = visit(world)
    page = studio.open("chat")
    ask(page, "Show me a table")
    answer = page.locator("gl-thread .turn.assistant")
    expect(answer).to_be_visible()
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.get_by_role("cell", name="12")).to_be_visible()
    expect(answer.locator("pre code.language-python span").first).to_be_visible()  # coloured
    expect(page.locator("gl-conversations").get_by_role("link", name="Show me a table")).to_be_visible()


@pytest.mark.parametrize(("locale", "summary"), [("en-GB", "Reasoning"), ("de-DE", "Überlegung")])
def test_reasoning_is_folded_above_the_answer(visit: Any, locale: str, summary: str) -> None:
    world = World(outputs=0, tokens_per_second=400)
    world.reply = lambda _: "<think>\nTwo and two,\nso four.\n</think>\n\nIt is **four**."
    page = visit(world, locale=locale).open("chat")
    ask(page, "2 + 2?")
    answer = page.locator("gl-thread .turn.assistant:not(.writing)")
    expect(answer.locator("strong")).to_have_text("four")
    expect(answer.locator("gl-markdown")).to_have_text("It is four.")
    details = answer.locator("details.reasoning")
    expect(details.get_by_text("so four.")).to_be_hidden()
    details.locator("summary", has_text=summary).click()
    expect(details.get_by_text("so four.")).to_be_visible()


def test_asking_again_keeps_the_sibling_and_a_preference_is_said_plainly(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    answers = iter(["First answer.", "Second answer."])
    world.reply = lambda _: next(answers)
    studio = visit(world)
    page = studio.open("chat")
    ask(page, "Hello")
    expect(page.get_by_text("First answer.")).to_be_visible()
    page.get_by_role("button", name="Answer again").click()
    expect(page.get_by_text("Second answer.")).to_be_visible()
    expect(page.get_by_text("2 / 2")).to_be_visible()
    page.get_by_role("button", name="Previous version").click()
    expect(page.get_by_text("First answer.")).to_be_visible()
    page.get_by_role("button", name="This one is better").click()
    expect(page.get_by_text("Noted as a preference")).to_be_visible()
    [turn] = [turn for each in world.conversations.values() for turn in each.tree if turn.content == "First answer."]
    preferences = [path.split("/")[-2] for _, path, _ in world.requests if path.endswith("/prefer")]
    assert preferences == [turn.id]  # looking at the other was no preference


def test_editing_a_question_makes_a_branch(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    world.reply = lambda prompt: f"You said {prompt}."
    studio = visit(world)
    page = studio.open("chat")
    ask(page, "red")
    expect(page.get_by_text("You said red.")).to_be_visible()
    page.locator(".turn.user").hover()
    page.get_by_role("button", name="Edit").click()
    page.locator(".turn-edit textarea").fill("blue")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("You said blue.")).to_be_visible()
    page.locator(".turn.user").get_by_role("button", name="Previous version").click()
    expect(page.get_by_text("You said red.")).to_be_visible()
    [conversation] = world.conversations.values()
    wait_for_value(page, lambda: len(conversation.tree), 4)


def test_stop_keeps_the_beginning(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=40)
    world.reply = lambda _: "word " * 3000
    studio = visit(world)
    page = studio.open("chat")
    ask(page, "Write")
    expect(page.locator("gl-answer gl-markdown")).to_contain_text("word word")
    page.keyboard.press("Escape")
    expect(page.locator("gl-answer")).to_have_count(0)
    [job] = world.jobs.values()
    wait_for_value(page, lambda: job.state, "cancelled")


def test_instructions_folders_tags_and_the_bin(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    world.reply = lambda _: "Yes."
    studio = visit(world)
    page = studio.open("chat")
    page.get_by_role("button", name="Instructions and settings").click()
    page.get_by_label("Instructions", exact=True).fill("Answer in one word.")
    page.get_by_role("button", name="Save").click()
    ask(page, "Is it so?")
    expect(page.get_by_text("Yes.")).to_be_visible()
    [conversation] = world.conversations.values()
    assert conversation.system == "Answer in one word."
    row = page.locator(".chat-row")
    row.hover()
    row.get_by_role("button").click()
    page.get_by_role("menuitem", name="Move to a folder").click()
    page.get_by_role("combobox", name="Folder").fill("Work")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".folder summary")).to_contain_text("Work")
    row.hover()
    row.get_by_role("button").click()
    page.get_by_role("menuitem", name="Move to the bin").click()
    expect(page.locator(".chat-row")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".chat-row")).to_have_count(1)


def test_search_finds_words_in_turns(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    world.reply = lambda prompt: f"About {prompt}: zebra." if prompt == "animals" else "Nothing."
    studio = visit(world)
    page = studio.open("chat")
    for text in ("animals", "stones"):
        page.get_by_role("button", name="New chat").click()
        ask(page, text)
        expect(page.locator("gl-thread .turn.user")).to_have_text(re.compile(text))
        expect(page.get_by_role("button", name="Answer again")).to_be_visible()  # the answer is complete
    expect(page.locator(".chat-row")).to_have_count(2)
    page.get_by_label("Search in all conversations").fill("zebra")
    expect(page.locator(".chat-row")).to_have_count(1)
    expect(page.locator(".chat-row")).to_contain_text("animals")


def test_enter_before_the_conversation_is_read_goes_on_in_it(visit: Any) -> None:
    world = World(outputs=0)
    studio = visit(world)
    page = studio.open("chat")
    ask(page, "Who are you?")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()  # the answer is complete
    [conversation] = world.conversations

    is_pressed = False

    async def delay(_request: Any, method: str, parts: list[str], _body: Any) -> None:
        if (method, parts) == ("GET", ["conversations", conversation]):
            await pass_gate(lambda: not is_pressed)

    world.answers.append(delay)
    page = studio.open(f"chat/{conversation}")
    page.reload()
    ask(page, "And then?")
    is_pressed = True
    expect(page.locator("gl-thread .turn.user")).to_have_count(2)
    assert list(world.conversations) == [conversation]


def test_two_models_answer_beside_each_other_and_one_is_better(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    Learning(world, rounds=["promoted"], active=2, can_chat=True)
    world.reply = lambda prompt: f"About {prompt}."
    studio = visit(world)
    page = studio.open("chat")
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value("shakespeare/2")
    page.get_by_role("button", name="Let a second model answer beside it").click()
    page.get_by_role("combobox", name="Second model").select_option("shakespeare/1")
    ask(page, "the sea")
    pair = page.get_by_role("group", name="The answers of both models")
    answers = pair.locator("article:not(.writing)")
    expect(answers).to_have_count(2)
    expect(answers.locator(".turn-name")).to_have_text(["shakespeare", "shakespeare/1"])
    asked = [body for method, path, body in world.requests if method == "POST" and path.endswith("/turns")]
    assert [body["model"] for body in asked] == ["shakespeare/2", "shakespeare/1"]
    [conversation] = world.conversations.values()
    [question, *both] = conversation.tree
    assert [turn.parent for turn in both] == [question.id] * 2
    expect(answers.first).to_contain_text("The chat goes on with it")
    answers.nth(1).get_by_role("button", name="This one is better").click()
    expect(answers.nth(1)).to_contain_text("Preferred")
    expect(answers.nth(1)).to_contain_text("The chat goes on with it")
    preferred = next(path.split("/")[-2] for _, path, _ in world.requests if path.endswith("/prefer"))
    [chosen] = [turn for turn in both if turn.model == "shakespeare/1"]
    assert preferred == chosen.id
    ask(page, "And then?")
    expect(page.locator("gl-thread .turn.user")).to_have_count(2)
    wait_for_value(page, lambda: len(conversation.tree), 6)
    assert conversation.tree[3].parent == chosen.id
    expect(answers).to_have_count(2)
    page.get_by_role("button", name="Let a second model answer beside it").click()
    expect(pair).to_have_count(0)
    expect(page.get_by_role("combobox", name="Second model")).to_have_count(0)


def test_an_answer_that_is_given_again_is_shown_while_it_is_written(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    answers = iter(["First answer.", "Second answer, which is long enough to wait in the middle of it."])
    world.reply = lambda _: next(answers)
    studio = visit(world)
    page = studio.open("chat")
    ask(page, "Hello")
    expect(page.get_by_role("button", name="Answer again")).to_be_visible()
    world.holds_jobs = True
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator("gl-answer")).to_contain_text("Second answer")
    world.emit("conversation.changed", {"id": next(iter(world.conversations))})  # as the server says of each question
    expect(page.get_by_text("First answer.")).to_have_count(0)
    page.reload()
    expect(page.locator("gl-answer")).to_contain_text("Second answer")
    expect(page.get_by_text("First answer.")).to_have_count(0)
    world.holds_jobs = False
    expect(page.get_by_text("2 / 2")).to_be_visible()


def test_the_box_stays_in_view_on_a_phone(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=4000)
    world.reply = lambda _: "A long answer of many words that fills the page. " * 60
    page = visit(world, viewport={"width": 320, "height": 640}).open("chat")
    ask(page, "Hello")
    expect(page.locator("gl-thread .turn.assistant:not(.writing)")).to_be_visible()
    box, bar = page.locator(".chat-composer").bounding_box(), page.locator(".phone-bar").bounding_box()
    assert box is not None
    assert bar is not None
    assert box["y"] + box["height"] <= bar["y"] + 1
