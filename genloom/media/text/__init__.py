"""The medium text: opens text files and documents, saves, previews and checks text."""

import re
from itertools import pairwise
from pathlib import Path

from genloom.errors import GenloomError
from genloom.media.saving import write_file
from genloom.media.text import bounded, encoding, extract, marked_text, office, rtf, sheets, word
from genloom.media.text.style_features import extract_style_features as extract_style_features
from genloom.settings import explain_unreadable_file
from genloom.text_format import format_count
from genloom.types import DefaultRecipe, Display, Item

kind: str = "text"
unit: str = "byte"  # of UTF-8
sequence: str = "stream"  # token models read a data set as one text
plural: str = "documents"

PROSE = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc")
# fmt: off
CODE = (
    ".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp",
    ".hpp", ".cs", ".go", ".rs", ".swift", ".rb", ".php", ".pl", ".lua", ".r", ".jl", ".sh", ".bash", ".sql", ".css",
    ".scss", ".hs", ".ml", ".ex", ".exs", ".erl", ".clj", ".lisp", ".el", ".f90", ".pas", ".vb", ".m", ".toml", ".yaml",
    ".yml", ".ini", ".cfg",
)
# fmt: on
# Text files whose text is extracted from their markup, and other files, by their readers.
MARKUP = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), extract.extract_html),
    ".rtf": rtf.extract_rtf,
    ".ipynb": marked_text.extract_notebook,
    **dict.fromkeys((".srt", ".vtt", ".sbv"), marked_text.extract_subtitles),
}
SHEETS = dict.fromkeys((".xlsx", ".xlsm", ".ods"), sheets.extract_sheets)
DOCUMENTS = {
    ".pdf": extract.extract_pdf,
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), word.extract_docx),
    ".odt": office.extract_odt,
    ".pptx": office.extract_pptx,
    ".epub": extract.extract_epub,
    ".eml": marked_text.extract_email,
    ".mbox": marked_text.extract_mailbox,
}
# Whose readers would find a file of plain text damaged.
OTHER_MEDIA = frozenset(
    (
        *(".doc", ".xls", ".ppt", ".odp", ".parquet", ".npy", ".sqlite", ".gguf", ".safetensors", ".exe"),
        *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".svg"),
        *(".wav", ".mp3", ".flac", ".ogg", ".mid", ".midi", ".mxl", ".mp4", ".webm"),
        *(".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z"),
    )
)
save_suffixes: tuple[str, ...] = (".txt", ".md")
suffixes: tuple[str, ...] = (*PROSE, *CODE, *MARKUP, *DOCUMENTS, *SHEETS)

# On little text, bytes do better than byte pairs, and n-gram counts under the network help and fit in memory.
default_recipes: tuple[DefaultRecipe, ...] = (
    DefaultRecipe(("autoregressive",), "ngram", ("bytes",), max_bytes=256e6),
    DefaultRecipe(("autoregressive", "masked"), "transformer", ("bytes",), max_bytes=6e6),
    DefaultRecipe(("autoregressive", "masked"), "transformer", ("bpe",)),
)

MAX_OPEN_CHARS = 256 << 20  # per item


def open(path: Path) -> Item:
    """Return the text of a file as an Item: `source` is the path, `licence` the one that the file states or "unknown".

    Raise ValueError with the file, the reason and the cure.
    """
    path = Path(path)
    try:
        extracted_text, encoding_name = read_text(path)
    except OSError as error:
        raise GenloomError("media.unreadable_file", path=path, reason=explain_unreadable_file(error)) from error
    except ValueError as error:
        raise GenloomError("media.unreadable", path=path, reason=error) from error
    return Item(extracted_text.text, str(path), extracted_text.licence or "unknown", {"encoding": encoding_name})


def read_text(path: Path) -> tuple[bounded.ExtractedText, str]:
    """Return the text of a file and its encoding ("" for documents like PDF); ValueError gives the reason alone."""
    suffix = path.suffix.lower()
    if extractor := DOCUMENTS.get(suffix) or SHEETS.get(suffix):
        return extract.run_extractor(extractor, path), ""
    reader = encoding.open_text(path, is_page=MARKUP.get(suffix) is extract.extract_html)
    blocks, length = [], 0
    for block in reader:
        length += len(block)
        if length > MAX_OPEN_CHARS:
            raise GenloomError("media.text_too_large", limit=MAX_OPEN_CHARS >> 20)
        blocks.append(block)
    text = "".join(blocks)
    if suffix in MARKUP:
        return extract.run_extractor(MARKUP[suffix], text), reader.encoding
    return bounded.ExtractedText(text), reader.encoding


def save(item: Item, path: Path) -> None:
    """Write the text as UTF-8 to a temporary file and rename it, so that a file is complete or absent."""
    require_save_suffix(Path(path))
    write_file(Path(path), lambda file: file.write(encode(item.value)))


def require_save_suffix(path: Path) -> None:
    """Raise GenloomError for a suffix of documents, tables and other media, whose readers expect no plain text."""
    suffix = path.suffix.lower()
    if suffix in DOCUMENTS or suffix in SHEETS or suffix in OTHER_MEDIA:
        raise GenloomError("media.bad_text_suffix", path=path, suffix=suffix)


def preview(item: Item, max_chars: int = 280) -> str:
    """Return the beginning of the text, truncated at a word, with its line breaks."""
    text = item.value.strip()
    if len(text) <= max_chars:
        return text
    excerpt = text[:max_chars]
    return (excerpt[: excerpt.rfind(" ")] if " " in excerpt[max_chars // 2 :] else excerpt).rstrip() + " …"


def check(item: Item) -> list[str]:
    """List the problems of the text; an empty list if there are none."""
    text, problems = item.value, []
    if not text.strip():
        problems.append("it is empty")
    if num_undecodable := text.count("\ufffd"):
        problems.append(f"{format_count(num_undecodable, 'character')} could not be decoded (they show as \ufffd)")
    if num_controls := len(re.findall(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text)):
        problems.append(f"{num_controls} control characters")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) >= 8 and len(set(lines)) < len(lines) / 2:
        problems.append(f"{len(lines) - len(set(lines))} of {len(lines)} lines are repeats")
    return problems


def show(value: str) -> Display:
    """Return the text as UTF-8, and as it is."""
    return Display("text/plain", encode(value), value)


def count_units(value: str) -> int:
    """Return the number of bytes of UTF-8, in which every tokenizer is compared."""
    return len(value.encode("utf-8", "replace"))


def cut(value: str, max_units: int) -> str:
    """Return the beginning of the text: as many characters as `max_units`, which are more bytes outside ASCII."""
    return value[:max_units]


def split(value: str, count: int) -> list[str]:
    """Split the text into `count` passages of equal length in characters."""
    bounds = [len(value) * number // count for number in range(count + 1)]
    return [value[begin:end] for begin, end in pairwise(bounds)]


def describe(value: str) -> dict[str, float]:
    """Return the number of words."""
    return {"words": float(len(value.split()))}


def parse(text: str) -> str:
    """Return the text itself."""
    return text


def encode(value: str) -> bytes:
    """Encode the text as UTF-8."""
    return value.encode("utf-8")


def decode(data: bytes) -> str:
    """Decode the bytes that `encode` returned; ValueError if they are damaged."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GenloomError("media.not_utf8", reason=error) from error
