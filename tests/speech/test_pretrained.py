"""Kokoro and Whisper themselves, where their packages are on this machine: what is spoken is understood."""

from pathlib import Path

import numpy as np
import pytest

import genloom as gl
from genloom.exchange.packages import get_package_cache
from genloom.exchange.runtime_catalog import RUNTIME_MODELS
from genloom.exchange.runtime_importer import list_packages
from genloom.speech.kokoro import Kokoro

pytest.importorskip("onnxruntime")
pytest.importorskip("faster_whisper")
pytestmark = pytest.mark.slow


def has_packages(name: str) -> bool:
    return all((get_package_cache() / each.archive).is_file() for each in list_packages(RUNTIME_MODELS[name]))


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> gl.Workspace:
    if not (has_packages("kokoro") and has_packages("whisper-tiny")):
        pytest.skip("the packages of Kokoro and Whisper are not in the cache: genloom import kokoro")
    workspace = gl.Workspace(tmp_path_factory.mktemp("home"))
    workspace.import_model("kokoro")
    workspace.import_model("whisper-tiny")
    return workspace


@pytest.mark.parametrize("voice", ["af_heart", "bm_george"])
def test_whisper_understands_what_kokoro_says(ws: gl.Workspace, tmp_path: Path, voice: str) -> None:
    output = ws.speak("The old bridge was closed on Friday, and the train was late.", voice=voice)
    output.save(tmp_path / "a.wav", note=lambda problem: None)
    heard = ws.transcribe(tmp_path / "a.wav", model="whisper-tiny")
    words = heard.text.lower().replace(",", "").rstrip(".").split()
    assert words == "the old bridge was closed on friday and the train was late".split()  # noqa: SIM905
    assert output.replay() == output.path


def test_samples_do_not_depend_on_the_number_of_threads(ws: gl.Workspace) -> None:
    folder = ws.model("kokoro").folder.runtime_folder
    one, two = (Kokoro(folder, threads).synthesize("ɡˈʊd mˈɔɹnɪŋ.", "af_heart") for threads in (1, 2))
    assert np.array_equal(one, two)
    assert np.abs(one).max() > 0.1
    assert len(one) > 12_000
