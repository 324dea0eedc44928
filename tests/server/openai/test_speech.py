"""POST /v1/audio: texts that are spoken, and recordings that are written down, as clients of OpenAI ask for them."""

import asyncio
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from genloom.api.speech import replay_speech
from genloom.errors import GenloomError
from genloom.server.remote_error import RemoteError
from genloom.server.worker.questions import QUESTIONS
from tests.errors import raises_code
from tests.server.openai.conftest import RunningServer
from tests.speech.tiny_listener import add_listening_model
from tests.speech.tiny_voice import add_voice_model

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("onnxruntime")
pytest.importorskip("faster_whisper")
SPEECH, TRANSCRIPTIONS = "/v1/audio/speech", "/v1/audio/transcriptions"
BODY = {"model": "kokoro", "input": "Good morning.", "voice": "onyx"}


class WorkerHere:
    """Stands for the process of a worker: it answers in this one, where the tiny models are."""

    def __init__(self, api: RunningServer) -> None:
        self.workspace, self.lock, self.asked = api.workspace, threading.Lock(), list[str]()
        self.gate: threading.Semaphore | None = None  # that passages wait for

    async def ask(self, question: str, *, seconds: float = 60.0, **values: Any) -> Any:
        return await asyncio.to_thread(self.answer, question, values)

    def answer(self, question: str, values: dict[str, Any]) -> Any:
        self.asked.append(question)
        if question == "speak_passage" and self.gate is not None:
            self.gate.acquire()
        try:
            with self.lock:
                return json.loads(json.dumps(QUESTIONS[question](self.workspace, **values)))
        except GenloomError as error:
            raise RemoteError(error.code, str(error)) from None


@pytest.fixture(scope="module")
def worker(api: RunningServer) -> Iterator[WorkerHere]:
    worker, jobs = WorkerHere(api), api.app.app.state.jobs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.speaker, "ask", worker.ask)
        patch.setattr(jobs.listener, "ask", worker.ask)
        yield worker


@pytest.fixture(scope="module")
def speaking(api: RunningServer, worker: WorkerHere) -> Iterator[RunningServer]:
    add_voice_model(api.workspace.store)
    with pytest.MonkeyPatch.context() as patch:
        add_listening_model(api.workspace.store, patch)
        yield api
    api.workspace.remove("models", "kokoro", force=True)
    api.workspace.remove("models", "whisper", force=True)


@pytest.mark.parametrize("name", ["mp3", "wav", "flac", "opus"])
def test_a_text_is_spoken_in_each_format(speaking: RunningServer, client: httpx2.Client, name: str) -> None:
    response = client.post(SPEECH, json={**BODY, "response_format": name})
    assert response.status_code == 200
    assert soundfile.info(io.BytesIO(response.content)).samplerate == 24_000
    output = speaking.workspace.output(response.headers["x-genloom-output-id"])
    assert output.record["speech"]["voice"] == "am_onyx"
    assert replay_speech(output) == output.path


def test_samples_without_a_header_and_the_speed_are_given(speaking: RunningServer, client: httpx2.Client) -> None:
    pcm = client.post(SPEECH, json={**BODY, "response_format": "pcm", "speed": 1.5})
    wav = client.post(SPEECH, json={**BODY, "response_format": "wav", "speed": 1.5})
    assert soundfile.read(io.BytesIO(wav.content), dtype="int16")[0].tobytes() == pcm.content


