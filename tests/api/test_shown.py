"""What a notebook shows: outputs by their medium, lists as tables; and bars only where a person watches."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import genloom as gl
from genloom import plugins
from genloom.api.notebook import render_table, to_html
from genloom.api.outputs import Outputs
from genloom.api.progress import is_interactive, run_events
from genloom.cli.app import VERBS
from genloom.train.events import Status
from genloom.types import Display


@pytest.fixture(scope="module")
def foxes(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    ws = gl.Workspace(tmp_path_factory.mktemp("foxes"), rater="mia")
    return ws.model("icons").generate(["a red fox", "a <b>"], seed=1, steps=2)


def test_an_image_is_shown_as_an_image(foxes: Outputs) -> None:
    bundle = foxes[0]._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(foxes[0])
    sheet = foxes._repr_mimebundle_()
    assert sheet["text/plain"].split() == f"{foxes[0]!r} {foxes[1]!r}".split()
    assert len(sheet["image/png"]) > len(bundle["image/png"])
    assert isinstance(foxes[:1], Outputs)
    assert Outputs()._repr_mimebundle_() == {"text/plain": "no outputs"}


def test_lists_are_tables_in_which_nothing_is_markup(foxes: Outputs) -> None:
    ws = foxes[0].workspace
    assert ws.outputs.to_records()[0]["prompt"] == "a red fox"
    assert "a &lt;b&gt;" in render_table(ws.outputs.to_records())
    assert "icons/" in ws.built_in_models._repr_html_()
    assert ws.runs._repr_html_() == "<p>none</p>"


@pytest.mark.parametrize(
    ("mime", "tag"),
    [("text/plain", "<pre"), ("image/png", "<img"), ("audio/wav", "<audio"), ("video/mp4", "<video"), ("x/y", "<a ")],
)
def test_a_value_is_shown_by_its_type(mime: str, tag: str) -> None:
    html = to_html(Display(mime, b"<script>", "<script>"))
    assert tag in html
    assert "<script>" not in html


def test_a_pair_is_shown_side_by_side(foxes: Outputs) -> None:
    arena = foxes[0].workspace.model("icons").arena("a cup", repeats=0, steps=1)
    with_pair = next(iter(arena))
    assert with_pair._repr_mimebundle_()["text/html"].count("<img") == 2
    assert arena.first.ref not in with_pair._repr_mimebundle_()["text/html"], "the choice is blind"


def test_scripts_are_quiet_unless_they_ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_events(iter([Status("Reading"), Status("Done")]), "Work", is_shown=False) == Status("Done")
    assert capsys.readouterr() == ("", "")
    run_events(iter([Status("Reading")]), "Work", is_shown=True)
    assert capsys.readouterr() == ("", "Reading\n")
    assert not is_interactive()
    assert gl.Workspace(progress=True).is_shown(None)
    assert not gl.Workspace(progress=True).is_shown(False)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert gl.Workspace().is_shown(None)


def test_a_workspace_is_opened_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; import genloom as gl; ws = gl.Workspace(sys.argv[1]); ws.models, ws.outputs, ws.datasets; "
        "sys.exit(' '.join({'torch', 'pyarrow', 'matplotlib', 'sqlalchemy'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_package_names_what_it_exports() -> None:
    assert {"Workspace", "Model", "Output", "Receipt", "GenloomError", "parts"} <= set(dir(gl))
    assert all(getattr(gl, name) is not None for name in dir(gl))
    with pytest.raises(AttributeError, match="colour"):
        gl.colour  # noqa: B018


# The method of the API for each verb of the command line.
METHODS = {
    "collect": gl.Workspace.collect,
    "train": gl.Workspace.train,
    "generate": gl.Model.generate,
    "chat": gl.Model.chat,
    "import": gl.Workspace.import_model,
    "export": gl.Model.export,
    "evaluate": gl.Model.evaluate,
    "compare": gl.Model.compare,
    "rate": gl.Workspace.rate,
    "arena": gl.Model.arena,
    "ratings": gl.Workspace.ratings,
    "learn": gl.Model.learn,
    "forget": gl.Model.forget,
    "promote": gl.Workspace.promote,
    "rollback": gl.Workspace.rollback,
    "remove": gl.Workspace.remove,
    "list": gl.Workspace.models,
    "doctor": gl.Workspace.doctor,
    "parts": gl.parts,
    "verify": gl.Workspace.verify,
    "trace": gl.Workspace.trace,
    "card": gl.Workspace.card,
    "copies": gl.Workspace.copies,
    "ask": gl.Workspace.ask,
    "embed": gl.Workspace.embed,
    "translate": gl.Workspace.translate,
    "summarize": gl.Workspace.summarize,
    "speak": gl.Workspace.speak,
    "transcribe": gl.Workspace.transcribe,
    "upscale": gl.Workspace.upscale,
    "write": gl.Workspace.write,
    "prompts": gl.Workspace.prompts,
    "classify": gl.Workspace.classify,
    "design": gl.Workspace.design,
    "plan": gl.Workspace.plan,
    "code": gl.Model.write_code,
    "privacy": gl.Model.privacy,
    "bias": gl.Model.bias,
    "keys": gl.Workspace.keys,
    "policy": gl.Workspace.check_content,
}


def test_every_verb_of_the_command_line_has_a_documented_method() -> None:
    assert VERBS.keys() - {"studio", "serve", "access"} <= METHODS.keys()  # servers are no method of a notebook
    for verb, method in METHODS.items():
        text = (method.fget if isinstance(method, property) else method).__doc__
        assert text, verb
        assert isinstance(method, property) or "Raises\n" in text or verb in ("doctor", "ratings"), verb


def test_every_kind_of_part_is_listed() -> None:
    assert list(gl.parts()) == list(get_args(plugins.PartKind))
