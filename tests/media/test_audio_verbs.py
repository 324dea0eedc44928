"""A user goes through every verb with sounds: collect, train, generate, edit, evaluate, rate, learn, copies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.cli import run
from genloom.media import audio
from genloom.media.audio.measures import measure_sound
from genloom.media.audio.sound import Sound
from genloom.store.workspace import Workspace
from genloom.types import Item
from tests.errors import raises_code
from tests.sounds import make_noise, make_tone, make_tune

RATE, HOP, FRAMES = 8_000, 64, 64  # half a second
CODEC = (f"codec.rate={RATE}", f"codec.hop={HOP}", f"codec.frames={FRAMES}")
SMALL = ("network.width=16", "network.depth=2", "plan.precision=float32")
AUTOENCODER = ("objective.name=variational", "objective.latent=4", *SMALL)
FLOW = ("text_encoder.name=words", "network.head_width=8", *SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with sounds, a flow over their waves, an autoencoder, and a flow over its latent; hardly trained."""
    folder = tmp_path_factory.mktemp("audio")
    for number in range(28):
        caption = "a high tone" if number % 2 else "a deep tone"
        sound = make_tone(1500 + 20 * number if number % 2 else 100 + number, 0.2 + 0.01 * number, RATE)
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / f"{number}.txt").write_text(caption)
        audio.save(Item(sound), folder / "files" / f"{number}.wav")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLOOM_HOME", str(folder / "workspace"))
        for arguments in (
            ["collect", str(folder / "files"), "--name", "tones", "--val", "0.25", "--test", "0", "--workers", "1",
             "--persons", "none", "--near-duplicates", "0"],
            train("tones", *CODEC, *FLOW),
            train("codec", *CODEC, *AUTOENCODER),
            train("latent", "codec.name=latent", "codec.model=codec", *FLOW),
        ):  # fmt: skip
            assert run([*arguments, "--json"]) == 0
    return folder


def train(name: str, *settings: str) -> list[str]:
    words = [word for setting in settings for word in ("--set", setting)]
    return ["train", "tones", "--name", name, "--steps", "3", *words]


