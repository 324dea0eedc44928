"""The contract of media: values come back from bytes and files, and damaged ones are refused with a ValueError."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genloom import plugins
from genloom.media.abilities import get_ability
from genloom.testing.comparison import check_raises_only_value_error
from genloom.types import Display, Item


def check_medium(medium: Any, values: Sequence[Any]) -> None:
    """Check that a medium keeps values through bytes and files, and refuses damaged ones with a ValueError.

    `encode` must be deterministic and `decode` its inverse; `save` must leave one complete file, and `open` give it
    back with its path as the source. `preview`, `check` and all abilities (genloom/media/abilities.py) must take
    every value, and the parts that the medium names must exist. The module must import without torch.
    """
    assert values, "check_medium needs values"
    assert isinstance(medium.kind, str) and medium.kind, "kind must be the name of the medium"
    assert isinstance(medium.suffixes, tuple) and medium.suffixes, "suffixes must be a tuple of at least one suffix"
    for suffix in medium.suffixes:
        assert suffix.startswith(".") and suffix == suffix.lower(), f"{suffix!r} is not a suffix in lower case"
    check_imports_without_torch(medium)
    for value in values:
        data = medium.encode(value)
        assert isinstance(data, bytes), f"encode must return bytes (got {type(data).__name__})"
        assert medium.encode(value) == data, f"encode must be deterministic (is not for {value!r:.80})"
        assert medium.encode(medium.decode(data)) == data, f"decode must invert encode (does not for {value!r:.80})"
        for damaged in (data[: len(data) // 2], data[len(data) // 2 :], b"", b"{}", b"\xff\x00\xff"):
            check_raises_only_value_error(lambda damaged=damaged: medium.decode(damaged), "decode of damaged bytes")
        check_files(medium, value, data)
        check_abilities(medium, value)
    check_shown(get_ability(medium, "sheet")(list(values), [f"number {n}" for n in range(len(values))]), "sheet")
    check_names(medium)


def check_files(medium: Any, value: Any, data: bytes) -> None:
    """Check that a saved value opens as itself, and that a missing file is a ValueError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"value{medium.suffixes[0]}"
        for _ in range(2):  # the second time over an existing file
            medium.save(Item(value), path)
        assert [file.name for file in Path(folder).iterdir()] == [path.name], "save must leave one file"
        item = medium.open(path)
        assert medium.encode(item.value) == data, f"open must return the value that was saved (not {value!r:.80})"
        assert item.source == str(path), f"the source of an opened item must be its path (is {item.source!r})"
        problems = medium.check(item)
        is_list = isinstance(problems, list) and all(isinstance(problem, str) for problem in problems)
        assert is_list, f"check must return a list of problems as text (got {problems!r:.80})"
        assert isinstance(medium.preview(item), str), "preview must return text"
        missing_path = path.with_name(f"missing{path.suffix}")
        try:
            medium.open(missing_path)
        except ValueError as error:
            assert missing_path.name in str(error), "the error of a missing file must name it"
        else:
            raise AssertionError("open must raise a ValueError for a missing file")


def check_abilities(medium: Any, value: Any) -> None:
    """Check what the medium shows, counts, cuts and describes."""
    check_shown(get_ability(medium, "show")(value), "show")
    count_units = get_ability(medium, "count_units")
    num_units = count_units(value)
    assert isinstance(num_units, int) and num_units >= 0, f"count_units must return an integer (got {num_units!r})"
    whole = get_ability(medium, "cut")(value, num_units)
    assert medium.encode(whole) == medium.encode(value), "cut must not change a value that is short enough"
    passages = get_ability(medium, "split")(value, 3)
    assert 1 <= len(passages) <= 3, f"split must return 1 to 3 passages for 3 (got {len(passages)})"
    num_split = sum(count_units(passage) for passage in passages)
    assert num_split == num_units, f"split must keep every unit (has {num_split} of {num_units})"
    facts = get_ability(medium, "describe")(value)
    are_numbers = all(isinstance(name, str) and np.isfinite(fact) for name, fact in facts.items())
    assert are_numbers, f"describe must return finite numbers by name (got {facts!r:.80})"
    if extract_style_features := get_ability(medium, "extract_style_features"):
        features = np.asarray(extract_style_features(value))
        assert features.ndim == 1 and np.isfinite(features).all(), "extract_style_features must return finite numbers"


def check_names(medium: Any) -> None:
    """Check that the medium's words are text and the parts that it names exist."""
    for name in ("unit", "plural"):
        assert isinstance(get_ability(medium, name), str) and get_ability(medium, name), f"{name} must be a word"
    assert get_ability(medium, "sequence") in ("stream", "document"), 'sequence must be "stream" or "document"'
    assert get_ability(medium, "max_tokens") > 0, "max_tokens must be above 0"
    names: list[tuple[plugins.PartKind, str]] = [("features", get_ability(medium, "feature_extractor"))]
    for recipe in get_ability(medium, "default_recipes"):
        names += [("network", recipe.network), ("text_encoder", recipe.text_encoder)]
        names += [("objective", name) for name in recipe.objectives] + [("codec", name) for name in recipe.codecs]
    for kind, name in names:
        assert not name or name in plugins.list_part_names(kind), (
            f"the medium names a {kind} {name!r}, which does not exist"
        )


def check_shown(shown: Any, ability: str) -> None:
    is_shown = isinstance(shown, Display) and "/" in shown.mime and isinstance(shown.data, bytes)
    assert is_shown and isinstance(shown.text, str), f"{ability} must return a Display (got {shown!r:.80})"


def check_imports_without_torch(module: Any) -> None:
    code = f"import sys; import {module.__name__}; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert result.returncode == 0, f"{module.__name__} must import without torch {result.stderr.decode()[-300:]}"
