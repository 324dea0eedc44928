"""The wheel is complete: installed elsewhere, it does the main job without this tree."""

import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STORY = """
import sys
import genloom as gl
assert not gl.__file__.startswith(sys.argv[1]), gl.__file__
ws = gl.Workspace("workspace", rater="mia")
ws.collect("notes", near_duplicates=0, workers=1)
model = ws.train("notes", steps=8, threads=1)
outputs = model.generate("The king", n=2, seed=1, max_tokens=10)
outputs[0].better_than(outputs[1])
assert outputs[0].replay() == outputs[0].value
assert ws.model("icons").generate("a red fox", steps=1)[0].value.shape == (64, 64, 3)
assert ws.doctor(verify=True).problems == ()
print(len(ws.ratings()))
"""


@pytest.mark.slow
def test_the_wheel_does_the_main_job_elsewhere(tmp_path: Path) -> None:
    def call(*command: str | Path) -> str:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GENLOOM", "PYTHON"))}
        ended = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=clean, capture_output=True, text=True, check=False, timeout=280
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("genloom-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} <= {"genloom", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert {"genloom/py.typed", "genloom/messages/api.toml"} <= set(names)
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    call(python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps", "--no-index", wheel)
    # The dependencies are those of this environment, after the wheel: torch is not downloaded again.
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    (tmp_path / "notes").mkdir()
    for n in range(30):
        lines = (f"The king {deed} the {thing}." for deed in ("saw", "forgot") for thing in ("sea", "boat", "bell"))
        (tmp_path / "notes" / f"{n}.txt").write_text(f"Tale {n}\n" + "\n".join(lines) + "\n")
    (tmp_path / "story.py").write_text(STORY)
    assert call(python, "-P", tmp_path / "story.py", ROOT).strip() == "1"
    assert "notes/1" in call(tmp_path / "venv" / "bin" / "genloom", "list", "--workspace", "workspace")
