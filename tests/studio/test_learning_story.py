"""The whole circle on a real server with a tiny model, by keys: make, rate, choose, teach, read the receipt, use."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from genloom.api.workspace import Workspace
from tests.studio.waiting import MODEL_TIMEOUT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patience")]
STEPS = 4  # of the round, instead of the minutes that a person chooses
PROMPTS = [f"The {who} {did}" for who in ("king", "crow", "cat", "dog", "fox", "bird") for did in "abcdefghijklmnop"]


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a tiny model of text, and choices between its answers to 96 prompts."""
    folder = tmp_path_factory.mktemp("story")
    worlds.trained_workspace(folder)
    workspace = Workspace(folder, rater="ada")
    for trial in workspace.model("tales").arena(PROMPTS, max_tokens=8, repeats=0.0):
        trial.choose("a" if str(trial.a) < str(trial.b) else "b")
    return folder


@pytest.fixture(scope="module")
def link(home: Path) -> Iterator[str]:
    """The start link of `genloom studio`."""
    command = [sys.executable, "-m", "genloom", "studio", "--no-browser", "--port", "0", "--workspace", str(home)]
    with open(home / "server.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    try:
        deadline = time.monotonic() + 300
        while not (found := re.search(r"http://\S+#token=\S+", (home / "server.log").read_text(encoding="utf-8"))):
            assert server.poll() is None, (home / "server.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield found.group()
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def session(link: str, browser: "Browser") -> tuple[str, Any]:
    """The address of the studio, and a browser's storage after signing in: the link works once."""
    page = browser.new_context(locale="en").new_page()
    page.goto(link)
    page.locator("main h1").first.wait_for()
    storage = page.context.storage_state()
    page.context.close()
    return link.split("#")[0], storage


@pytest.fixture
def page(session: tuple[str, Any], browser: "Browser") -> Iterator[Page]:
    address, storage = session
    context = browser.new_context(
        locale="en", viewport={"width": 1200, "height": 800}, storage_state=storage, base_url=address
    )
    context.set_default_timeout(MODEL_TIMEOUT)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def press_until(page: Page, name: str) -> None:
    """Move the focus by Tab to what has this name."""
    script = "document.activeElement.ariaLabel || document.activeElement.innerText || ''"
    for _ in range(80):
        page.keyboard.press("Tab")
        if name in page.evaluate(script):
            return
    raise AssertionError(f"Tab does not reach {name!r}")


def shorten_round(route: Any) -> None:
    """Let a round take a few steps instead of minutes."""
    body = json.loads(route.request.post_data)
    if body["kind"] == "learn":
        body["params"] = {"model": body["params"]["model"], "steps": STEPS}
    route.continue_(post_data=json.dumps(body))


def test_make_rate_choose_teach_and_use_by_keys(page: Page, home: Path) -> None:
    page.route(
        "**/api/jobs", lambda route: shorten_round(route) if route.request.method == "POST" else route.continue_()
    )

    # Make, and rate what was made.
    page.goto("/#/make?model=tales")
    page.locator("#make-prompt").focus()
    page.keyboard.type("The old king")
    page.keyboard.press("Enter")
    output = page.locator("gl-output").first
    expect(output).to_be_visible()
    output.focus()
    page.keyboard.press("+")
    expect(output.get_by_role("button", name="Like", exact=True)).to_have_attribute("aria-pressed", "true")

    # Choose between new pairs.
    page.goto("/#/arena?model=tales")
    page.get_by_label("Prompts, one a line").fill("My cat\nYour dog\nThe bird")
    page.get_by_label("Prompts, one a line").press("Tab")
    press_until(page, "Start")
    page.keyboard.press("Enter")
    expect(page.locator(".arena-answer")).to_have_count(2)
    first = page.locator(".arena-prompt h1").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".arena-prompt h1")).not_to_have_text(first)
    page.keyboard.press("Escape")

    # Teach, and read the receipt.
    page.goto("/#/teach/tales")
    expect(page.get_by_role("heading", name="There is enough to learn from")).to_be_visible()
    page.locator("h1").focus()
    press_until(page, "Teach tales")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator(".win-rate")).to_be_visible()
    ratings = Workspace(home).ratings("tales")
    assert len(ratings) == len(PROMPTS) + 2

    # Use the new version, whatever the gate said, and go back.
    if page.get_by_role("button", name="Use tales/2 anyway").count():
        page.locator("h1").focus()
        press_until(page, "Use tales/2 anyway")
        page.keyboard.press("Enter")
        page.keyboard.type("to see it")
        press_until(page, "Use it anyway")
        page.keyboard.press("Enter")
    press_until(page, "Make something with it")
    assert Workspace(home).model("tales").ref == "tales/2"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/make"))
    page.goto("/#/teach/tales")
    page.get_by_role("button", name="Go back to tales/1").press("Enter")
    expect(page.get_by_text("tales/1 is in use again.")).to_be_visible()
    assert Workspace(home).model("tales").ref == "tales/1"


def test_a_folder_becomes_data_and_a_model(page: Page, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    for n in range(30):
        (folder / f"{n}.txt").write_text(f"Dear friend, this is letter {n}. " * 40, encoding="utf-8")
    (folder / "copy.txt").write_text((folder / "0.txt").read_text(encoding="utf-8"), encoding="utf-8")
    page.goto("/#/data")
    page.locator("#data-folder").set_input_files(folder)
    page.get_by_role("button", name="Take 31 files").click()
    expect(page.get_by_role("heading", name="letters")).to_be_visible()
    expect(page.locator(".reasons")).to_contain_text("the same as another")
    expect(page.locator(".sample").first).to_contain_text("Dear friend")
    page.get_by_role("link", name="Train a model on it").click()
    page.get_by_label("Learns from").select_option("letters")
    page.get_by_role("slider", name="Time").press("Home")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("progressbar", name="Train letters")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped", exact=True).first).to_be_visible()


def test_models_and_the_machine_are_shown(page: Page) -> None:
    page.goto("/#/models/tales%2F1")
    expect(page.get_by_role("link", name="tales/1, trained")).to_be_visible()
    page.goto("/#/system")
    expect(page.get_by_role("heading", name="At work")).to_be_visible()
    page.goto("/#/system?tab=programs")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("What is it for?").fill("laptop")
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator(".dialog .copy-line code")).to_have_text(re.compile(r"^gl-"))
