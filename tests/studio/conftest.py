"""A real Chromium over the studio's pages; skipped where there is no Chromium or Playwright."""

import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.studio.stand_in import World, serve
from tests.studio.waiting import TIMEOUT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

DEFAULTS: dict[str, Any] = {"locale": "en", "viewport": {"width": 1200, "height": 800}}
HAS_DRIVER = importlib.util.find_spec("playwright") is not None
collect_ignore_glob = [] if HAS_DRIVER else ["test_*.py"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Visit:
    """A page of the studio in a browser, what it asked for, and what went wrong in it."""

    def __init__(self, page: "Page", address: str, world: World) -> None:
        self.page, self.address, self.world = page, address, world
        self.requests: list[str] = []
        self.faults: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("dialog", self.refuse)

    def refuse(self, dialog: "Dialog") -> None:
        self.faults.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def open(self, route: str) -> "Page":
        """Open a page by its route, such as "make", and wait for its heading, or for that of the sign-in page."""
        self.page.goto(f"{self.address}/#/{route}")
        name = re.split("[/?]", route)[0]
        self.page.locator(f"main:is(.page-{name}, .sign-in) h1").first.wait_for(state="attached")
        return self.page

    def keep_messages(self) -> None:
        """Let messages stay until they are closed, as people can choose: a busy machine may need long until "Undo"."""
        self.page.add_init_script("localStorage.setItem('genloom.messages_stay', 'true')")

    @property
    def foreign_requests(self) -> list[str]:
        return [
            url
            for url in self.requests
            if not url.startswith((self.address, "data:", "blob:")) and urlsplit(url).netloc
        ]


def pytest_report_header() -> str:
    return "" if HAS_DRIVER else "tests/studio: left out, because Playwright is not installed (make install)"


@pytest.fixture(scope="module")  # Playwright runs an event loop meanwhile, which other tests cannot have
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root has no sandbox
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Callable[..., Visit]]:
    """Return a function that serves a world and opens a browser on it; no page may have faults or foreign requests."""
    with ExitStack() as stack:
        visits: list[Visit] = []

        def start(world: World | None = None, **options: Any) -> Visit:
            world = world or World()
            address = stack.enter_context(serve(world))
            context = browser.new_context(**(DEFAULTS | options))
            stack.callback(context.close)
            context.set_default_timeout(TIMEOUT)
            visits.append(Visit(context.new_page(), address, world))
            return visits[-1]

        yield start
        for each in visits:
            assert each.faults == []
            assert each.foreign_requests == []
