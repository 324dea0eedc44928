"""The medium text: opens what people keep text in, saves, previews and checks it."""

import os
import re
from pathlib import Path

from genloom.media.text import encoding, extract
from genloom.media.text.style_features import extract_style_features as extract_style_features
from genloom.types import DefaultRecipe, Item

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
default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(("autoregressive",), "ngram", ("bytes",), max_bytes=256e6),
    DefaultRecipe(("autoregressive", "masked"), "transformer", ("bytes",), max_bytes=6e6),
    DefaultRecipe(("autoregressive", "masked"), "transformer", ("bpe",)),
)

MAX_OPEN_CHARS = 256 << 20  # characters held as one item


def open(path: Path) -> Item:
    """The text of one file as an Item: `source` the path, `licence` what the file says of itself or "unknown".

    ValueError names the file, the reason and the cure."""
    path = Path(path)
    try:
        extracted_text, encoding_name = read_text(path)
    except OSError as error:
        raise ValueError(f"{path}: it could not be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Item(extracted_text.text, str(path), extracted_text.licence or "unknown", {"encoding": encoding_name})


def read_text(path: Path) -> tuple[extract.ExtractedText, str]:
    """The text of one file and the encoding it was in ("" for PDF and the like). ValueError gives the bare reason."""
    suffix = path.suffix.lower()
    if suffix in DOCUMENTS:
        return extract.run_extractor(DOCUMENTS[suffix], path), ""
    reader = encoding.open_text(path)
    blocks, length = [], 0
    for block in reader:
        length += len(block)
        if length > MAX_OPEN_CHARS:
            raise ValueError(f"it holds more than {MAX_OPEN_CHARS >> 20} MB of text; collect it as a data set instead")
        blocks.append(block)
    text = "".join(blocks)
    return (
        extract.run_extractor(extract.extract_html, text) if suffix in MARKUP else extract.ExtractedText(text)
    ), reader.encoding


DOCUMENTS = {".pdf": extract.extract_pdf, ".docx": extract.extract_docx, ".epub": extract.extract_epub}


def save(item: Item, path: Path) -> None:
    """Writes the text as UTF-8: aside first, then renamed, so that a file is whole or absent."""
    path = Path(path)
    temp_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temp_path.open("wb") as file:
            file.write(item.value.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        temp_path.replace(path)
    except OSError as error:
        temp_path.unlink(missing_ok=True)
        raise ValueError(
            f"{path}: it could not be written: {error.strerror}; choose another place with --out"
        ) from error


def preview(item: Item, max_chars: int = 280) -> str:
    """The beginning of the text, cut at a word, on as many lines as it has."""
    text = item.value.strip()
    if len(text) <= max_chars:
        return text
    excerpt = text[:max_chars]
    return (excerpt[: excerpt.rfind(" ")] if " " in excerpt[max_chars // 2 :] else excerpt).rstrip() + " …"


def check(item: Item) -> list[str]:
    """What is wrong with the text, in plain words; an empty list where nothing is."""
    text, problems = item.value, []
    if not text.strip():
        problems.append("it is empty")
    if num_undecodable := text.count("\ufffd"):
        problems.append(f"{num_undecodable} characters could not be decoded (they show as \ufffd)")
    if num_controls := len(re.findall(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text)):
        problems.append(f"{num_controls} control characters")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) >= 8 and len(set(lines)) < len(lines) / 2:
        problems.append(f"{len(lines) - len(set(lines))} of {len(lines)} lines are repeats")
    return problems


def encode(value: str) -> bytes:
    """The text as UTF-8."""
    return value.encode("utf-8")


def decode(data: bytes) -> str:
    """The text that `pack` was given; ValueError where the bytes are damaged."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8 ({error})") from error
