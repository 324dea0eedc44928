"""A page of somebody else in a real browser that is signed in to the studio: it reads nothing and does nothing."""

import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.server.reach import Reach

pytestmark = pytest.mark.slow

# Every attempt resolves to what the page could read of the answer, or "".
ATTEMPTS = """
async (studio) => {
  const results = {};
  const attempt = async (name, run) => {
    try { results[name] = await Promise.race([run(), new Promise((end) => setTimeout(() => end(''), 1500))]) || ''; }
    catch (error) { results[name] = ''; }
  };
  const thing = JSON.stringify({name: 'hostile'});
  const json = {'content-type': 'application/json'};
  const send = (path, options) => async () => (await fetch(studio + path, {credentials: 'include', ...options})).text();
  await attempt('read', send('/api/things/l1', {}));
  await attempt('read keys', send('/api/keys', {}));
  await attempt('post json', send('/api/things', {method: 'POST', headers: json, body: thing}));
  await attempt('post text', send('/api/things', {method: 'POST', body: thing}));
  await attempt('post blind', send('/api/things', {method: 'POST', body: thing, mode: 'no-cors'}));
  const blob = new Blob([thing], {type: 'application/json'});
  await attempt('beacon', async () => { navigator.sendBeacon(studio + '/api/things', blob); return ''; });
  await attempt('delete', send('/api/things/l1', {method: 'DELETE'}));
  await attempt('upload', async () => {
    const form = new FormData();
    form.append('file', new Blob(['x']), 'hostile.txt');
    return send('/api/upload', {method: 'POST', body: form, mode: 'no-cors'})();
  });
  await attempt('events', () => new Promise((resolve, reject) => {
    const source = new EventSource(studio + '/api/stream', {withCredentials: true});
    source.onmessage = (event) => resolve(event.data);
    source.onerror = reject;
  }));
  await attempt('socket', () => new Promise((resolve, reject) => {
    const socket = new WebSocket(studio.replace('http', 'ws') + '/api/stream');
    socket.onopen = () => resolve('open');
    socket.onerror = reject;
  }));
  await attempt('image', () => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve('loaded');
    image.onerror = reject;
    image.src = studio + '/studio/icon.svg';
  }));
  await attempt('script', () => new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.onload = () => resolve('loaded');
    script.onerror = reject;
    script.src = studio + '/studio/main.js';
    document.head.append(script);
  }));
  await attempt('frame', () => new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.onload = () => { try { resolve(frame.contentDocument.body.textContent); } catch (error) { resolve(''); } };
    frame.src = studio + '/';
    document.body.append(frame);
  }));
  await attempt('form', async () => {
    const frame = document.createElement('iframe');
    frame.name = 'target';
    document.body.append(frame);
    const form = document.createElement('form');
    form.action = studio + '/api/things';
    form.method = 'POST';
    form.enctype = 'text/plain';
    form.target = 'target';
    form.innerHTML = '<input name=\\'{"name": "hostile", "x": "\\' value=\\'"}\\'>';
    document.body.append(form);
    form.submit();
    await new Promise((end) => setTimeout(end, 500));
    return '';
  });
  await attempt('window', async () => {
    const other = window.open(studio + '/');
    await new Promise((end) => setTimeout(end, 700));
    return other && other.document ? other.document.body.textContent : '';
  });
  return results;
}
"""


class HostilePage(BaseHTTPRequestHandler):
    """An empty page; the test runs the attempts in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>hostile</title><body></body>")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve_hostile_page() -> Generator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), HostilePage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.example"])
def test_a_hostile_page_reads_nothing_and_does_nothing(
    run_reach: Callable[..., AbstractContextManager[Reach]], name: str
) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "this test needs Chromium: apt-get install chromium"
    options = ["--no-sandbox", "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    with run_reach() as reach, serve_hostile_page() as port, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        context = browser.new_context()
        page = context.new_page()
        token = reach.guard.sessions.create_link("local")
        page.goto(f"{reach.base_url}/healthz")
        sign_in = "(token) => fetch('/api/login', {method: 'POST', headers: {'content-type': 'application/json'}, "
        sign_in += "body: JSON.stringify({token})}).then((answer) => answer.status)"
        assert page.evaluate(sign_in, token) == 200
        assert page.evaluate("() => fetch('/api/things/l1').then((answer) => answer.text())") == '{"text":"mine"}'
        assert page.evaluate("() => document.cookie") == ""
        hostile = context.new_page()
        hostile.goto(f"http://{name}:{port}/")
        results = hostile.evaluate(ATTEMPTS, reach.base_url)
        assert len(results) == 15
        assert not {attempt: text for attempt, text in results.items() if text}
        # Rebinding: the hostile name now is the address of the studio itself.
        rebound = context.new_page()
        answer = rebound.goto(f"http://evil.example:{reach.guard.config.port}/")
        assert answer is not None
        assert answer.status == 421
        browser.close()
        assert reach.done == []
