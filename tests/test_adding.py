"""The pages for authors of parts hold: the code of docs/adding-a-part.md installs and meets its contracts."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genloom import plugins
from genloom.model import Design, Model, build_networks, build_objective, load_model, resolve_space, save_model
from genloom.settings import option
from genloom.store.workspace import Workspace
from genloom.testing import check_check, check_codec, check_conditioner, check_network, check_objective
from genloom.types import Batch, Item, NetworkSpec, SignalSpace
from tests.errors import raises_code

PAGE = (Path(__file__).parents[1] / "docs" / "adding-a-part.md").read_text(encoding="utf-8")
BLOCKS = {
    match["path"]: match["code"] for match in re.finditer(r"```python\n# (?P<path>\S+)\n(?P<code>.*?)```", PAGE, re.S)
}
MAX_LINES = 15  # of a part, besides imports, docstrings and blank lines
SERIES = SignalSpace(2, (6,))


@pytest.fixture(scope="module", autouse=True)
def _install_extras(install_package: Callable[[Path, str], None], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("extras")
    for path, code in BLOCKS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(code)
    (pyproject,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    install_package(folder, pyproject)


@pytest.mark.parametrize("path", BLOCKS)
def test_a_part_is_short(path: str) -> None:
    lines = [line.strip() for line in BLOCKS[path].splitlines()]
    assert sum(not line.startswith(("import ", "from ", '"""')) for line in lines if line) <= MAX_LINES


def test_the_examples_have_no_type_errors(tmp_path: Path) -> None:
    for path, code in BLOCKS.items():
        (tmp_path / Path(path).name).write_text(code)
    command = [sys.executable, "-m", "ty", "check", "--python", sys.prefix, "--output-format", "concise", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_block_is_a_part() -> None:
    parts = {
        "network": "pointwise",
        "objective": "uniform_flow",
        "codec": "lowercase",
        "conditioner": "hour",
        "check": "polite",
    }
    assert {f"genloom_extras/{name}.py" for name in parts.values()} == set(BLOCKS)
    kinds: Any = parts
    assert {plugins.find_part(kind, name).__name__ for kind, name in kinds.items()} == {
        path.removesuffix(".py").replace("/", ".") for path in BLOCKS
    }


def test_the_network() -> None:
    module = plugins.find_part("network", "pointwise")
    for space in (SERIES, SignalSpace(1, (4, 4, 4))):
        spec = NetworkSpec(space, space, has_time=True)
        check_network(module.build(spec, module.Config()), spec)
    with pytest.raises(ValueError, match="another network"):
        module.build(NetworkSpec(SERIES, SERIES), module.Config())


def test_the_objective_with_the_network() -> None:
    design = Design("", "uniform_flow", "pointwise")
    objective = build_objective(design, SERIES)
    parts = dict(build_networks(design, objective).items())
    check_objective(objective, parts, Batch(torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(0))))


def test_a_setting_of_an_objective_outside_its_bounds_is_refused() -> None:
    with raises_code("core.bad_setting_value"):
        build_objective(Design("", "uniform_flow", "pointwise", objective_settings={"power": 0.0}), SERIES)
    with raises_code("objectives.bad_setting"):
        plugins.find_part("objective", "uniform_flow").UniformFlow(SERIES, power=0.0)


def test_an_objective_without_the_decorator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = plugins.find_part("objective", "uniform_flow")

    class UniformFlow(module.Flow):
        power: float = option(1.0, "Power.")

    monkeypatch.setattr(module, "UniformFlow", UniformFlow)
    with raises_code("model.objective_is_no_dataclass"):
        build_objective(Design("", "uniform_flow", "pointwise"), SERIES)


def test_the_codec() -> None:
    module = plugins.find_part("codec", "lowercase")
    codec = module.Codec.fit([], module.Config())
    check_codec(codec, ["to be, or not to be", "naïve café"])
    assert codec.decode(codec.encode("To BE")) == "to be"


def test_the_conditioner() -> None:
    module = plugins.find_part("conditioner", "hour")
    items = [Item("", meta={"at": hour}) for hour in (0.5, 12, 23.5, None)]
    conditioner = module.build(module.Config(column="at"))
    check_conditioner(conditioner, items, ["7.25"])
    vector = conditioner.encode([23.5, 0.5, 12.0]).vector.numpy()
    assert np.linalg.norm(vector[0] - vector[1]) < 0.3 < np.linalg.norm(vector[0] - vector[2])


def test_the_check() -> None:
    module = plugins.find_part("check", "polite")
    check_check(module, ["Please sit down.", "Sit!", ""])
    assert module.check("Thank you", module.Config()).has_passed


def test_a_model_whose_package_is_missing_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = plugins.find_part("codec", "lowercase")
    codec = module.Codec.fit([], module.Config())
    design = Design("lowercase", "autoregressive", "recurrent", 8, network_settings={"width": 8, "depth": 1})
    objective = build_objective(design, resolve_space(design, codec))
    workspace = Workspace(tmp_path)
    model = Model("small", codec, objective, build_networks(design, objective), design)
    with workspace.create_model("small") as folder:
        save_model(model, folder, design.to_tables(), {})
    assert load_model(workspace, "small").codec.decode([97]) == "a"
    monkeypatch.setattr(plugins, "_list_entry_points", lambda kind: [])
    with raises_code("model.package_missing", part="codec lowercase", package="genloom-extras", version="1.0"):
        load_model(workspace, "small")
