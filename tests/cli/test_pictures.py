"""What a person does with a model that makes pictures."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom.cli import run
from genloom.store.workspace import Workspace

SIDE = 16


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp("painters"))
    worlds.blots(workspace, SIDE)
    return workspace.root


@pytest.fixture(autouse=True)
def _there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(home))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return drawn(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    white = np.zeros((20, 30), np.uint8)
    white[5:12, 8:20] = 255
    return drawn(tmp_path / "mask.png", white)


def drawn(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def seen(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def made(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["generate", "blots", *arguments, "--steps", "2", "--seed", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def again(capsys: pytest.CaptureFixture[str], output: str) -> dict[str, Any]:
    assert run(["generate", "--replay", output, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_pictures_and_a_sheet_of_them_lie_where_one_wants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pictures"
    facts = made(capsys, "--prompt", "a red fox", "--count", "5", "--sheet", "--out", str(out))
    assert [seen(o["file"]).shape for o in facts["outputs"]] == [(SIDE, SIDE, 3)] * 5
    assert {Path(o["file"]).parent for o in facts["outputs"]} == {out}
    assert not any("text" in o for o in facts["outputs"])
    sheet = seen(facts["sheet"])
    assert sheet.shape[1] > 3 * SIDE
    assert np.array_equal(sheet[4 : 4 + SIDE, 4 : 4 + SIDE], seen(facts["outputs"][0]["file"]))
    assert again(capsys, facts["outputs"][2]["id"])["identical"] is True


def test_lines_for_people_name_each_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "blots", "--prompt", "fox", "--count", "2", "--steps", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["── 1 of 2", "── 2 of 2"]
    assert all(line.endswith(".png") for line in lines)


def test_a_part_is_made_anew_and_the_rest_stays(photo: Path, mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output,) = made(capsys, "--image", str(photo), "--mask", str(mask), "--prompt", "a hat")["outputs"]
    missing = seen(mask)[..., 0] > 127
    assert (seen(output["file"])[~missing] == seen(photo)[~missing]).all()
    assert (seen(output["file"])[missing] != seen(photo)[missing]).any()
    assert again(capsys, output["id"])["identical"] is True


def test_steps_are_taken_back_where_one_asks_for_it(
    photo: Path, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--image", str(photo), "--mask", str(mask), "--prompt", "a hat")
    (once,), (twice,) = (made(capsys, *given, *more)["outputs"] for more in ((), ("--resample-steps", "2")))
    missing = seen(mask)[..., 0] > 127
    assert (seen(twice["file"])[~missing] == seen(photo)[~missing]).all()
    assert (seen(twice["file"]) != seen(once["file"]))[missing].any()


def test_a_picture_grows_at_its_edges(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output,) = made(capsys, "--image", str(photo), "--outpaint", "4,0,0,6")["outputs"]
    whole = seen(output["file"])
    assert whole.shape == (26, 34, 3)
    assert np.array_equal(whole[:20, 4:], seen(photo))
    assert whole[20:].any()


def test_a_picture_is_varied(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    little, much = (
        seen(made(capsys, "--image", str(photo), "--strength", how, "--prompt", "fox")["outputs"][0]["file"])
        for how in ("0.05", "0.9")
    )
    assert little.shape == much.shape == (SIDE, SIDE, 3)
    assert not np.array_equal(little, much)


def test_a_way_between_two_prompts_or_two_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    both = made(capsys, "--prompt", "fox", "--prompt", "two apples", "--interpolate", "--steps-between", "3")["outputs"]
    assert [o["nonce"] for o in both] == [both[0]["nonce"]] * 3
    one = made(capsys, "--prompt", "fox", "--interpolate")["outputs"]
    assert len(one) == 8
    assert np.array_equal(seen(both[0]["file"]), seen(one[0]["file"]))
    assert len({seen(o["file"]).tobytes() for o in (*both, *one)}) == 10


def test_presets_say_more_than_the_prompt(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "presets.toml").write_text('[mine]\nprompt = "my {prompt}"\nnegative = "moon"\nguidance = 2\n')
    assert run(["generate", "--presets", "--json"]) == 0
    presets = json.loads(capsys.readouterr().out)["presets"]
    assert {"glossy", "mine"} <= presets.keys()
    (output,) = made(capsys, "--prompt", "fox", "--preset", "mine", "--preset", "glossy", "--guidance-scale", "4")[
        "outputs"
    ]
    assert output["prompt"] == "my fox, glossy style"
    record = json.loads(Workspace(home).get_output(output["id"])[0].with_suffix(".json").read_text())
    assert record["request"]["controls"] == {"negative": "moon", "guidance": 4.0, "steps": 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "glosy"], "There is no preset 'glosy'. Did you mean 'glossy'?"),
        (["--mask", "m.png"], "--mask changes a picture, and there is none: name it with --image FILE."),
        (["--strength", "0.4"], "--strength changes a picture"),
        (["--image", "PHOTO"], "What is to be done with the source?"),
        (["--image", "no.png", "--strength", "0.4"], "no.png: it could not be read: No such file"),
        (["--image", "PHOTO", "--mask", "SMALL"], "The mask has 5 × 4 pixels, and the picture 30 × 20."),
        (["--image", "PHOTO", "--strength", "1.5"], "--strength 1.5 makes no sense: give a number above 0, at most 1"),
        (["--image", "PHOTO", "--outpaint", "3,3"], "--outpaint 3,3: say pixels for left,right,top,bottom"),
        (["--image", "PHOTO", "--outpaint", "0,0,0,0"], "adds nothing"),
        (["--image", "PHOTO", "--outpaint", "-1,0,0,0"], "--outpaint -1,0,0,0: say pixels"),
        (["--interpolate", "--count", "3"], "--interpolate goes from one prompt to another"),
        (["--interpolate", "--steps-between", "1"], "--steps-between 1 makes no sense: give a whole number from 2 on"),
        (["--steps-between", "4"], "ask for them with --interpolate"),
        (["--temperature", "0.5"], "A model with the objective 'flow' has no setting 'temperature'. It has: again,"),
        (["--prompt", "(fox:red)"], "'red' is no weight. Weigh words like this: (fox:1.3)."),
    ],
)
def test_mistakes_are_told_with_their_cure(
    arguments: list[str], said: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = drawn(photo.with_name("small.png"), np.full((4, 5), 255, np.uint8))
    given = [{"PHOTO": str(photo), "SMALL": str(small)}.get(argument, argument) for argument in arguments]
    assert run(["generate", "blots", *given]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_preset_file_that_cannot_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    for content, said in {
        "x": "It must be a TOML file",
        "[a]\nprompt = 'no place'": "must say once where yours stands",
        "[a]\nguidence = 3": "Did you mean 'guidance'?",
        "a = 3": "it must be a table, [a]",
    }.items():
        (tmp_path / "presets.toml").write_text(content)
        assert run(["generate", "--presets"]) == 2
        assert said in capsys.readouterr().err
