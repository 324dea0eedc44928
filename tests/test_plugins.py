"""Parts are found by name among the built-ins and the installed plugins, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

import genloom as gl
from genloom import plugins
from genloom.errors import format_message
from tests.errors import raises_code


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a package of one module that offers parts: a real distribution as pip would lay it out."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(package: str, source: str, offers: dict[str, str]) -> None:
        (tmp_path / f"{package}.py").write_text(source)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[{group}]\n{name} = {package}" for group, name in offers.items()]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.delitem(sys.modules, package, raising=False)

    return add


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("network", "transformer"),
        ("network", "recurrent"),
        ("network", "dense"),
        ("objective", "autoregressive"),
        ("objective", "flow"),
        ("codec", "bytes"),
        ("codec", "bpe"),
        ("medium", "text"),
    ],
)
def test_built_in_parts_are_listed(kind: plugins.PartKind, name: str) -> None:
    assert name in plugins.list_part_names(kind)


def test_a_helper_module_is_not_a_part() -> None:
    assert "attention" not in plugins.list_part_names("network")
    with raises_code("core.unknown_part", kind="network", name="attention"):
        plugins.find_part("network", "attention")


def test_a_built_in_part_is_its_module() -> None:
    assert plugins.find_part("codec", "bytes").__name__ == "genloom.codecs.bytes"


def test_the_nearest_name_is_suggested() -> None:
    with raises_code("core.unknown_part", hint=format_message("core.did_you_mean", nearest="transformer")):
        plugins.find_part("network", "transfomer")
    with raises_code("core.unknown_part", kind="codec", name="zzz") as error:
        plugins.find_part("codec", "zzz")
    assert "'bpe', 'bytes'" in error.value.fields["hint"]


@pytest.mark.parametrize("name", ["os", "../store/files", "genloom.store", "__init__", ""])
def test_a_string_from_a_downloaded_job_imports_nothing_else(name: str) -> None:
    with raises_code("core.unknown_part", kind="network", name=name):
        plugins.find_part("network", name)


def test_a_plugin_is_found_and_listed(install) -> None:
    install("mamba_for_genloom", "class Config: ...\ndef build(spec, config): ...\n", {"genloom.networks": "mamba"})
    assert "mamba" in plugins.list_part_names("network")
    assert "mamba" not in plugins.list_part_names("codec")
    assert plugins.find_part("network", "mamba").__name__ == "mamba_for_genloom"


def test_a_built_in_part_precedes_a_plugin(install) -> None:
    install("impostor", "class Config: ...\nclass Codec: ...\n", {"genloom.codecs": "bytes"})
    assert plugins.find_part("codec", "bytes").__name__ == "genloom.codecs.bytes"


@pytest.mark.parametrize("name", ["bytes", "latent", "learned"])
def test_a_plugin_whose_name_is_taken_is_a_problem(install, name: str) -> None:
    """`learned` is the former name of the built-in `latent`, which old jobs contain."""
    install("impostor", "class Config: ...\nclass Codec: ...\n", {"genloom.codecs": name})
    message = format_message("core.shadowed_plugin", kind="codec", name=name, package="impostor")
    assert plugins.list_problems("codec") == [message]
    assert plugins.list_problems("network") == []
    assert gl.Workspace().doctor().problems == (message,)


def test_plugins_that_do_not_work_are_problems_once(install) -> None:
    for package in ("first", "second"):
        install(package, "class Config: ...\ndef build(spec, config): ...\n", {"genloom.networks": "mamba"})
    install("broken", "import no_such_module_anywhere\n", {"genloom.networks": "retnet"})
    assert len(plugins.list_problems()) == 2
    assert "first and second" in plugins.describe_parts("network")["mamba"]


def test_two_plugins_with_one_name_are_refused(install) -> None:
    for package in ("first", "second"):
        install(package, "class Config: ...\ndef build(spec, config): ...\n", {"genloom.networks": "mamba"})
    with raises_code("core.ambiguous_plugin", packages="first and second", name="mamba"):
        plugins.find_part("network", "mamba")


def test_a_plugin_that_does_not_import_is_named(install) -> None:
    install("broken", "import no_such_module_anywhere\n", {"genloom.networks": "mamba"})
    with raises_code("core.broken_plugin", name="mamba", package="broken") as error:
        plugins.find_part("network", "mamba")
    assert "no_such_module_anywhere" in str(error.value)


def test_an_incomplete_plugin_is_named(install) -> None:
    install("half", "class Config: ...\n", {"genloom.networks": "mamba"})
    with raises_code("core.incomplete_plugin", package="half", missing="build"):
        plugins.find_part("network", "mamba")


def test_listing_parts_does_not_import_torch() -> None:
    code = (
        "import sys; from genloom import plugins; plugins.list_part_names('network'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
