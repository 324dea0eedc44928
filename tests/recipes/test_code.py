"""The recipe of code: functions with docstrings and pieces of modules, without repetitions, held out by package."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from recipes.code import fetch, make
from recipes.code.fetch import Module, Package

SOURCE = '''"""A module."""
import os


@decorated
def double(x):
    """Return twice x, which is a number.

    More is said here.
    """
    # a comment
    return 2 * x


class Box:
    def open(self):
        """Open the box, if it is closed."""
        return self


def _hidden(x):
    """Return x, which nobody else calls."""
    return x


def undocumented(x):
    return x
'''


def module(package: str = "one-1.0", source: str = SOURCE, is_held_out: bool = False) -> Module:
    return Module(package, "a.py", source, "MIT", is_held_out)


def build_wheel(folder: Path, name: str, metadata: str) -> Package:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/core.py", SOURCE)
        archive.writestr(f"{name}/tests/test_core.py", "x = 1\n")
        archive.writestr(f"{name}/_vendor/other.py", "x = 1\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\n{metadata}\n")
    return Package(name, "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")


def test_functions_keep_their_body_and_the_first_paragraph_of_their_docstring() -> None:
    (function,) = make.iter_functions(SOURCE)
    assert (
        function == 'def double(x):\n    """Return twice x, which is a number."""\n    # a comment\n    return 2 * x\n'
    )


def test_pieces_are_the_whole_module() -> None:
    source = "".join(f"def f{n}(x):\n    return x + {n}\n\n\n" for n in range(200))
    pieces = list(make.iter_pieces(source))
    assert "".join(pieces).rstrip() == source.rstrip()
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= make.PIECE_CHARS
    assert list(make.iter_pieces("def (")) == []


def test_what_is_held_out_or_repeated_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "MODULES_OF", 1.0)
    seen: set[bytes] = set()
    held_out = list(make.build_rows([module(is_held_out=True)], seen))
    assert {row["form"] for row in held_out} == {"function", "module"}
    assert list(make.build_rows([module("two-1.0")], seen)) == []
    relaid = SOURCE.replace("    # a comment\n", "")
    assert list(make.build_rows([module("three-1.0", relaid)], seen)) == []


def test_wheels_are_read_without_tests_and_copies_of_others(tmp_path: Path) -> None:
    package = build_wheel(tmp_path, "one", "License-Expression: MIT")
    modules = list(fetch.iter_wheel(tmp_path / "one-1.0-py3-none-any.whl", package))
    assert [(each.path, each.licence) for each in modules] == [("one/core.py", "MIT")]


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: BSD-3-Clause", "BSD"),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
        ("License: BSD 2-Clause", "BSD"),
        ("License-Expression: Apache-2.0", ""),
        ("License: GPL-3.0", ""),
        ("", ""),
    ],
)
def test_only_stated_mit_and_bsd_licences_are_read(metadata: str, licence: str, tmp_path: Path) -> None:
    build_wheel(tmp_path, "one", metadata)
    path = tmp_path / "one-1.0-py3-none-any.whl"
    if licence:
        assert fetch.read_licence(path) == licence
    else:
        with pytest.raises(ValueError, match="neither"):
            fetch.read_licence(path)
