"""What all tests share: one thread each, so that many run side by side, and the worlds they learn from."""

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """tests/toys.py, loaded when asked for: tests that need no torch do not wait for it."""
    return _loaded("toys")


@pytest.fixture(scope="session")
def worlds() -> ModuleType:
    """tests/worlds.py: small workspaces with data, runs and models."""
    return _loaded("worlds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `plain_toy`, `causal_network` or the like runs once for each name in that family of toys."""
    for family in metafunc.fixturenames:
        if family.endswith(("_toy", "_network")):
            metafunc.parametrize(family, _loaded("toys").FAMILIES[family])


@cache
def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"genloom_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
