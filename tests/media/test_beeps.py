"""A medium from a plug-in goes through every verb as a user would: the proof that the core knows no medium.

tests/media/beeps is such a package: melodies as tuples of notes, with three codecs. Each is a variant here: bounded
token sequences under a number, a signal of one axis under nothing, and a signal of three axes under a field.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom import plugins
from genloom.cli import run
from genloom.store.workspace import Workspace
from genloom.testing import check_check, check_codec, check_medium, check_preparation
from genloom.types import Item

MELODIES = [(0, 1, 2, 3) * 4, (3, 3, 0, 0) * 4, (2,) * 16]
LIVELY = "lively:min_share=1"


def make_chords(melody: tuple[int, ...]) -> np.ndarray:
    """Return 1 for the pitches that each bar of a melody has, over all its beats, else -1."""
    is_played = (np.arange(4) == np.resize(melody, 16)[:, None]).reshape(1, 4, 4, 4)
    return np.where(is_played.any(2, keepdims=True), 1.0, -1.0).repeat(4, 2)


def write_melodies(folder: Path, count: int = 160) -> None:
    """Write files of one to four bars: high notes with a tempo of about 1, low notes with one of about -1."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        tempo = (1 if number % 2 else -1) * (1 + 0.1 * rng.random())
        melody = (rng.integers(2, size=4 * rng.integers(1, 5)) + 2 * (tempo > 0)).tolist()
        content = {"notes": melody, "tempo": tempo, "chords": make_chords(melody).tolist()}
        (folder / f"{number}.beep").write_text(json.dumps(content))


def give_tempo(folder: Path, task: int) -> str:
    return f"tempo={(-1) ** task * (1 + task / 100)}"


