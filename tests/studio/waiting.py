"""Waiting for what a page does: the page goes on meanwhile, and a busy machine may take its time."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TIMEOUT = 60_000  # milliseconds for what an idle machine does in one; a busy one takes many times as long

MODEL_TIMEOUT = 10 * TIMEOUT  # for what a real server does, whose processes load a model first


def wait_for_value(page: "Page", read: Callable[[], Any], expected: Any) -> None:
    """Wait until `read()` returns what is expected, e.g. what the server was asked for."""
    deadline = time.monotonic() + TIMEOUT / 1000
    while (found := read()) != expected and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert found == expected


def wait_until(page: "Page", is_so: Callable[[], Any]) -> None:
    """Wait until `is_so()` is true."""
    wait_for_value(page, lambda: bool(is_so()), True)


def drag(page: "Page", target: "Locator", start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from one place in an element to another; Playwright waits until the element stands still and is on top."""
    target.hover(position={"x": start[0], "y": start[1]})
    box = target.bounding_box()
    assert box is not None
    page.mouse.down()
    page.mouse.move(box["x"] + end[0], box["y"] + end[1], steps=6)
    page.mouse.up()
