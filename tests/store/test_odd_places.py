"""Places that are not what they were taken for: no folder for temporary files, a card that is a folder or a pipe."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from genloom.errors import format_message
from genloom.store.files import describe_error
from genloom.store.workspace import Workspace
from tests.errors import raises_code


def test_a_missing_folder_for_temporary_files_is_not_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere/at/all"])
    with pytest.raises(FileNotFoundError) as error:
        tempfile.gettempdir()
    assert describe_error(error.value) == format_message("store.no_temp_folder")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_card_that_is_no_file_is_damaged_and_not_waited_for(tmp_path: Path, make: Any) -> None:
    workspace = Workspace(tmp_path)
    staged = workspace.create_model("notes")
    with staged as folder:
        (folder / "card.json").write_text("{}")
    card_path = staged.result.folder / "card.json"
    card_path.unlink()
    make(card_path)
    with raises_code("store.damaged", path=card_path):
        workspace.get_model("notes")
    assert len(workspace.list_faults()) == 1
