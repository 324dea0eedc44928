"""The library: versions stay, equal ones are not saved twice, and damaged files harm no other."""

from dataclasses import replace
from pathlib import Path

import pytest

from genloom.assistant.prompts.library import PromptLibrary, list_built_in_names
from genloom.assistant.prompts.prompt import Prompt, build_prompt
from genloom.errors import GenloomError

FIRST = build_prompt("Say it [in] {other} words")


@pytest.fixture
def library(tmp_path: Path) -> PromptLibrary:
    return PromptLibrary(tmp_path)


def code_of(action) -> str:
    with pytest.raises(GenloomError) as caught:
        action()
    return caught.value.code


def test_a_saved_change_is_a_new_version(library: PromptLibrary) -> None:
    first = library.save(FIRST, "mine", "mia")
    assert (first.ref, first.owner, bool(first.created)) == ("mine/1", "mia", True)
    assert library.save(FIRST, "mine", "tom").ref == "mine/1", "nothing has changed"
    second = library.save(replace(FIRST, system="Be kind."), "mine", "mia", "kinder", first.ref)
    assert (second.ref, second.note, second.parent) == ("mine/2", "kinder", "mine/1")
    assert library.get("mine") == second
    assert library.get("mine/1") == first
    assert library.list_versions("mine") == [1, 2]
    assert library.save(FIRST, "mine", "mia").ref == "mine/3", "an older content is a change, too"


def test_a_built_in_prompt_is_version_0_and_can_be_replaced(library: PromptLibrary) -> None:
    built_in = library.get("email")
    assert built_in.ref == "email/0"
    assert library.save(built_in, "email", "mia").ref == "email/1"
    assert library.get("email").version == 1
    assert library.get("email/0") == built_in
    assert {"email", "article", "post", "product", "poem", "story", "summary", "rewrite", "headline"} <= set(
        list_built_in_names()
    )


def test_a_prompt_can_be_a_file_outside(library: PromptLibrary, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("prompt = 'Hello'")
    assert library.get(str(tmp_path / "x.toml")).ref == "x/0"
    assert code_of(lambda: library.get(str(tmp_path / "y.toml"))) == "core.unreadable_file"


def test_unknown_names_and_versions_are_named(library: PromptLibrary) -> None:
    library.save(FIRST, "mine", "mia")
    assert code_of(lambda: library.get("emial")) == "store.unknown_name_near"
    assert code_of(lambda: library.get("mine/7")) == "assistant.no_such_prompt_version"
    assert code_of(lambda: library.get("mine/x")) == "assistant.no_such_prompt_version"
    assert code_of(lambda: library.get("../mine")) == "store.bad_name_ends"
    assert code_of(lambda: library.save(FIRST, "a/b", "mia")) == "store.bad_name_chars"


def test_a_damaged_file_is_listed_as_a_fault(library: PromptLibrary) -> None:
    library.save(FIRST, "mine", "mia")
    library.save(FIRST, "other", "mia")
    (library.folder / "mine" / "1.toml").write_text("prompt = '")
    names = [prompt.name for prompt in library.list_prompts()]
    assert "other" in names
    assert "mine" not in names
    (fault,) = library.list_faults()
    assert "mine" in fault
    assert code_of(lambda: library.get("mine")) == "assistant.bad_prompt_file"


def test_nothing_else_in_the_folder_is_a_version(library: PromptLibrary) -> None:
    library.save(FIRST, "mine", "mia")
    for name in ("notes.txt", "draft.toml", "²"):
        (library.folder / "mine" / name).write_text("x")
    (library.folder / "README.md").write_text("x")
    assert library.list_versions("mine") == [1]


def test_an_instruction_is_plain_text() -> None:
    assert isinstance(FIRST, Prompt)
    assert FIRST.prompt_template.render({"text": "T"}) == "Say it [in] {other} words\n\nT"
