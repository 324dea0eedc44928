"""`genloom generate` with a model of images."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genloom.cli import run
from genloom.generate.presets import check_presets, get_presets
from genloom.model import load_model
from genloom.store.workspace import Workspace
from tests.errors import raises_code

SIDE = 16


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp("images"))
    worlds.create_blots(workspace, SIDE)
    return workspace.root


@pytest.fixture(autouse=True)
def _there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(home))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_pixels(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    white = np.zeros((20, 30), np.uint8)
    white[5:12, 8:20] = 255
    return save_pixels(tmp_path / "mask.png", white)


def save_pixels(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def read_pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def generate_blots(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["generate", "blots", *arguments, "--steps", "2", "--seed", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def replay_output(capsys: pytest.CaptureFixture[str], output: str) -> dict[str, Any]:
    assert run(["generate", "--replay", output, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_words_of_a_prompt_that_are_not_read_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    long = " ".join(f"word{n}" for n in range(30))
    for prompt, expected in ((long, 6), ("a " + long.replace("word3", "(word3:1.2)"), 7), ("a short one!", None)):
        (output,) = generate_blots(capsys, "--prompt", prompt)["outputs"]
        assert output.get("unread_words") == expected


def test_images_and_a_contact_sheet_are_stored_in_the_folder_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    facts = generate_blots(capsys, "--prompt", "a red fox", "--count", "5", "--sheet", "--out", str(out))
    assert [read_pixels(o["file"]).shape for o in facts["outputs"]] == [(SIDE, SIDE, 3)] * 5
    assert {Path(o["file"]).parent for o in facts["outputs"]} == {out}
    assert not any("text" in o for o in facts["outputs"])
    sheet = read_pixels(facts["sheet"])
    assert sheet.shape[1] > 3 * SIDE
    assert np.array_equal(sheet[4 : 4 + SIDE, 4 : 4 + SIDE], read_pixels(facts["outputs"][0]["file"]))
    assert replay_output(capsys, facts["outputs"][2]["id"])["identical"] is True


def test_a_line_names_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "blots", "--prompt", "fox", "--count", "2", "--steps", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["── 1 of 2", "── 2 of 2"]
    assert all(line.endswith(".png") for line in lines)


def test_inpainting_keeps_the_rest(photo: Path, mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output,) = generate_blots(capsys, "--image", str(photo), "--mask", str(mask), "--prompt", "a hat")["outputs"]
    missing = read_pixels(mask)[..., 0] > 127
    assert (read_pixels(output["file"])[~missing] == read_pixels(photo)[~missing]).all()
    assert (read_pixels(output["file"])[missing] != read_pixels(photo)[missing]).any()
    assert replay_output(capsys, output["id"])["identical"] is True


def test_resampling_changes_only_the_masked_area(photo: Path, mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--image", str(photo), "--mask", str(mask), "--prompt", "a hat")
    (once,), (twice,) = (generate_blots(capsys, *given, *more)["outputs"] for more in ((), ("--resample-steps", "2")))
    missing = read_pixels(mask)[..., 0] > 127
    assert (read_pixels(twice["file"])[~missing] == read_pixels(photo)[~missing]).all()
    assert (read_pixels(twice["file"]) != read_pixels(once["file"]))[missing].any()


def test_outpainting_adds_pixels_at_the_edges(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (output,) = generate_blots(capsys, "--image", str(photo), "--outpaint", "4,0,0,6")["outputs"]
    whole = read_pixels(output["file"])
    assert whole.shape == (26, 34, 3)
    assert np.array_equal(whole[:20, 4:], read_pixels(photo))
    assert whole[20:].any()


def test_strength_varies_an_image(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    little, much = (
        read_pixels(
            generate_blots(capsys, "--image", str(photo), "--strength", how, "--prompt", "fox")["outputs"][0]["file"]
        )
        for how in ("0.05", "0.9")
    )
    assert little.shape == much.shape == (round(SIDE * 20 / 30), SIDE, 3), "an oblong image keeps its shape"
    assert not np.array_equal(little, much)


def test_interpolation_between_two_prompts_or_two_images(capsys: pytest.CaptureFixture[str]) -> None:
    both = generate_blots(capsys, "--prompt", "fox", "--prompt", "two apples", "--interpolate", "--steps-between", "3")[
        "outputs"
    ]
    assert [o["nonce"] for o in both] == [both[0]["nonce"]] * 3
    one = generate_blots(capsys, "--prompt", "fox", "--interpolate")["outputs"]
    assert len(one) == 8
    assert np.array_equal(read_pixels(both[0]["file"]), read_pixels(one[0]["file"]))
    assert len({read_pixels(o["file"]).tobytes() for o in (*both, *one)}) == 10


def test_presets_add_to_the_prompt(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "presets.toml").write_text('[mine]\nprompt = "my {prompt}"\nnegative = "moon"\nguidance = 2\n')
    assert run(["generate", "--presets", "--json"]) == 0
    presets = json.loads(capsys.readouterr().out)["presets"]
    assert {"glossy", "mine"} <= presets.keys()
    (output,) = generate_blots(
        capsys, "--prompt", "fox", "--preset", "mine", "--preset", "glossy", "--guidance-scale", "4"
    )["outputs"]
    assert output["prompt"] == "my fox, glossy style"
    record = json.loads(Workspace(home).get_output(output["id"])[0].with_suffix(".json").read_text())
    assert record["request"]["params"] == {"negative_prompt": "moon", "guidance_scale": 4.0, "steps": 2}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--preset", "glosy"], "'glossy'?"),
        (["--mask", "m.png"], "[generate.edit_without_source]"),
        (["--strength", "0.4"], "[generate.edit_without_source]"),
        (["--image", "PHOTO"], "[generate.image_without_edit]"),
        (["--image", "no.png", "--strength", "0.4"], "no.png"),
        (["--image", "PHOTO", "--mask", "SMALL"], "5 × 4"),
        (["--image", "PHOTO", "--strength", "1.5"], "[cli.invalid_number]"),
        (["--image", "PHOTO", "--outpaint", "3,3"], "[generate.bad_outpaint]"),
        (["--image", "PHOTO", "--outpaint", "0,0,0,0"], "[generate.empty_outpaint]"),
        (["--image", "PHOTO", "--outpaint", "-1,0,0,0"], "[generate.bad_outpaint]"),
        (["--interpolate", "--count", "3"], "[api.interpolate_prompts]"),
        (["--interpolate", "--steps-between", "1"], "[cli.invalid_integer]"),
        (["--steps-between", "4"], "[cli.steps_between_without_interpolate]"),
        (["--temperature", "0.5"], "'temperature'"),
        (["--prompt", "(fox:red)"], "'red'"),
        (["--out", "fox.mid"], "[media.bad_save_suffix]"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str], expected: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = save_pixels(photo.with_name("small.png"), np.full((4, 5), 255, np.uint8))
    given = [{"PHOTO": str(photo), "SMALL": str(small)}.get(argument, argument) for argument in arguments]
    assert run(["generate", "blots", *given]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len(error.splitlines()) == 1, "nothing was generated before"


def test_a_preset_of_another_medium_or_sampler_is_refused_by_its_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "presets.toml").write_text('[night]\nmedium = "text"\n[calm]\ntemperature = 0.5\n')
    model = load_model(Workspace(home), "blots")
    check_presets(get_presets(("flat", "fine"), tmp_path), model)
    with raises_code("generate.preset_of_other_medium", name="night", medium="text"):
        check_presets(get_presets(("fine", "night"), tmp_path), model)
    with raises_code("generate.preset_of_other_sampler", name="calm", param="temperature"):
        check_presets(get_presets(("calm",), tmp_path), model)


def test_an_invalid_preset_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    for content, expected in {
        "x": "TOML",
        "[a]\nprompt = 'no place'": "'no place'",
        "[a]\nnegative_promt = 'x'": "'negative_prompt'",
        "a = 3": "[a]",
    }.items():
        (tmp_path / "presets.toml").write_text(content)
        assert run(["generate", "--presets"]) == 2
        assert expected in capsys.readouterr().err


def test_every_sampling_option_can_be_listed_and_set(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "blots", "--options", "--json"]) == 0
    options = json.loads(capsys.readouterr().out)["options"]
    assert {"steps", "solver", "shift", "guidance_end", "negative_prompt"} <= options.keys()
    assert not {"inputs", "known_values", "mask"} & options.keys()
    assert options["steps"]["type"] == "int"
    assert options["steps"]["requirement"] == "from 1 to 10000"
    arguments = ["-o", "shift=2.5", "-o", "solver=heun", "--option", "negative_prompt=2 moons", "-o", "steps=9"]
    (output,) = generate_blots(capsys, "--prompt", "fox", *arguments)["outputs"]
    record = json.loads(Workspace(home).get_output(output["id"])[0].with_suffix(".json").read_text())
    params = {"shift": 2.5, "solver": "heun", "negative_prompt": "2 moons", "steps": 2}
    assert record["request"]["params"] == params, "a flag takes precedence"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o", "shift"], "[generate.bad_param_syntax]"),
        (["-o", "top_k=3"], "[generate.unknown_param]"),
        (["-o", "seed=3"], "[generate.unknown_param]"),
        (["-o", "shift=0"], "[core.bad_setting_value]"),
        (["-o", "steps=many"], "[core.bad_setting_value]"),
        (["-o", "steps=1_0"], "[core.bad_setting_value]"),
        (["-o", "shift=2", "-o", "shift=3"], "[generate.param_twice]"),
        (["--source", "tale.txt", "--fill", "0.5:1"], "[cli.edit_of_other_medium]"),
    ],
)
def test_a_wrong_option_is_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "blots", *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len(error.splitlines()) == 1


def test_a_preset_has_any_parameter_and_an_unknown_one_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "presets.toml").write_text("[late]\nguidance_end = 0.5\n[late.params]\nguidance_start = 0.25\n")
    (output,) = generate_blots(capsys, "--prompt", "fox", "--preset", "late")["outputs"]
    record = json.loads(Workspace(home).get_output(output["id"])[0].with_suffix(".json").read_text())
    assert record["request"]["params"] == {"guidance_end": 0.5, "guidance_start": 0.25, "steps": 2}
    (home / "presets.toml").unlink()
