"""Writes the tree in README.md from the first sentence of every module, so that it cannot go stale (`make tree`)."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- tree: made by `make tree` -->\n", "<!-- end of tree -->"
FOLDERS = {
    "genloom": "",
    "genloom/model": "codec, objective and networks put together",
    "genloom/media": "files of a kind, opened and saved",
    "genloom/codecs": "media to tensors and back",
    "genloom/networks": "tensors to tensors",
    "genloom/text_encoders": "prompts to states that networks attend to",
    "genloom/objectives": "what learning means: a loss and the sampler that agrees with it",
    "genloom/store": "what lies on disk",
    "genloom/collect": "files and folders to a data set",
    "genloom/train": "a data set to a model",
    "genloom/generate": "a model to outputs",
    "genloom/evaluate": "how good a model is",
    "genloom/rate": "what people and machines think of outputs, and what that proves",
    "genloom/learn": "a round of learning from ratings: preferences, challenger, gate, receipt",
    "genloom/exchange": "models from other programs and for them, each checked against its source",
    "genloom/trust": "where an output comes from",
    "genloom/cli": "one file a verb",
    "recipes/icons": "the data of the built-in model of pictures, from pinned packages to scenes with captions",
}


def gloss(path: Path) -> str:
    """The first sentence of a module's docstring."""
    words = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=[.!?])(?<!et al\.)\s", words)[0].rstrip(".")


def tree() -> str:
    """A line a file under a line a folder; packages without a line of their own are shown as one file."""
    lines = ["```"]
    for folder, purpose in FOLDERS.items():
        lines.append(f"{folder + '/':24s}{purpose}".rstrip())
        inside = ROOT / folder
        files = {p.stem: p for p in inside.glob("*.py") if p.stem != "__init__"}
        packages = {p.parent.name + "/": p for p in inside.glob("*/__init__.py")}
        packages = {n: p for n, p in packages.items() if f"{folder}/{n.rstrip('/')}" not in FOLDERS}
        lines += [f"  {name:22s}{gloss(path)}" for name, path in sorted((files | packages).items())]
    return "\n".join([*lines, "```"]) + "\n"


def written(readme: str) -> str:
    """The README with the tree as it is now between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise ValueError(f"README.md lacks the marks {BEGIN.strip()!r} and {END!r} around its tree")
    return before + BEGIN + tree() + END + after


if __name__ == "__main__":
    page = ROOT / "README.md"
    page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
