"""Media share every step: code outside a medium neither imports what belongs to one nor guesses what a value is.

A medium owns genloom/media/NAME and in every step the package or module of its name. A part that is made for one
medium (a codec, a check, features) says so in its own module, which only `plugins` imports.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import genloom
from genloom import plugins

ROOT = Path(genloom.__file__).parent
MEDIA = plugins.list_part_names("medium")
OTHER_WORDS = {"model"}  # packages in which the name of a medium means something else: the design of a model


def is_owned(path: Path) -> bool:
    """Return whether a file belongs to a medium: media/image/svg.py, learn/safeguards/text.py."""
    return path.parts[0] not in OTHER_WORDS and not {*path.parts, path.stem}.isdisjoint(MEDIA)


MODULES = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}


@cache
def parse_shared() -> dict[Path, ast.Module]:
    """Return the modules that belong to no medium, by path."""
    return {path: ast.parse(code) for path, code in MODULES.items() if not is_owned(path)}


def find_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the imports of Pillow, and of modules of a medium."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            is_of_medium = (
                package == "genloom" and OTHER_WORDS.isdisjoint(rest[:1]) and not {*rest[1:]}.isdisjoint(MEDIA)
            )
            if package == "PIL" or is_of_medium:
                yield node.lineno, name


def find_comparisons(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the comparisons with the name of a medium."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = {n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)} & {*MEDIA}
            # A dictionary's key may well be called "text"; what makes a branch is a medium or kind on the other side.
            names = {getattr(n, "id", getattr(n, "attr", "")) for side in sides for n in ast.walk(side)}
            if named and any(name == "kind" or "medium" in name for name in names):
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in MEDIA:
            yield node.value.lineno, ast.unparse(node)


STEPS = ("api", "cli", "evaluate", "generate", "learn", "model", "rate", "train", "trust")  # which handle values
VALUE_NAMES = {"value", "values", "item", "output", "sample", "draft", "content", "continuation", "answer"}


def find_guesses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield where a value is asked for its type or axes, or a space for its number of axes: guesses at the medium."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            subject, classes = node.args
            if list_names(subject) & VALUE_NAMES and list_names(classes) & {"str", "ndarray"}:
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                is_axes = isinstance(side, ast.Call) and list_names(side.func) == {"len"} and list_names(side) & AXES
                is_ndim = isinstance(side, ast.Attribute) and side.attr == "ndim" and list_names(side) & VALUE_NAMES
                if is_axes or is_ndim:
                    yield node.lineno, ast.unparse(node)


AXES = {"size", "grid"}


def list_names(node: ast.AST) -> set[str]:
    return {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(node)} - {""}


def find_all(
    find: Callable[[ast.AST], Iterator[tuple[int, str]]], packages: tuple[str, ...] = ()
) -> dict[str, set[str]]:
    """Return what is found in each shared file, in all or in these packages."""
    trees = {path: tree for path, tree in parse_shared().items() if not packages or path.parts[0] in packages}
    found = {path.as_posix(): {f"{line}: {what}" for line, what in find(tree)} for path, tree in trees.items()}
    return {path: whats for path, whats in found.items() if whats}


def check_allowed(found: dict[str, set[str]], allowed: dict[str, str]) -> None:
    """Check that only these files break a rule, and that all of them still do."""
    assert not {path: sorted(whats) for path, whats in found.items() if path not in allowed}
    assert not set(allowed) - set(found), "no longer needed here"


# What may break a rule, and why.
IMPORTS = {
    "api/answering.py": "conversations are text",
    "api/arena.py": "a chat model answers questions, and conversations are text",
    "api/chat.py": "conversations are text",
    "api/chat_context.py": "conversations are text",
    "api/code.py": "a chat model is asked in a conversation, which is text",
    "api/generation.py": "a chat model answers questions, and conversations are text",
    "api/generation_requests.py": "a chat model answers questions, and conversations are text",
    "api/prompts.py": "conversations are text",
    "assistant/attachments.py": "the text of a file beside a question",
    "api/knowledge_answers.py": "conversations are text",
    "assistant/knowledge/documents.py": "documents that are read for their text",
    "assistant/knowledge/passages.py": "passages of text",
    "assistant/knowledge/tables.py": "tables are read from text files in any encoding",
    "assistant/models.py": "conversations are text",
    "assistant/tasks/languages.py": "the language of a text",
    "assistant/tasks/tables.py": "tables are read from text files in any encoding",
    "assistant/tasks/zero_shot.py": "the likelihood of a label, which is text",
    "cli/commands/train.py": "an assistant is used through conversations, which are text",
    "cli/repl.py": "conversations are text",
    "codecs/density.py": "a codec of designs",
    "codecs/mel.py": "a codec of sounds",
    "codecs/waveform.py": "a codec of sounds",
    "conditioners/speech.py": "what is spoken in a sound",
    "networks/spectral.py": "a network of sounds: its mel bands are those of the medium",
    "speech/alignment.py": "what is spoken when in a sound",
    "speech/spectral_mark.py": "the mark in the spectrum of a sound",
    "api/voices.py": "a voice speaks sounds",
    "evaluate/features/mel_statistics.py": "features of sounds",
    "codecs/notes.py": "a codec of music",
    "codecs/notes_grammar.py": "a codec of music",
    "codecs/notes_scores.py": "a codec of music",
    "codecs/notes_vocabulary.py": "a codec of music",
    "codecs/pixels.py": "a codec of images",
    "codecs/selfies.py": "a codec of molecules",
    "codecs/smiles.py": "a codec of molecules",
    "conditioners/goals.py": "a condition of designs",
    "collect/captions.py": "captions are read from text files in any encoding",
    "collect/table_files.py": "tables are read from text files in any encoding",
    "rate/checks/acoustics.py": "a check of sounds",
    "rate/checks/centred.py": "a check of images",
    "server/worker/chat_questions.py": "conversations are text",
    "api/workspace.py": "the method that designs parts",
    "server/jobs/jobs.py": "goals of designs, checked before their job is queued",
    "server/jobs/work.py": "the table of the work of jobs",
    "server/studio/designs.py": "the routes of designs",
    "server/engine/building.py": "a chat model answers questions, and conversations are text",
    "server/engine/scheduler.py": "the tokens of a conversation, which is text, are counted",
    "server/chat_files.py": "conversations are text",
    "server/worker/questions.py": "thumbnails are pictures, whatever they show; the table of questions",
    "rate/checks/melody.py": "a check of music",
    "rate/checks/mode.py": "a check of music",
    "rate/checks/outline.py": "a check of images",
    "rate/checks/goal.py": "a check of molecules",
    "rate/checks/hazard.py": "a check of molecules",
    "rate/checks/form.py": "a check of designs",
    "rate/checks/holds.py": "a check of designs",
    "rate/checks/substructure.py": "a check of molecules",
    "rate/checks/tanimoto.py": "a check of molecules",
    "rate/checks/voice_leading.py": "a check of music",
}
COMPARISONS = {
    "collect/kept_columns.py": "the type of a column",
    "api/notebook.py": "the first part of a MIME type",
    "rate/report/html.py": "the first part of a MIME type",
    "server/others/ollama.py": "programs that speak Ollama's API know models of language only",
}
GUESSES = {
    "api/arguments.py": "an argument that may be one text or several, and a setting",
    "api/generation_requests.py": "the value of a condition, which a person may give as text",
    "api/notebook.py": "a cell of a table",
    "api/policy.py": "the value of a condition, which may be words",
    "generate/default.py": "a signal without axes has no part to fill",
    "train/data/conditions.py": "the kinds of conditions: vectors, or fields on the grid",
}


def test_no_shared_file_imports_what_belongs_to_a_medium() -> None:
    assert len(parse_shared()) > 200
    check_allowed(find_all(find_imports), IMPORTS)


def test_no_shared_file_compares_media() -> None:
    check_allowed(find_all(find_comparisons), COMPARISONS)


def test_no_step_guesses_what_a_value_is() -> None:
    check_allowed(find_all(find_guesses, STEPS), GUESSES)


@pytest.mark.parametrize(
    ("find", "code", "lines"),
    [
        (find_imports, "from PIL import Image", {1}),
        (find_imports, "import genloom.media.text", {1}),
        (find_imports, "from genloom.generate import text, engine", {1}),
        (find_imports, "from genloom import text_format\nfrom genloom.media import abilities", set()),
        (find_comparisons, "if design.medium == 'image':\n    pass", {1}),
        (find_comparisons, "x = 1\ny = kind in ('text', 'image')", {2}),
        (find_comparisons, "match medium:\n    case 'text':\n        pass", {2}),
        (find_comparisons, "row['text'] == 'a medium long tale'", set()),
        (find_guesses, "isinstance(draft.values[0], str)", {1}),
        (find_guesses, "if len(space.size) == 2 or value.ndim == 3: pass", {1}),
        (find_guesses, "isinstance(path, str) and len(rows) == 2 and tensor.ndim == 2", set()),
    ],
)
def test_the_rules_find_what_they_are_for(find: Callable, code: str, lines: set[int]) -> None:
    assert {line for line, _ in find(ast.parse(code))} == lines
