"""What a person sees of `genloom generate` on a terminal: text as it is generated, and previews of images."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from genloom.cli import run
from genloom.store.workspace import Workspace
from genloom.train.run import TrainRequest, train_model

COMMON = {"batch_size": "8", "plan.precision": "float32"}
AUTOENCODER = {
    **COMMON,
    "codec.name": "pixels",
    "codec.size": "8",
    "network.width": "8",
    "objective.grid": "[4, 4]",
    "objective.latent": "3",
    "objective.levels": "[5, 5, 5]",
}
CODES = {
    **COMMON,
    "codec.name": "fsq_tokens",
    "codec.model": "coded",
    "network.name": "transformer",
    "network.width": "16",
    "network.depth": "1",
    "network.heads": "2",
}


def run_on_terminal(*arguments: str) -> str:
    """Run a command whose standard output is a terminal, and return what it shows."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from genloom.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()
    return shown.decode()


def test_text_appears_as_it_is_generated(
    worlds: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = worlds.trained_workspace(tmp_path_factory.getbasetemp() / "home")
    monkeypatch.setenv("GENLOOM_HOME", str(workspace.root))
    command = ["generate", "tales", "--prompt", "The old\x1b[31m", "--seed", "2", "--max-tokens", "40"]
    shown = run_on_terminal(*command)
    assert run([*command, "--json"]) == 0
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["text"].startswith("The old\x1b[31m")
    assert shown.startswith("The old\ufffd[31m"), "generated text cannot colour the terminal"
    assert "\x1b" not in shown
    assert len(shown) > 30


@pytest.mark.slow
def test_an_autoregressive_model_of_image_codes_shows_an_image(
    worlds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a model generates from left to right, but its drafts are images and not text."""
    workspace = Workspace(tmp_path)
    worlds.create_image_dataset(workspace)
    for name, objective, settings in (("coded", "vae_gan", AUTOENCODER), ("codes", "autoregressive", CODES)):
        overrides = {"objective.name": objective, **settings}
        list(train_model(workspace, TrainRequest("tiles", name=name, steps=2, overrides=overrides)))
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    shown = run_on_terminal("generate", "codes", "--seed", "1")
    (output,) = workspace.list_outputs()
    assert f"── 1 of 1 · {output}" in shown
    assert "▀" in shown, "the preview"
