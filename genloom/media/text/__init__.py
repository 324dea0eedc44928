"""The medium text: opens what people keep text in, saves, previews and checks it."""

import os
import re
from pathlib import Path

from genloom.media.text import encoding, extract
from genloom.media.text.styling import style as style
from genloom.types import Beginning, Item

kind: str = "text"

PROSE = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc")
# fmt: off
CODE = (
    ".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp",
    ".hpp", ".cs", ".go", ".rs", ".swift", ".rb", ".php", ".pl", ".lua", ".r", ".jl", ".sh", ".bash", ".sql", ".css",
    ".scss", ".hs", ".ml", ".ex", ".exs", ".erl", ".clj", ".lisp", ".el", ".f90", ".pas", ".vb", ".m", ".toml", ".yaml",
    ".yml", ".ini", ".cfg",
)
# fmt: on
MARKUP = (".html", ".htm", ".xhtml")
suffixes: tuple[str, ...] = (*PROSE, *CODE, *MARKUP, ".pdf", ".docx", ".epub")

# Bytes learn more from little text than byte pairs do, and n-gram counts under the network pay there and fit in memory.
beginnings: tuple[Beginning, ...] = (
    Beginning(("autoregressive",), "ngram", ("bytes",), up_to=256e6),
    Beginning(("autoregressive", "masked"), "transformer", ("bytes",), up_to=6e6),
    Beginning(("autoregressive", "masked"), "transformer", ("bpe",)),
)

OPEN_AT_MOST = 256 << 20  # characters held as one item


def open(path: Path) -> Item:
    """The text of one file as an Item: `source` the path, `licence` what the file says of itself or "unknown".

    ValueError names the file, the reason and the cure."""
    path = Path(path)
    try:
        found, used = read(path)
    except OSError as error:
        raise ValueError(f"{path}: it could not be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Item(found.text, str(path), found.licence or "unknown", {"encoding": used})


def read(path: Path) -> tuple[extract.Extract, str]:
    """The text of one file and the encoding it was in ("" for PDF and the like). ValueError gives the bare reason."""
    suffix = path.suffix.lower()
    if suffix in DOCUMENTS:
        return extract.guarded(DOCUMENTS[suffix], path), ""
    stream = encoding.stream(path)
    blocks, length = [], 0
    for block in stream:
        length += len(block)
        if length > OPEN_AT_MOST:
            raise ValueError(f"it holds more than {OPEN_AT_MOST >> 20} MB of text; collect it as a data set instead")
        blocks.append(block)
    text = "".join(blocks)
    return (extract.guarded(extract.html, text) if suffix in MARKUP else extract.Extract(text)), stream.encoding


DOCUMENTS = {".pdf": extract.pdf, ".docx": extract.docx, ".epub": extract.epub}


def save(item: Item, path: Path) -> None:
    """Writes the text as UTF-8: aside first, then renamed, so that a file is whole or absent."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(item.value.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise ValueError(
            f"{path}: it could not be written: {error.strerror}; choose another place with --out"
        ) from error


def preview(item: Item, characters: int = 280) -> str:
    """The beginning of the text, cut at a word, on as many lines as it has."""
    text = item.value.strip()
    if len(text) <= characters:
        return text
    cut = text[:characters]
    return (cut[: cut.rfind(" ")] if " " in cut[characters // 2 :] else cut).rstrip() + " …"


def check(item: Item) -> list[str]:
    """What is wrong with the text, in plain words; an empty list where nothing is."""
    text, problems = item.value, []
    if not text.strip():
        problems.append("it is empty")
    if lost := text.count("\ufffd"):
        problems.append(f"{lost} characters could not be decoded (they show as \ufffd)")
    if controls := len(re.findall(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text)):
        problems.append(f"{controls} control characters")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) >= 8 and len(set(lines)) < len(lines) / 2:
        problems.append(f"{len(lines) - len(set(lines))} of {len(lines)} lines are repeats")
    return problems


def pack(value: str) -> bytes:
    """The text as UTF-8."""
    return value.encode("utf-8")


def unpack(data: bytes) -> str:
    """The text that `pack` was given; ValueError where the bytes are damaged."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8 ({error})") from error
