"""A voice of one's own: recordings with their texts and a consent become a model that speaks."""

from pathlib import Path
from typing import Any, cast

import pytest

import genloom as gl
from genloom.cli import run
from genloom.conditioners import speech
from genloom.errors import GenloomError
from genloom.learn.eval_prompts import parse_eval_prompt
from genloom.server.studio.models import build_model
from genloom.types import Item, SignalSpace
from tests.errors import raises_code
from tests.speech.recordings import HOP, RATE, TEXTS, make_recording, write_voice

soundfile = pytest.importorskip("soundfile")
SETTINGS: dict[str, Any] = {"network.width": 16, "network.depth": 1, "network.head_width": 8, "batch_size": 2}
SETTINGS |= {"plan.torch_compile": False, "plan.precision": "float32"}


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> gl.Workspace:
    """A workspace with a voice after two steps."""
    folder = tmp_path_factory.mktemp("voice")
    ws = gl.Workspace(folder / "home")
    recordings = write_voice(folder / "my-voice")
    ws.collect(recordings, name="me", consent=recordings / "consent.toml", near_duplicates=0, val=0.1, test=0)
    ws.train("me", steps=2, overrides=SETTINGS)
    return ws


def test_a_data_set_with_a_voice_becomes_a_model_that_speaks(voice: gl.Workspace) -> None:
    model = voice.model("me")
    assert (model.load().design.codec, model.load().design.objective) == ("mel", "flow")
    assert model.load().design.conditions["text"]["name"] == "speech"
    assert cast(SignalSpace, model.load().codec.space).size == (model.load().design.conditions["text"]["frames"],)
    assert "Anna Example" in str(voice.trace("me"))
    assert "speak" in build_model(model, None, True)["can"]
    assert voice.list_voices() == {"me": "trained here"}


def test_it_speaks_in_its_own_voice_and_again_from_the_record(voice: gl.Workspace, tmp_path: Path) -> None:
    output = voice.speak("Good morning. It is half past seven.", voice="me", out=tmp_path / "hello.wav")
    assert output.model == "me/1"
    assert output.record["speech"]["voice"] == "me"
    assert output.replay() == output.path
    with soundfile.SoundFile(tmp_path / "hello.wav") as file:
        assert file.samplerate == RATE
        assert "Synthetic speech" in file.copy_metadata()["comment"]
        seconds = file.frames / RATE
    faster = voice.speak("Good morning. It is half past seven.", model="me", rate=2.0)
    assert faster.record["speech"]["seconds"] < seconds
    with raises_code("learn.spoken_output"):
        parse_eval_prompt(voice.store, voice.model("me").load(), output.record)
    with raises_code("speech.one_voice"):
        voice.speak("Hi", model="me", voice="af_heart")
    with raises_code("speech.nothing_to_speak"):
        voice.speak("…", voice="me")


def test_a_withdrawn_consent_is_recorded_with_what_is_spoken_and_ends_training(voice: gl.Workspace) -> None:
    voice.withdraw_consent("me", "Anna Example")
    voice.speak("Good morning.", voice="me")
    (entry,) = voice.ledger.iter_entries(["policy"])
    assert (entry.body["model"], entry.body["target"]) == ("me/1", "prompt")
    with raises_code("trust.consent_refused"):
        voice.train("me", steps=1)


def fit_voice() -> tuple[speech.SpeechConditioner, list[Item]]:
    recordings = [make_recording(text, seed)[0] for seed, text in enumerate(TEXTS)]
    items = [Item(sound, meta={"caption": text}) for sound, text in zip(recordings, TEXTS, strict=True)]
    return speech.build(speech.fit(items, speech.Config(frames=200))), items


def test_a_field_says_at_each_frame_what_is_spoken() -> None:
    conditioner, items = fit_voice()
    value = conditioner.get_value(items[0])
    assert value is not None
    assert sum(value.frames) == -(-items[0].value.frames // HOP)
    field = conditioner.encode([value, None]).field
    assert field is not None
    count = len(conditioner.config.inventory)
    assert (field[0, :count].sum(0) == 1).all()
    assert (field[0, -1] == 1).all()
    assert not field[1].any()
    assert conditioner.get_value(Item(items[0].value, meta={})) is None
    assert conditioner.get_value(Item("no sound", meta={"caption": "Good."})) is None


def test_a_long_text_is_spoken_faster_rather_than_cut() -> None:
    conditioner, _ = fit_voice()
    phonemes = "ɡˈʊd mˈɔɹnɪŋ " * 15
    assert len(phonemes) > conditioner.max_phonemes
    assert sum(conditioner.predict(phonemes).frames) <= 200


@pytest.mark.parametrize("captions", [[""] * 4, ["Good morning."] * 4])
def test_recordings_without_their_texts_are_refused(captions: list[str]) -> None:
    sound = make_recording("Good morning.", 0)[0]
    long = sound if not captions[0] else make_recording(" ".join(TEXTS), 0)[0]
    items = [Item(long, meta={"caption": caption}) for caption in captions]
    with pytest.raises(GenloomError) as caught:
        speech.fit(items, speech.Config(frames=200))
    assert caught.value.code == "conditioners.no_transcripts"


def test_speech_that_copies_its_recordings_is_withheld(
    voice: gl.Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, before = "Good morning.", len(voice.outputs)
    *passages, output = voice.iter_speech(text, voice="me", refuse_copies=True)
    assert isinstance(output, gl.Output)
    assert not output.copies().is_beyond_chance
    assert all(not len(passage.levels) for passage in passages if not isinstance(passage, gl.Output))
    monkeypatch.setattr("genloom.api.copies.find_copied_rows", lambda data, values: {0})
    with raises_code("speech.copied", model="me/1"):
        voice.speak(text, voice="me", refuse_copies=True)
    assert len(voice.outputs) == before + 1
    monkeypatch.setenv("GENLOOM_HOME", str(voice.folder))
    capsys.readouterr()
    assert run(["speak", text, "--voice", "me", "--refuse-copies"]) == 2
    assert run(["speak", text, "--voice", "me", "--refuse-copies", "--play"]) == 2
    assert ["[speech.copied]" in line for line in capsys.readouterr().err.splitlines() if "[speech." in line] == [
        True,
        False,
    ]
