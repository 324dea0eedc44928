"""The pages over the real server and a real model: make, rate, recall, remove, restore; nothing leaves the machine."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.studio.waiting import MODEL_TIMEOUT

if TYPE_CHECKING:
    from genloom.store.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patience")]


# Every process of the server notes the names that it asks for, and the addresses that it listens at and connects to.
WATCH = """
import os, sys

def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "socket.connect", "socket.sendto"):
        target = arguments[0] if event.startswith("socket.get") else arguments[1]
        with open(os.environ["WATCHED_ADDRESSES"], "a", encoding="utf-8") as file:
            file.write(f"{target}\\n")

sys.addaudithook(note)
"""


@pytest.fixture
def address_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of all names and addresses that the processes of the server asked for."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    (folder / "asked.txt").touch()
    return folder / "asked.txt"


@pytest.fixture
def link(trained_copy: "Workspace", address_log: Path) -> Iterator[str]:
    """The link that `genloom studio` prints, over a workspace with the model `tales`."""
    command = [sys.executable, "-m", "genloom", "studio", "--no-browser", "--port", "0"]
    command += ["--workspace", str(trained_copy.root)]
    watched = {**os.environ, "PYTHONPATH": str(address_log.parent), "WATCHED_ADDRESSES": str(address_log)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=watched) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"http://\S+#token=\S+", line):
                yield found[0]
                break
        else:
            pytest.fail("".join(lines))
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.wait(30)


@pytest.fixture
def page(browser: Any, link: str) -> Iterator[Page]:
    context = browser.new_context(locale="en", viewport={"width": 1200, "height": 800})
    page = context.new_page()
    faults, hosts = [], set()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(link)
    page.set_default_timeout(MODEL_TIMEOUT)
    yield page
    context.close()
    assert faults == []
    assert hosts <= {urlsplit(link).netloc, ""}


def test_make_rate_recall_remove_and_restore(page: Page, address_log: Path) -> None:
    expect(page.locator("#make-prompt")).to_be_visible()
    assert "token" not in page.url
    page.locator(".model-picker select").select_option(label="tales")
    page.locator(".count-picker select").select_option("2")
    page.locator("#make-prompt").fill("Once")
    page.keyboard.press("Enter")
    group = page.locator(".group", has=page.get_by_role("heading", name="Once"))
    expect(group.locator("gl-output")).to_have_count(2)
    first = group.locator("gl-output").first
    text = first.locator(".text-card").inner_text()
    assert text.startswith("Once")
    first.focus()
    page.keyboard.press("+")
    expect(first.get_by_role("button", name="Like", exact=True)).to_have_attribute("aria-pressed", "true")
    page.reload()
    first = page.locator("gl-output").first
    expect(page.locator("gl-output [aria-label=Like][aria-pressed=true]")).to_have_count(1)
    page.get_by_role("link", name="Gallery", exact=True).first.click()
    expect(page.locator("h1")).to_contain_text("2 outputs")
    page.locator("[data-place='0']").click()
    expect(page.get_by_role("heading", name="How it was made")).to_be_visible()
    page.get_by_role("link", name="Make again").click()
    expect(page.locator("#make-seed")).not_to_have_value("")
    expect(page.locator("#make-prompt")).to_have_value("Once")
    page.get_by_role("link", name="Gallery", exact=True).first.click()
    page.locator("[data-place='0']").focus()
    page.keyboard.press("Delete")
    expect(page.locator("h1")).to_contain_text("1 output")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("h1")).to_contain_text("2 outputs")
    for route in (
        "chat",
        "prompts",
        "designs",
        "speech",
        "arena",
        "teach",
        "data",
        "train",
        "models",
        "verify",
        "system",
    ):
        page.goto(f"{page.url.split('#')[0]}#/{route}")
        expect(page.locator(f"main.page-{route} h1").first).to_be_attached()
    own = ("('127.0.0.1'", "127.0.0.1", "localhost", "None", "/")
    lines = address_log.read_text(encoding="utf-8").splitlines()
    assert lines  # the server listens, so its own address is there
    assert [line for line in lines if not line.startswith(own)] == []
