"""Writes docs/cli.md from `genloom --help`, docs/tree.md from the modules' first sentences, and the files that
docs/adding-a-medium.md includes (`make docs`)."""

import ast
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLI, TREE, MEDIUM = (ROOT / "docs" / f"{name}.md" for name in ("cli", "tree", "adding-a-medium"))
SKIPPED = {"builtin", "messages", "__pycache__"}


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    words = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=[.!?])(?<!et al\.)\s", words)[0].rstrip(".")


def render_folder(folder: Path, lines: list[str]) -> None:
    """Append a heading for the folder, a row a module, and then its folders."""
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    purpose = first_sentence(folder / "__init__.py") if (folder / "__init__.py").exists() else ""
    lines += ["", f"## {folder.relative_to(ROOT)}/", "", *([purpose + ".", ""] if purpose else [])]
    if modules:
        lines += ["| module | content |", "|---|---|"]
        lines += [
            f"| [`{p.name}`](../{p.relative_to(ROOT)}) | {first_sentence(p).replace('|', '/')} |" for p in modules
        ]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in SKIPPED):
        if any(inner.rglob("*.py")):
            render_folder(inner, lines)


def render_tree() -> str:
    lines = ["# The tree", "", "Made by `make docs` from the first sentence of every module."]
    for folder in (ROOT / "genloom", ROOT / "recipes" / "icons", ROOT / "tools"):
        render_folder(folder, lines)
    return "\n".join(lines) + "\n"


def render_cli() -> str:
    """The reference of the command line as cyclopts describes it, every verb with its options."""
    os.environ["COLUMNS"] = "120"
    from genloom.cli.app import app

    text = app.generate_docs(output_format="markdown")
    verbs = text[text.index("\n## genloom") :].rstrip() + "\n"
    intro = "Made by `make docs` from the help of every verb. `genloom VERB --help` shows the same."
    return f"# Command line\n\n{intro}\n{verbs}"


def fill_includes(text: str) -> str:
    """Return a page with the content of the files that it includes: `<!-- file: PATH -->` above a code block."""

    def fill(match: re.Match[str]) -> str:
        content = (ROOT / match["path"]).read_text(encoding="utf-8")
        return f"{match['marker']}\n```{match['language']}\n{content}```"

    return re.sub(
        r"(?P<marker><!-- file: (?P<path>\S+) -->)\n```(?P<language>\w+)\n.*?```", fill, text, flags=re.DOTALL
    )


def main() -> None:
    CLI.write_text(render_cli(), encoding="utf-8")
    TREE.write_text(render_tree(), encoding="utf-8")
    MEDIUM.write_text(fill_includes(MEDIUM.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
