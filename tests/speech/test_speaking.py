"""Speech by a model of the workspace: stored, replayed to the byte, marked as synthetic, refused with a cure."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import genloom as gl
from genloom.api.outputs import Output
from genloom.api.speech import SpeechProgress, build_tags, iter_levels
from genloom.api.voices import open_speaker
from genloom.errors import GenloomError
from genloom.server.studio.models import build_model
from genloom.speech.kokoro import RATE, Kokoro
from genloom.speech.sound_stream import Player, SoundWriter, round_samples
from genloom.speech.spectral_mark import SpectralMark, add_spectral_mark, choose_pool_index
from genloom.store.keys import MarkingKeys, derive_noise_key
from tests.speech.tiny_voice import SAMPLES_PER_TOKEN, add_voice_model

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("onnxruntime")
TEXT = "Good morning. It is half past seven."


@pytest.fixture
def ws(tmp_path: Path) -> gl.Workspace:
    workspace = gl.Workspace(tmp_path / "home")
    add_voice_model(workspace.store)
    return workspace


def read_levels(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def test_a_text_is_spoken_stored_replayed_and_rated(ws: gl.Workspace) -> None:
    output = ws.speak(TEXT)
    assert output.record["medium"] == "audio"
    assert output.record["speech"]["voice"] == "af_heart"
    assert output.prompt == TEXT
    assert output.replay() == output.path
    assert not output.copies().is_searched
    assert output.rate(up=True)
    assert ws.output("last").id == output.id
    levels = read_levels(output.path)
    assert len(levels) % SAMPLES_PER_TOKEN == 0
    assert output.record["speech"]["seconds"] == pytest.approx(len(levels) / RATE, abs=0.001)


def test_the_samples_are_those_of_the_library_alone_with_the_mark(ws: gl.Workspace) -> None:
    folder = ws.model("kokoro").folder.runtime_folder
    expected = Kokoro(folder).synthesize("ɡˈʊd mˈɔɹnɪŋ.", "af_bella", 1.5)
    output = ws.speak("Good morning.", voice="bella", rate=1.5)
    key = MarkingKeys(ws.folder).get(output.record["speech"]["marking_key"])
    mark = SpectralMark(derive_noise_key(key.secret, "audio"), choose_pool_index("Good morning.", "af_bella", "1.5"))
    assert np.array_equal(read_levels(output.path), round_samples(add_spectral_mark(expected, RATE, 0, mark)))
    assert np.array_equal(Kokoro(folder, threads=2).synthesize("ɡˈʊd mˈɔɹnɪŋ.", "af_bella", 1.5), expected)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
def test_every_file_says_that_it_is_synthetic(ws: gl.Workspace, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("c2pa")
    path = tmp_path / f"hello{suffix}"
    output = ws.speak(TEXT, out=path)
    with soundfile.SoundFile(path) as file:
        assert (file.samplerate, file.channels) == (RATE, 1)
        assert "Synthetic speech" in file.copy_metadata()["comment"]
        if suffix in (".wav", ".flac"):
            assert np.array_equal(file.read(dtype="int16"), read_levels(output.path))
    evidence = ws.verify(path)
    assert evidence.manifest is not None
    assert (evidence.manifest.state, evidence.manifest.facts["output"]) == ("unchanged", output.id)
    assert evidence.manifest.source_type == "trainedAlgorithmicMedia"


def test_an_output_that_is_saved_later_says_so_too(ws: gl.Workspace, tmp_path: Path) -> None:
    output = ws.speak(TEXT)
    path = output.save(tmp_path / "later.mp3", note=lambda problem: None)
    with soundfile.SoundFile(path) as file:
        assert "Synthetic speech" in file.copy_metadata()["comment"]
    assert output.save(tmp_path / "picture.png", note=lambda problem: None).read_bytes().startswith(b"\x89PNG")


def test_speech_is_heard_while_it_is_made(ws: gl.Workspace) -> None:
    events = list(ws.iter_speech("Good morning. [pause 1s] It is half past seven.\n\nYes, it is five past seven."))
    *passages, output = events
    assert isinstance(output, Output)
    steps = [event for event in passages if isinstance(event, SpeechProgress)]
    assert [len(step.levels) for step in steps if not step.levels.any()] == [RATE, round(0.4 * RATE)]
    assert steps[-1].done == 1
    assert np.array_equal(np.concatenate([step.levels for step in steps]), read_levels(output.path))


def test_speech_of_an_earlier_version_without_a_mark_is_replayed(ws: gl.Workspace, tmp_path: Path) -> None:
    record = ws.speak(TEXT).record
    path = tmp_path / "speech.flac"
    with SoundWriter(path, RATE, build_tags("kokoro/1", "af_heart")) as writer:
        for levels, _ in iter_levels(open_speaker(ws), TEXT):
            writer.write(levels)
    speech = {name: value for name, value in record["speech"].items() if name != "marking_key"}
    kept = {name: record[name] for name in ("model", "medium", "model_digest", "prompt", "machine")}
    earlier = ws.output(ws.store.save_output(path, ".flac", {**kept, "row": 0, "speech": speech}))
    assert earlier.record["sha256"] != record["sha256"]
    assert earlier.replay() == earlier.path


def test_a_long_text_is_kept_beside_its_record(ws: gl.Workspace) -> None:
    text = "Good morning, it is seven. " * 100
    output = ws.speak(text)
    assert len(output.prompt) < 2100
    assert output.replay() == output.path


def test_a_very_large_file_leaves_unsigned_and_says_so(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genloom.trust.outgoing.MAX_SIGNED_BYTES", 1000)
    notes: list[str] = []
    ws.speak(TEXT, out=tmp_path / "a.wav", note=notes.append)
    assert "larger" in notes[0]
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        assert "Synthetic speech" in file.copy_metadata()["comment"]


LONG = """
import resource, sys
import genloom as gl
ws = gl.Workspace(sys.argv[1])
ws.speak("Good morning, it is half past seven. " * 80)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
output = ws.speak("Good morning, it is half past seven. " * 80 * 100)
print(output.record["speech"]["seconds"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_book_of_a_hundred_pages(ws: gl.Workspace) -> None:
    done = subprocess.run([sys.executable, "-c", LONG, str(ws.folder)], capture_output=True, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds > 7000
    assert kilobytes < 60_000


def test_letters_of_other_scripts_are_counted(ws: gl.Workspace) -> None:
    assert ws.speak("Good morning, 世界 and café.").record["speech"]["unread_letters"] == 2


def test_a_document_is_spoken(ws: gl.Workspace, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Good morning.\n\nIt is half past seven.")
    assert ws.speak(tmp_path / "letter.txt").record["speech"]["seconds"] > 0.4


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"text": "…!"}, "speech.nothing_to_speak"),
        ({"text": " \n"}, "speech.nothing_to_speak"),
        ({"text": "世界"}, "speech.nothing_to_speak"),
        ({"text": "Hi", "voice": "af_hart"}, "speech.unknown_voice"),
        ({"text": "Hi", "rate": 3.0}, "speech.bad_rate"),
        ({"text": "Hi", "rate": float("nan")}, "speech.bad_rate"),
        ({"text": "Hi", "out": "x.txt"}, "speech.bad_save_suffix"),
        ({"text": "Hi", "model": "nobody"}, "store.unknown_name"),
        ({"text": "a" * 5_000_001}, "speech.text_too_long"),
    ],
)
def test_what_cannot_be_spoken_is_refused_and_nothing_is_stored(
    ws: gl.Workspace, options: dict[str, object], code: str
) -> None:
    with pytest.raises(GenloomError) as caught:
        ws.speak(**options)  # ty: ignore[invalid-argument-type]
    assert caught.value.code == code
    assert not ws.outputs
    assert not ws.store.list_leftovers()


