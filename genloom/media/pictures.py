"""Drawing that several media share: PNG files, and texts in lines."""

import io
from typing import Any


def to_png(image: Any) -> bytes:
    """Return an image of Pillow as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def wrap_text(text: str, width: int, font: Any) -> list[str]:
    """Return the lines of a text, each at most `width` pixels wide unless one word is wider."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