def test_speech_that_copies_the_recordings_of_its_voice_is_withheld(
    speaking: RunningServer, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {**BODY, "stream_format": "audio", "refuse_copies": True}
    answer = client.post(SPEECH, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "api.copies_without_data")
    monkeypatch.setattr("genloom.api.copies.find_searchable_data", lambda workspace, ref: True)
    for rows, status in (({0}, 400), (set(), 200)):
        monkeypatch.setattr("genloom.api.copies.find_copied_rows", lambda data, values, rows=rows: rows)
        count, answer = len(speaking.workspace.outputs), client.post(SPEECH, json=body)
        assert answer.status_code == status
        assert status == 200 or answer.json()["error"]["code"] == "content_filter"
        assert len(speaking.workspace.outputs) - count == (status == 200)
    assert soundfile.info(io.BytesIO(answer.content)).frames > 0


@pytest.mark.parametrize("name", ["pcm", "wav", "mp3"])
def test_speech_is_streamed_as_it_is_made(speaking: RunningServer, client: httpx2.Client, name: str) -> None:
    text = "Good morning. It is half past seven.\n\nYes, it is five past seven."
    body = {**BODY, "input": text, "response_format": name, "stream_format": "audio"}
    with client.stream("POST", SPEECH, json=body) as response:
        assert response.status_code == 200
        assert "content-length" not in response.headers
        data = response.read()
    output = speaking.workspace.output(response.headers["x-genloom-output-id"])
    assert output.record["speech"]["voice"] == "am_onyx"
    levels = soundfile.read(output.path, dtype="int16")[0]
    if name == "pcm":
        assert data == levels.tobytes()
        return
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert "Synthetic speech" in file.copy_metadata()["comment"]
        assert len(file.read()) >= len(levels)
    assert name == "mp3" or data.endswith(levels.tobytes())


def test_a_client_that_leaves_ends_its_speech(speaking: RunningServer, worker: WorkerHere) -> None:
    count, body = (
        len(speaking.workspace.outputs),
        {**BODY, "input": "Good morning.\n\n" * 400, "stream_format": "audio"},
    )
    worker.asked.clear()
    worker.gate = gate = threading.Semaphore(1)
    try:
        with speaking.open() as client, client.stream("POST", SPEECH, json=body) as response:
            next(response.iter_bytes())
        while "stop_speech" not in worker.asked and worker.asked.count("speak_passage") < 400:
            gate.release()  # one passage after the other, until the server sees that nobody listens
            time.sleep(0.05)
    finally:
        worker.gate = None
        gate.release()
    assert worker.asked.count("speak_passage") < 400
    deadline = time.monotonic() + 300
    while speaking.workspace.store.list_leftovers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not speaking.workspace.store.list_leftovers()
    assert len(speaking.workspace.outputs) == count


def test_a_stream_that_cannot_begin_is_refused_and_leaves_nothing(
    speaking: RunningServer, client: httpx2.Client
) -> None:
    count = len(speaking.workspace.outputs)
    response = client.post(SPEECH, json={**BODY, "input": "…", "stream_format": "audio"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "speech.nothing_to_speak")
    assert len(speaking.workspace.outputs) == count
    assert not speaking.workspace.store.list_leftovers()


def test_what_cannot_be_spoken_names_the_field(speaking: RunningServer, client: httpx2.Client) -> None:
    for body, code in (
        ({**BODY, "voice": "nobody"}, "speech.unknown_voice"),
        ({**BODY, "input": "…"}, "speech.nothing_to_speak"),
        ({**BODY, "input": " "}, "server.text_missing"),
    ):
        response = client.post(SPEECH, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    assert client.post(SPEECH, json={**BODY, "model": "whisper"}).status_code == 404
    chat = client.post(
        "/v1/chat/completions", json={"model": "kokoro", "messages": [{"role": "user", "content": "Hi"}]}
    )
    assert SPEECH in chat.json()["error"]["message"]


def test_outputs_belong_to_who_asked(speaking: RunningServer) -> None:
    with speaking.open(speaking.other_key) as other:
        output_id = other.post(SPEECH, json=BODY).headers["x-genloom-output-id"]
    assert speaking.workspace.output(output_id).record["owner"] == "ada"


def test_a_recording_is_written_down(speaking: RunningServer, client: httpx2.Client) -> None:
    recording = client.post(SPEECH, json={**BODY, "input": "Good morning. " * 10}).content

    def ask(name: str, path: str = TRANSCRIPTIONS) -> httpx2.Response:
        form = {"model": (None, "whisper"), "response_format": (None, name), "file": ("../my talk.mp3", recording)}
        return client.post(path, files=form)

    answer = ask("json")
    assert "Good morning." in answer.json()["text"]
    facts = speaking.workspace.output(answer.headers["x-genloom-output-id"]).record["transcript"]
    assert (facts["recording"], facts["is_uploaded"]) == ("my talk.mp3", True)
    assert facts["sha256"] == hashlib.sha256(recording).hexdigest()
    with raises_code("speech.source_uploaded"):
        speaking.workspace.output(answer.headers["x-genloom-output-id"]).replay()
    verbose = ask("verbose_json").json()
    assert verbose["words"][0] == {"word": "Good", "start": 0, "end": 0.4}
    assert (verbose["task"], verbose["language"]) == ("transcribe", "en")
    assert " --> " in ask("srt").text
    assert ask("vtt").text.startswith("WEBVTT")
    assert "Translated" in ask("text", "/v1/audio/translations").text


def test_bad_recordings_are_refused(speaking: RunningServer, client: httpx2.Client) -> None:
    response = client.post(TRANSCRIPTIONS, files={"model": (None, "whisper"), "file": ("a.wav", b"RIFF no sound")})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "server.bad_recording", "file")
    assert client.post(TRANSCRIPTIONS, files={"model": (None, "whisper")}).json()["error"]["param"] == "file"
