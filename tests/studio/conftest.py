"""A real Chromium over the studio's pages; skipped where there is no Chromium or Playwright."""

import importlib.util
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.studio.stage import Stage
from tests.studio.stand_in import World
from tests.studio.waiting import MODEL_TIMEOUT, TIMEOUT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

DEFAULTS: dict[str, Any] = {"locale": "en", "viewport": {"width": 1200, "height": 800}}
STORED = "cookies,local_storage,indexeddb,service_workers,cache_storage"  # by an origin, in a browser
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

    def open(self, route: str, shows: str = "") -> "Page":
        """Open a page by its route, such as "make", and wait for its heading, or for that of the sign-in page.

        `shows` names the page that the route leads on to: the first page may be gone before it is seen.
        """
        self.page.goto(f"{self.address}/#/{route}")
        name = shows or re.split("[/?]", route)[0]
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


class Driver:
    """Playwright with a browser, for as many tests of pages in a row as there are."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.browser: Browser | None = None
        self.contexts: dict[str, list[BrowserContext]] = {}

    def get_browser(self) -> "Browser":
        if self.browser is None or not self.browser.is_connected():
            from playwright.sync_api import expect, sync_playwright

            self.close()
            expect.set_options(timeout=TIMEOUT)
            driver = self.stack.enter_context(sync_playwright())
            self.browser = driver.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )  # root has no sandbox
            self.stack.callback(self.browser.close)
        return self.browser

    @contextmanager
    def open_page(self, address: str, options: dict[str, Any]) -> Generator["Page"]:
        """Open an empty page as a new visitor: what tests before it stored is gone, but the studio's files are not."""
        free = self.contexts.setdefault(repr(sorted(options.items())), [])
        context = free.pop() if free else self.get_browser().new_context(**options)
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        tools = context.new_cdp_session(page)
        tools.send("Storage.clearDataForOrigin", {"origin": address, "storageTypes": STORED})
        tools.detach()
        yield page
        for each in context.pages:
            each.close()
        free.append(context)

    def close(self) -> None:
        self.contexts.clear()
        self.stack.close()
        self.browser = None


DRIVER = Driver()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Close the browser behind the last test here: Playwright runs an event loop, which other tests cannot have."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        DRIVER.close()


@pytest.fixture(scope="module")
def browser() -> "Browser":
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    return DRIVER.get_browser()


@pytest.fixture
def patience(browser: "Browser") -> Iterator[None]:
    """Expectations wait for a real server, whose processes load a model first."""
    from playwright.sync_api import expect

    expect.set_options(timeout=MODEL_TIMEOUT)
    yield
    expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def stages() -> Iterator[list[Stage]]:
    """Servers that no test uses now; there are as many as one test has browsers."""
    free: list[Stage] = []
    yield free
    for stage in free:
        stage.close()


@pytest.fixture
def visit(browser: "Browser", stages: list[Stage]) -> Iterator[Callable[..., Visit]]:
    """Return a function that serves a world and opens a browser on it; no page may have faults or foreign requests."""
    with ExitStack() as stack:
        visits: list[Visit] = []

        def start(world: World | None = None, **options: Any) -> Visit:
            world = world or World()
            stage = stages.pop() if stages else Stage()
            stack.callback(stages.append, stage)
            address = stack.enter_context(stage.play(world))
            page = stack.enter_context(DRIVER.open_page(address, DEFAULTS | options))
            visits.append(Visit(page, address, world))
            return visits[-1]

        yield start
        for each in visits:
            assert each.faults == []
            assert each.foreign_requests == []
