"""The words of the studio: complete in each language, used, and in step with the server's shapes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from genloom.api.knowledge_text import REASONS
from genloom.plugins import list_part_names
from genloom.server.jobs.titles import TITLES
from genloom.studio import FOLDER
from tests.tools import load_tool

MESSAGES, PACKAGE = FOLDER / "messages", FOLDER.parent
LANGUAGES = sorted(path.name for path in MESSAGES.iterdir())
CATALOGUES = sorted(path.name for path in (MESSAGES / "en").iterdir())
SOURCES = [path for path in FOLDER.rglob("*.js") if "vendor" not in path.parts]


def read(language: str, name: str) -> dict[str, Any]:
    return json.loads((MESSAGES / language / name).read_text())


def list_values(message: str | dict[str, str]) -> list[set[str]]:
    """Return the names of the values in a message, one set a plural."""
    texts = [message] if isinstance(message, str) else list(message.values())
    return [set(re.findall(r"\{(\w+)\}", text)) for text in texts]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CATALOGUES)
def test_every_language_has_every_message_with_the_same_values(language: str, name: str) -> None:
    english, other = read("en", name), read(language, name)
    assert list(other) == sorted(other)
    assert other.keys() == english.keys()
    for key, message in other.items():
        assert set().union(*list_values(message)) == set().union(*list_values(english[key])), key
        assert all(text.strip() for text in ([message] if isinstance(message, str) else message.values())), key
        if not isinstance(message, str):
            assert {"one", "other"} <= message.keys(), key


def test_every_message_that_a_page_asks_for_exists() -> None:
    known = {f"{name.removesuffix('.json')}.{key}" for name in CATALOGUES for key in read("en", name)}
    for path in SOURCES:
        for key in re.findall(r"\bt\((?:[\w.]+ \? )?'([\w.]+)'", path.read_text()):
            assert key in known, f"{path.relative_to(FOLDER)}: {key}"


def test_every_measure_of_a_receipt_has_a_name_in_words() -> None:
    names = set[str]()
    for path in [*PACKAGE.glob("learn/**/*.py"), *PACKAGE.glob("rate/**/*.py")]:
        names |= set(re.findall(r"measure_(?:scores|win_rate)\(\s*\"([^\"]+)\"", path.read_text()))
    assert {"answers with personal data", "held-out ratings, by likelihood"} <= names
    known = read("en", "teach.json")
    for name in names:
        what = re.sub(r", by .*", "", name)
        assert "measure_" + re.sub(r"[^a-z0-9]+", "_", what) in known, name


@pytest.mark.parametrize("name", ["shell.json", "make.json", "chat.json", "gallery.json", "verify.json"])
def test_every_message_is_used(name: str) -> None:
    source = "".join(path.read_text() for path in SOURCES)
    page = name.removesuffix(".json")
    prefixes = tuple(re.findall(rf"`{page}\.([\w]+_?)\$\{{", source))
    for key in read("en", name):
        assert f"'{page}.{key}'" in source or key.startswith(prefixes), key


def test_the_declarations_of_the_shapes_are_those_of_the_server() -> None:
    tool = load_tool("shapes")
    assert tool.TARGET.read_text() == tool.write_declarations(), "run: python tools/shapes.py"


def test_the_stages_of_jobs_have_words_in_each_language() -> None:
    package = FOLDER.parent
    folders = [package / name for name in ("server", "train", "learn")]
    source = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    stages = set(re.findall(r'(?:\bstage=|\bStatus\(|report_share\(reporter, )"([^"{]+)"', source))
    assert len(stages) > 20
    names = {f"stage_{re.sub('[^a-z]+', '_', stage.lower())}": stage for stage in stages}
    english = read("en", "shell.json")
    assert {key: english.get(key) for key in names} == names


def test_the_reasons_why_a_sentence_has_no_source_have_words() -> None:
    assert {f"unsupported_{reason}" for reason in REASONS} <= read("en", "chat.json").keys()


def test_every_page_has_its_parts() -> None:
    source = (FOLDER / "shell/pages.js").read_text()
    for name in re.findall(r"name: '(\w+)'", source):
        needed = [
            f"pages/{name}.js",
            f"styles/pages/{name}.css",
            *(f"messages/{each}/{name}.json" for each in LANGUAGES),
        ]
        missing = [path for path in needed if not Path(FOLDER, path).is_file()]
        assert not missing


def test_german_has_one_word_for_a_prompt() -> None:
    for name in CATALOGUES:
        assert "vorgabe" not in json.dumps(read("de", name)).lower(), f"de/{name}: a prompt is der Prompt"


def test_the_titles_of_jobs_are_those_of_the_server() -> None:
    messages = read("en", "shell.json").items()
    titles = {key.removeprefix("job_title_"): text for key, text in messages if key.startswith("job_title_")}
    assert titles == {kind: text for kind, text in TITLES.items() if kind != "generate"}  # whose title has no words


@pytest.mark.parametrize("name", ["options.json", "workshop.json"])
def test_every_medium_has_its_word(name: str) -> None:
    assert {f"medium_{medium}" for medium in list_part_names("medium")} <= read("en", name).keys()
