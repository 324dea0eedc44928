"""Texts are written for the command line and name options as their reader gives them: there, in Python or over HTTP."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import genloom as gl
from genloom import option_names
from genloom.cli import run as run_cli
from genloom.errors import GenloomError, format_message, list_areas, load_messages
from genloom.limited_process import LimitedProcess
from genloom.option_names import Caller, name_options, set_caller
from genloom.server.errors import APIError, build_error_body
from tests.errors import raises_code

ROOT = Path(__file__).parents[1]
OPTION_CLASSES = {"Config", "EditOptions", "EvaluationOptions", "Options", "SamplingParams"}


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    set_caller(request.param)
    yield request.param
    set_caller("python")


@pytest.mark.parametrize(
    ("caller", "code", "fields", "text"),
    [
        ("command", "train.negative_option", {"name": "minutes", "value": -1}, "--minutes must"),
        ("python", "train.negative_option", {"name": "minutes", "value": -1}, "minutes= must"),
        ("http", "train.negative_option", {"name": "minutes", "value": -1}, '"minutes" must'),
        ("python", "api.forget_target", {}, "(rater=NAME) or an item (item=ID)"),
        ("python", "api.method_without_model", {}, "with from_=MODEL."),
        ("http", "api.method_without_model", {}, 'with "from": MODEL.'),
        ("python", "api.bound_without_private", {"options": "--epsilon"}, "private=True, or remove epsilon="),
        ("http", "train.private_stage", {}, '"from": MODEL, "private": true'),
        ("python", "train.no_rollouts", {"batch_size": 8, "replayed": 8}, 'overrides={"batch_size": 40}'),
        ("python", "codecs.latent_not_discrete", {"model": "m"}, '"objective.levels": [8, 8, 8, 8], "objective.grid"'),
        ("python", "train.run_finished", {"run": "r", "model": "m/1", "steps": 44}, "add steps=44"),
        ("python", "store.promote_another", {"name": "notes"}, "promote notes --to N"),
        ("http", "knowledge.not_writable", {"path": "p", "reason": "r"}, "--workspace FOLDER"),
        ("python", "server.no_lan", {}, "without --lan."),
        ("python", "tasks.label_twice", {"label": "--x"}, "'--x' is given twice. Give each once: labels=["),
    ],
    indirect=["caller"],
)  # fmt: skip
def test_a_text_names_options_as_its_reader_gives_them(
    caller: Caller, code: str, fields: dict[str, object], text: str
) -> None:
    assert text in format_message(code, **fields)


def test_the_command_line_and_its_processes_name_their_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_cli(["train", "notes", "--method", "lora", "--workspace", str(tmp_path)]) == 2
    assert "with --from MODEL." in capsys.readouterr().err
    assert option_names.get_caller() == "python", "once the command has ended"
    set_caller("command")
    try:
        with LimitedProcess() as process:
            assert process.call(option_names.get_caller) == "command"
    finally:
        set_caller("python")


def test_the_python_api_names_arguments(tmp_path: Path) -> None:
    workspace = gl.Workspace(tmp_path)
    with raises_code("api.method_without_model") as caught:
        workspace.train("notes", method="lora")
    assert str(caught.value).endswith("with from_=MODEL.")


@pytest.mark.parametrize("caller", ["http"], indirect=True)
def test_the_http_api_names_fields(caller: Caller) -> None:
    body = build_error_body(APIError("generate.bad_seed", seed=-1, param="seed"))
    assert body["error"]["message"].startswith('"seed" must be')


def test_what_a_user_wrote_stays_as_it_is() -> None:
    assert "(got '--minutes 3')" in str(GenloomError("assistant.bad_assignment", value="--minutes 3"))


def list_python_names() -> set[str]:
    """List the parameters of the Python API, and what it takes as further keywords."""
    names = set()
    for path in (ROOT / "genloom").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and path.parent.name == "api":
                names |= {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
            if isinstance(node, ast.ClassDef) and node.name in OPTION_CLASSES:
                targets = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_every_argument_that_a_text_names_exists() -> None:
    known, unknown = list_python_names(), set[str]()
    for area in set(list_areas()) - {"cli", "server", "studio"}:
        for key, template in load_messages(area).items():
            for found in option_names._OPTION.finditer(option_names._COMMAND.sub("", template)):
                is_named = found["name"].startswith("{") or found["name"] in option_names._COMMAND_OPTIONS
                if not is_named and (name := option_names._find_parameter(found["name"], area)) not in known:
                    unknown.add(f"{area}.{key}: {name}")
    assert not unknown


def test_commands_of_other_programs_stay() -> None:
    text = "run pip download --no-deps X; then genloom import X --name Y, or give --name"
    assert name_options(text) == "run pip download --no-deps X; then genloom import X --name Y, or give name="