def test_an_unknown_voice_suggests_the_nearest(ws: gl.Workspace) -> None:
    with pytest.raises(GenloomError, match="af_heart"):
        ws.speak("Hi", voice="hart")
    assert ws.list_voices()["bm_george"] == "British, male"


def test_a_model_with_a_runtime_is_like_the_others_and_is_refused_where_networks_are_needed(ws: gl.Workspace) -> None:
    model = ws.model("kokoro")
    assert model.card["source"]["licence"] == "apache-2.0"
    assert "28 English voices" in str(ws.card("kokoro"))
    assert "mark in their noise" not in str(ws.card("kokoro"))
    assert "mark in its spectrum" in str(ws.card("kokoro"))
    assert build_model(model, None, True)["can"] == ["speak", "delete"]
    assert not ws.doctor(deep=True).problems
    for call in (lambda: model.generate("Hi"), lambda: model.load(), lambda: model.export("x")):
        with pytest.raises(GenloomError) as caught:
            call()
        assert caught.value.code == "model.has_runtime"
    (model.folder.runtime_folder / "vocab.json").write_text("{}")
    assert ws.doctor(verify=True).problems
    ws.remove("models", "kokoro")
    with pytest.raises(GenloomError) as caught:
        ws.speak("Hi")
    assert caught.value.code == "speech.no_model"


def test_a_changed_model_or_file_is_not_replayed(ws: gl.Workspace) -> None:
    output = ws.speak(TEXT)
    output.path.write_bytes(output.path.read_bytes()[:-1])
    with pytest.raises(GenloomError) as caught:
        output.replay()
    assert caught.value.code == "store.output_changed"


def test_speech_is_played_by_a_program_of_the_machine(
    ws: gl.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(GenloomError) as caught:
        Player(RATE)
    assert caught.value.code == "speech.no_player"
    program = programs / "aplay"
    program.write_text(f'#!/bin/sh\nexec /bin/cat > "{tmp_path / "played"}"\n')
    program.chmod(0o755)
    player, levels = Player(RATE), np.arange(-500, 500, dtype=np.int16)
    player.play(levels)
    player.play(levels[::-1])
    player.finish()
    assert (tmp_path / "played").read_bytes() == np.concatenate([levels, levels[::-1]]).astype("<i2").tobytes()


def test_the_command_speaks_and_lists_voices(ws: gl.Workspace, tmp_path: Path) -> None:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "genloom", "speak", *arguments, "--workspace", str(ws.folder)]
        return subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)

    done = run("--file", "-", "--out", str(tmp_path / "a.wav"), "--rate", "1.2", stdin=TEXT)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "a.wav").samplerate == RATE
    assert "am_onyx" in run("--list-voices").stdout
    assert run().returncode == 2
    assert run("Hi", "--file", "x").returncode == 2
