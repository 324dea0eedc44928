"""Documents in the chat: chosen, added, removed; each sentence of an answer with its source, or without."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.studio.stand_in import World
from tests.studio.stand_in_knowledge import Documents
from tests.studio.waiting import wait_until


def open_documents(page: Page) -> Any:
    page.get_by_role("button", name="Documents").click()
    return page.get_by_role("dialog")


@pytest.mark.parametrize(
    ("locale", "use", "unsupported"), [("en", "Use", "Not in the documents"), ("de", "Verwenden", "Nicht in den Dokum")]
)
def test_each_sentence_names_its_source_or_says_that_there_is_none(
    visit: Any, locale: str, use: str, unsupported: str
) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    Documents(world, "harbour", "recipes")
    page = visit(world, locale=locale).open("chat")
    page.locator(".chat-composer-bar button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="harbour").check()
    dialog.get_by_role("button", name=use, exact=True).click()
    expect(page.locator(".knowledge-name")).to_have_text("harbour")
    page.locator("#chat-box").fill("When was the lighthouse built?")
    page.keyboard.press("Enter")
    answer = page.locator("gl-thread .turn.assistant:not(.writing)")
    mark = answer.locator("gl-markdown button.cite")
    expect(mark).to_have_text("1")
    expect(mark).to_have_accessible_name(
        "{} 1: harbour/handbook.pdf, page 3 · Lighthouse".format("Source" if locale == "en" else "Quelle")
    )
    expect(answer.locator("gl-markdown .cite.none")).to_contain_text(unsupported)
    expect(answer.locator("gl-markdown strong")).to_have_text("lighthouse")
    expect(answer.locator("gl-markdown p")).to_contain_text(
        "built in 1874.1 It is made"
    )  # the mark is behind the sentence
    passage = answer.locator("[data-source='1'] .passage")
    expect(passage).to_be_hidden()
    mark.click()
    expect(passage).to_be_visible()
    expect(passage.locator("mark")).to_contain_text("42 metres tall.")
    expect(answer.locator("[data-source='1'] summary")).to_be_focused()
    expect(answer.locator(".read-files")).to_contain_text("letter.txt (25")
    [request] = [body for method, path, body in world.requests if (method, path) == ("POST", "conversations")]
    assert request["knowledge"] == "harbour"
    page.reload()  # the sources stay with the answer
    expect(page.locator("gl-markdown button.cite")).to_have_text("1")


def test_documents_are_added_and_used(visit: Any, tmp_path: Path) -> None:
    (tmp_path / "Harbour Rules.md").write_text("Dogs travel free of charge.")
    world = World(outputs=0)
    Documents(world)
    page = visit(world).open("chat")
    dialog = open_documents(page)
    dialog.locator("#documents-files").set_input_files(tmp_path / "Harbour Rules.md")
    expect(dialog.get_by_label("Name")).to_have_value("harbour-rules")
    dialog.get_by_role("button", name="Read 1 file").click()
    expect(dialog.get_by_role("radio", name="harbour-rules")).to_be_checked()
    dialog.get_by_role("button", name="Use", exact=True).click()
    expect(page.locator(".knowledge-name")).to_have_text("harbour-rules")
    [job] = [body for method, path, body in world.requests if (method, path) == ("POST", "jobs")]
    assert (job["kind"], job["params"]["name"]) == ("knowledge", "harbour-rules")


def test_deleted_documents_come_back(visit: Any) -> None:
    world = World(outputs=0)
    documents = Documents(world, "harbour")
    studio = visit(world)
    studio.keep_messages()
    dialog = open_documents(studio.open("chat"))
    dialog.get_by_role("button", name="Delete “harbour”").click()
    expect(dialog.get_by_role("radio", name="harbour")).to_have_count(0)
    studio.page.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_role("radio", name="harbour")).to_be_visible()
    wait_until(studio.page, lambda: len(documents.rows) == 1)


def test_files_are_attached_to_a_question(visit: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear friend")
    world = World(outputs=0, tokens_per_second=2000)
    page = visit(world).open("chat")
    page.locator("#chat-file").set_input_files(tmp_path / "letter.txt")
    expect(page.locator(".attachments")).to_contain_text("letter.txt")
    page.locator("#chat-box").fill("Who writes?")
    page.keyboard.press("Enter")
    expect(page.locator("gl-thread .turn.assistant:not(.writing)")).to_be_visible()
    expect(page.locator(".attachments")).to_have_count(0)
    [body] = [body for method, path, body in world.requests if method == "POST" and path.endswith("/turns")]
    assert len(body["attachments"]) == 1
