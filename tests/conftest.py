"""What all tests share: one thread each, so that many run side by side, and the toy worlds of the learning core."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """tests/toys.py, loaded when asked for: tests that need no torch do not wait for it."""
    spec = importlib.util.spec_from_file_location("genloom_toys", Path(__file__).with_name("toys.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