def give_chords(folder: Path, task: int) -> str:
    """Save chords of high or low notes: one or both of their pitches in each bar, others in each task."""
    path, number = folder / f"{task}.npy", task // 2
    bars = [BARS[0], BARS[0], BARS[number % 3], BARS[number // 3 % 3]]
    np.save(path, make_chords(tuple(np.concatenate(bars) + 2 * (task % 2 == 0))))
    return f"chords={path}"


BARS = ((0, 1, 0, 1), (0, 0, 0, 0), (1, 1, 1, 1))


@dataclass(frozen=True)
class Variant:
    """A codec with its objective and conditions, and how tasks are given to its model."""

    settings: tuple[str, ...]
    give: Callable[[Path, int], str] | None = None  # even tasks ask for high notes, odd ones for low notes
    measure: str = "held_out_loss"
    num_tasks: int = 12
    outputs_per_task: int = 4
    sampling: tuple[str, ...] = ("--steps", "8")


VARIANTS = {
    "beeps": Variant(
        ("conditions.tempo.name=columns", "network.heads=2"), give_tempo, measure="bits_per_note", sampling=()
    ),
    "wave": Variant(("objective.name=flow", "network.head_width=8"), num_tasks=1, outputs_per_task=160),
    "cube": Variant(
        ("objective.name=flow", "codec.name=cube", "conditions.chords.name=field", "network.head_width=8"), give_chords
    ),
}


@pytest.fixture(scope="module")
def melodies_workspace(beeps: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the data set `melodies`, collected without naming the medium."""
    folder = tmp_path_factory.mktemp("beeps")
    write_melodies(folder / "melodies")
    (folder / "melodies" / "damaged.beep").write_bytes(b'{"notes": [7]}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLOOM_HOME", str(folder / "workspace"))
        assert run(["collect", str(folder / "melodies"), "--val", "0.2", "--licence", "mine", "--workers", "1"]) == 0
    return folder / "workspace"


class Genloom:
    """The command line over a workspace."""

    def __init__(self, capsys: pytest.CaptureFixture[str], workspace: Workspace):
        self.capsys, self.workspace = capsys, workspace

    def __call__(self, *arguments: str) -> dict[str, Any]:
        code = run([*arguments, "--json"])
        out, err = self.capsys.readouterr()
        assert code == 0, err
        return json.loads(out)

    def refuse(self, *arguments: str) -> str:
        """Return the code of the error that a command ends with."""
        assert run([*arguments]) == 2
        return self.capsys.readouterr().err.rstrip().rpartition("[")[2].rstrip("]")

    def print(self, *arguments: str) -> str:
        assert run([*arguments]) == 0
        return self.capsys.readouterr().out

    def load(self, output: str) -> tuple[int, ...]:
        path, _ = self.workspace.get_output(output)
        return plugins.find_part("medium", "beeps").open(path).value


@pytest.fixture
def genloom(melodies_workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Genloom:
    monkeypatch.setenv("GENLOOM_HOME", str(melodies_workspace))
    return Genloom(capsys, Workspace(melodies_workspace))


def test_the_parts_of_the_plug_in_meet_their_contracts(beeps: ModuleType, tmp_path: Path) -> None:
    check_medium(beeps, MELODIES)
    for name in VARIANTS:
        module = plugins.find_part("codec", name)
        check_codec(module.Codec.fit(MELODIES, module.Config()), MELODIES)
    paths = [tmp_path / f"{number}.beep" for number in range(len(MELODIES))]
    for path, melody in zip(paths, MELODIES, strict=True):
        beeps.save(Item(melody), path)
    check_preparation("beeps", paths)
    check_check(plugins.find_part("check", "lively"), [*MELODIES, ()])


def test_the_data_set_holds_melodies_with_their_columns(genloom: Genloom) -> None:
    (listed,) = genloom("list", "data")["data"]
    assert (listed["medium"], listed["licences"]) == ("beeps", {"mine": listed["documents"]})
    items = list(genloom.workspace.get_dataset("melodies").iter_documents("train"))
    assert all(isinstance(item.value, tuple) and item.meta["tempo"] for item in items)
    assert np.array_equal(items[0].meta["chords"], make_chords(items[0].value))
    card = (genloom.workspace.get_dataset("melodies").folder / "CARD.md").read_text()
    assert "damaged.beep" in card
    assert "melodies" in genloom.print("list")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "beeps" else pytest.mark.slow) for name in VARIANTS]
)
def test_a_user_goes_through_every_verb(
    genloom: Genloom, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = VARIANTS[name]
    settings = ["network.width=32", "network.depth=2", "plan.precision=float32", *variant.settings]
    train = ["train", "melodies", "--name", name, *(word for s in settings for word in ("--set", s))]

    def generate(task: int, *arguments: str) -> list[str]:
        given = ["--given", variant.give(tmp_path, task)] if variant.give else []
        outputs = genloom("generate", name, *given, "--seed", str(task), *variant.sampling, *arguments)["outputs"]
        return [output["id"] for output in outputs]

    # train, evaluate, compare
    assert genloom(*train, "--steps", "20")["ref"] == f"{name}/1"
    assert genloom(*train, "--steps", "150")["ref"] == f"{name}/2"
    report = genloom("evaluate", f"{name}/2", "--samples", "4")
    assert 0 < report[variant.measure]["mean"] < 2
    assert len(report["samples"]) == 4
    assert genloom("compare", f"{name}/1", f"{name}/2")["verdict"] == "better"
    genloom("promote", name, "--to", "2")

    # generate, replay, edit
    outputs = [generate(task, "--count", str(variant.outputs_per_task)) for task in range(variant.num_tasks)]
    if variant.give:
        high, low = (np.concatenate([genloom.load(output) for output in outputs[task]]) for task in (0, 1))
        assert np.mean(high > 1) > 0.8
        assert np.mean(low < 2) > 0.8
    assert genloom("generate", "--replay", outputs[0][1])["identical"]
    assert genloom("list", "outputs")["outputs"]
    source = genloom.workspace.get_output(outputs[0][0])[0]
    (continued,) = generate(0, "--source", str(source), "--fill", "0.5:")
    half = len(genloom.load(outputs[0][0])) // 2
    assert genloom.load(continued)[:half] == genloom.load(outputs[0][0])[:half]
    assert genloom("generate", "--replay", continued)["identical"]
    assert genloom.refuse("generate", name, "--given", "tmpo=1") == "conditioners.unknown"
    assert genloom.refuse("generate", name, "--prompt", "hello") == "generate.no_prompt_support"
    assert genloom.refuse("generate", name, "--stop", "x") == "api.stop_without_text"

    # rate, learn
    genloom("rate", outputs[0][0], "--up")
    genloom("rate", "--pair", *outputs[0][:2], "--winner", "a")
    if variant.give:
        assert (
            genloom.refuse("rate", "--pair", outputs[0][0], outputs[1][0], "--winner", "a") == "rate.different_prompts"
        )
    if variant.give:  # the arena asks for answers to something
        monkeypatch.setattr("sys.stdin", io.StringIO("a\n"))
        asked = genloom("arena", name, "--given", variant.give(tmp_path, 0), *variant.sampling)
        assert (len(asked["choices"]), asked["first"]) == (1, 1)
    checked = genloom("rate", name, "--check", LIVELY)
    assert checked["choices"] > 40
    assert genloom.refuse("rate", name, "--check", "length") == "rate.check_of_other_medium"
    learned = genloom("learn", name, "--steps", "2", "--check", LIVELY, "--max-eval-prompts", "4")
    assert (learned["champion"], learned["challenger"]) == (f"{name}/2", f"{name}/3")
    receipt = json.loads(Path(learned["page"]).with_suffix(".json").read_text())
    own_ratings = 3 if variant.give else 2
    assert receipt["ratings"]["total"] == checked["choices"] + checked["ties"] + own_ratings  # none of other models

    # promote, rollback, forget
    genloom("promote", name, "--to", "3")
    assert genloom.workspace.get_model(name).ref == f"{name}/3"
    genloom("rollback", name)
    assert genloom.workspace.get_model(name).ref == f"{name}/2"
    genloom("forget", name, "--rater", "check-lively")

    # export, doctor
    assert genloom.refuse("export", name, str(tmp_path / "exported")).startswith("exchange.")
    assert genloom("doctor", "--verify")["problems"] == []