@pytest.fixture
def genloom(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GENLOOM_HOME", str(folder / "workspace"))

    def call(*arguments: str, code: int = 0) -> Any:
        assert run([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    capsys.readouterr()
    return call


def load(folder: Path, output: str) -> Sound:
    return audio.open(Workspace(folder / "workspace").get_output(output)[0]).value


@pytest.mark.parametrize("model", ["tones", "latent"])
def test_sounds_are_generated_saved_and_replayed(genloom: Any, folder: Path, tmp_path: Path, model: str) -> None:
    options = ("--prompt", "a high tone", "--seed", "3", "--steps", "3")
    made = genloom("generate", model, *options, "--count", "2", "--out", str(tmp_path / "sounds"))["outputs"]
    assert len(made) == 2
    assert len({load(folder, each["id"]) for each in made}) == 2
    assert all(load(folder, each["id"]).seconds <= FRAMES * HOP / RATE for each in made)
    for suffix in (".wav", ".mp3", ".png"):
        genloom("generate", model, *options, "--out", str(tmp_path / f"one{suffix}"))
    assert audio.open(tmp_path / "one.wav").value == load(folder, made[0]["id"])
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert genloom("generate", "--replay", made[1]["id"])["identical"]
    assert genloom("generate", model, "--out", "one.xyz", code=2)["error"]["code"] == "audio.bad_save_suffix"


@pytest.mark.parametrize("model", ["tones", "latent"])
def test_gaps_are_filled_sounds_continued_and_varied(genloom: Any, folder: Path, tmp_path: Path, model: str) -> None:
    source, path = make_noise(5, 1.5, 16_000, channels=2), tmp_path / "source.wav"
    audio.save(Item(source), path)

    def edit(*options: str) -> Sound:
        (made,) = genloom("generate", model, "--source", str(path), *options, "--steps", "2", "--seed", "1")["outputs"]
        assert genloom("generate", "--replay", made["id"])["identical"]
        return load(folder, made["id"])

    filled = edit("--fill", "0.6-0.8")
    assert (filled.rate, filled.channels, filled.frames) == (16_000, 2, source.frames)
    fade = round(0.011 * 16_000)
    assert np.array_equal(filled.samples[:, : 9600 - fade], source.samples[:, : 9600 - fade])
    assert np.array_equal(filled.samples[:, 12_800 + fade :], source.samples[:, 12_800 + fade :])
    assert not np.array_equal(filled.samples[:, 9600:12_800], source.samples[:, 9600:12_800])
    longer = edit("--continue", "0.3")
    assert longer.frames == source.frames + 4800
    assert np.array_equal(longer.samples[:, : source.frames - fade], source.samples[:, : source.frames - fade])
    short = tmp_path / "short.wav"
    audio.save(Item(make_tone(300, 0.3, RATE)), short)
    (varied,) = genloom("generate", model, "--source", str(short), "--vary", "0.2", "--steps", "5")["outputs"]
    assert load(folder, varied["id"]).rate == RATE


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("audio.tasks_of_source", ()),
        ("audio.tasks_of_source", ("--vary", "0.5", "--continue", "1")),
        ("audio.bad_gap", ("--fill", "1.2-9")),
        ("audio.bad_gap", ("--fill", "later")),
        ("audio.bad_gap", ("--fill", "nan-1")),
        ("audio.gap_too_long", ("--fill", "0-1")),
        ("audio.source_too_long", ("--vary", "0.5")),
        ("cli.invalid_number", ("--continue", "-1")),
    ],
    ids=str,
)
def test_edits_that_cannot_be_are_refused(genloom: Any, tmp_path: Path, code: str, options: tuple[str, ...]) -> None:
    path = tmp_path / "source.wav"
    audio.save(Item(make_noise(1, 1.5)), path)
    error = genloom("generate", "tones", "--source", str(path), *options, code=2)["error"]
    assert error["code"] == code


def test_a_report_says_what_prompts_asked_for_and_what_was_copied(genloom: Any) -> None:
    report = genloom("evaluate", "tones", "--samples", "4")
    assert report["distance"] > 0
    assert sum(total for _, total in report["followed"].values()) == 4
    assert report["followed_held_out"]["pitch"] == [4, 4]
    assert len(report["copied"]["samples"] if "samples" in report["copied"] else report["samples"]) == 4


@pytest.mark.slow
def test_ratings_by_a_check_are_learned_from(genloom: Any, folder: Path) -> None:
    made = []
    for number in range(12):
        options = ("--prompt", f"{number} tones", "--count", "6", "--steps", "1", "--seed", "5")
        made += genloom("generate", "tones", *options)["outputs"]
    middle = np.median([measure_sound(load(folder, each["id"])).brightness for each in made])
    check = f"acoustics:brightness>{middle:.1f}"  # which about half of them pass
    assert genloom("rate", "tones", "--check", check)["choices"] > 44
    learned = genloom("learn", "tones", "--steps", "2", "--check", check, "--max-eval-prompts", "3")
    assert learned["challenger"] == "tones/2"
    assert "copied stretch" in Path(learned["page"]).with_suffix(".json").read_text()


def test_copies_are_found_by_their_peaks(folder: Path, tmp_path: Path) -> None:
    for seed in range(12):
        audio.save(Item(make_tune(seed)), tmp_path / "files" / f"{seed}.wav") if seed else (tmp_path / "files").mkdir()
    workspace = gl.Workspace(tmp_path / "workspace")
    workspace.collect(tmp_path / "files", name="tunes", val=0.3, test=0, persons="none")
    from genloom.trust.copies import TrainingData, measure_copies

    dataset = workspace.store.get_dataset("tunes")
    item = next(dataset.iter_documents("train"))
    part = audio.decode(audio.encode(item.value)).cut(8_000, 28_000)
    quiet = Sound(part.samples[:, : 8_000 + 12_000] / 2, part.rate)
    data = TrainingData(audio, (dataset,), tmp_path / "index")
    copied, own, same = measure_copies([quiet, make_tune(77), item.value], data)
    assert copied.matches[0].source == item.source
    assert copied.is_beyond_chance
    assert (copied.matches[0].length or 0) > 300
    assert not own.is_beyond_chance
    assert same.matches[0].is_identical


def test_measures_that_there_are_not_are_refused() -> None:
    from genloom.rate.checks import acoustics

    for code, text in (
        ("audio.unknown_measure", "pich<200"),
        ("audio.bad_bounds", "loud"),
        ("audio.bad_bounds", "pitch=200..100"),
        ("audio.bad_bounds", " "),
    ):
        with raises_code(code):
            acoustics.Config(text)
    check = acoustics.parse("pitch=100..300 length<1")
    passed, failed, silent = (
        acoustics.check(sound, check) for sound in (make_tone(200), make_tone(900), make_noise(0))
    )
    assert (passed.score, passed.has_passed) == (1, True)
    assert 0 <= failed.score < 1
    assert not failed.has_passed
    assert silent.score == 0
    assert "pitch 200 Hz" in passed.reason
