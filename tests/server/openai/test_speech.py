"""POST /v1/audio: texts that are spoken, and recordings that are written down, as clients of OpenAI ask for them."""

import io
from collections.abc import Iterator

import httpx2
import pytest

from genloom.api.speech import replay_speech
from tests.server.openai.conftest import RunningServer
from tests.speech.tiny_listener import add_listening_model
from tests.speech.tiny_voice import add_voice_model

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("onnxruntime")
pytest.importorskip("faster_whisper")
SPEECH, TRANSCRIPTIONS = "/v1/audio/speech", "/v1/audio/transcriptions"
BODY = {"model": "kokoro", "input": "Good morning.", "voice": "onyx"}


@pytest.fixture(scope="module")
def speaking(api: RunningServer) -> Iterator[RunningServer]:
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
        form = {"model": (None, "whisper"), "response_format": (None, name), "file": ("talk.mp3", recording)}
        return client.post(path, files=form)

    assert "Good morning." in ask("json").json()["text"]
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
