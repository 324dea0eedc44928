"""Files of prompts, one per line."""

from pathlib import Path

import pytest

from genloom.cli.options.model_input import read_prompts
from genloom.errors import GenloomError


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ("river", ("river",)),
        ("\ufeffriver\r\nbread\r\n", ("river", "bread")),
        ("river\rbread\r", ("river", "bread")),
        (" \n\n\t\n", ()),
        ("a\u2028b\x85c\x0bd\x1ce\nf", ("a\u2028b\x85c\x0bd\x1ce", "f")),
    ],
)
def test_only_line_ends_divide_prompts(content: str, prompts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content.encode())
    assert read_prompts(path) == prompts


def test_json_is_not_taken_for_prompts(tmp_path: Path) -> None:
    path = tmp_path / "my prompts.jsonl"
    path.write_text('{"prompt": "river"}\n')
    with pytest.raises(GenloomError) as error:
        read_prompts(path)
    assert error.value.code == "cli.prompts_in_json"
    assert f'"{path}"' in str(error.value)
