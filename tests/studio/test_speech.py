"""Speech: a text is spoken and can be heard and saved; a recording is written down; what is missing says its cure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Page, Route, expect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genloom.server.studio.shapes.jobs import Job, Progress
from genloom.server.studio.shapes.speech import Voice
from genloom.speech.sound_chunks import build_encoder
from tests.studio.stand_in import World
from tests.studio.stand_in_data import make_models
from tests.studio.stand_in_world import dump, make_page
from tests.studio.test_access import WIDE, list_violations

VOICES = [
    Voice(name="me", model="me", note="", is_own=True),
    Voice(name="af_heart", model="kokoro", note="American, female", is_own=False),
]


class Speaking:
    """What the page shows; a test changes it."""

    def __init__(self) -> None:
        self.world = World(outputs=0)
        self.voices, self.has_listener = list(VOICES), True
        self.asked: list[Any] = []
        self.world.answers.append(self.answer)

    async def answer(self, request: Request, method: str, parts: list[str], body: Any) -> Response | None:
        match method, parts:
            case "GET", ["voices"]:
                return JSONResponse(make_page([dump(each) for each in self.voices]))
            case "GET", ["models"]:
                text = make_models()[0]
                can = ["transcribe"] if self.has_listener else ["generate"]
                whisper = text.model_copy(update={"name": "whisper", "ref": "whisper/1", "can": can})
                return JSONResponse(make_page([whisper]))
            case "POST", ["jobs"]:
                self.asked.append(body)
                self.voices = list(VOICES)
                facts: Any = {"id": "2026-11-30-j00000", "title": "", "owner": "local", "created": self.world.now()}
                job = Job(**facts, **body, state="succeeded", result={"model": "kokoro/1"}, progress=Progress())
                return JSONResponse(dump(job))
        return None

    def speak(self, route: Route) -> None:
        self.asked.append(route.request.post_data_json)
        encoder = build_encoder("wav", 16_000, {})
        data = encoder.begin() + encoder.encode(np.zeros(16_000, np.int16))
        headers = {"x-genloom-output-id": "2026-11-30-000001", "content-type": "audio/wav"}
        route.fulfill(status=200, body=data, headers=headers)

    def write_down(self, route: Route) -> None:
        self.asked.append(route.request.post_data_buffer)
        route.fulfill(status=200, body="1\n00:00:00,000 --> 00:00:01,000\nGood morning.\n", content_type="text/plain")

    def open(self, visit: Callable[..., Any], **options: Any) -> Page:
        studio = visit(self.world, **options)
        studio.page.route("**/v1/audio/speech", self.speak)
        studio.page.route("**/v1/audio/transcriptions", self.write_down)
        return studio.open("speech")


def test_a_text_is_spoken_and_a_recording_written_down(visit: Callable[..., Any]) -> None:
    speaking = Speaking()
    page = speaking.open(visit)
    page.get_by_label("Text").fill("Good morning.")
    page.get_by_label("Voice").select_option("af_heart")
    page.get_by_label("Speed").select_option("1.25")
    page.get_by_role("button", name="Speak").click()
    made = page.get_by_label("Speech", exact=True)
    expect(made).to_contain_text("Good morning.")
    expect(made.get_by_role("link", name="Save")).to_have_attribute("download", "af_heart.flac")
    expected = {"model": "kokoro", "voice": "af_heart", "input": "Good morning.", "speed": 1.25}
    assert speaking.asked[0] == {**expected, "response_format": "wav", "stream_format": "audio"}
    page.get_by_label("As").select_option("srt")
    page.get_by_label("Language").fill("en")
    file: FilePayload = {"name": "talk.mp3", "mimeType": "audio/mpeg", "buffer": b"sound"}
    page.locator("#speech-recording").set_input_files([file])
    expect(page.get_by_label("What is said")).to_contain_text("--> 00:00:01,000")
    assert all(each in speaking.asked[1] for each in (b"whisper", b"srt", b'filename="talk.mp3"', b"sound"))


def test_what_is_missing_says_its_cure(visit: Callable[..., Any]) -> None:
    speaking = Speaking()
    speaking.voices, speaking.has_listener = [], False
    page = speaking.open(visit)
    expect(page.get_by_role("button", name="Fetch whisper")).to_be_visible()
    page.get_by_role("button", name="Fetch kokoro").click()
    expect(page.get_by_role("dialog")).to_contain_text("128 MB")
    page.get_by_role("button", name="Fetch it").click()
    expect(page.get_by_label("Voice")).to_have_value(VOICES[0].name)
    assert speaking.asked == [{"kind": "import", "params": {"source": "kokoro"}}]


@pytest.mark.slow
def test_no_barriers_and_nothing_is_cut(visit: Callable[..., Any]) -> None:
    page = Speaking().open(visit, reduced_motion="reduce", viewport=WIDE, locale="de")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert list_violations(page) == [], theme
    page.set_viewport_size({"width": 320, "height": 640})
    page.wait_for_function("document.documentElement.scrollWidth <= 320")
    assert list_violations(page) == []
