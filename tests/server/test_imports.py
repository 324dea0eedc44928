"""The process of the server computes nothing, so it has none of the libraries that do."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from genloom.api.workspace import Workspace
from genloom.server.app import build_app
from genloom.server.config import Config
from genloom.server.run import build_http_server
build_app(Workspace(sys.argv[1]), Config())
print(json.dumps(sorted(sys.modules)))
"""


def test_the_server_starts_without_the_libraries_that_compute(tmp_path: object) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    modules = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert "fastapi" in modules
    assert not {"torch", "scipy", "onnxruntime", "ctranslate2", "transformers", "pyarrow", "PIL"} & set(modules)
