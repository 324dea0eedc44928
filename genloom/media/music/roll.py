"""Piano rolls: pitch against time, a colour for each part, lines at the bars."""

import io
from collections.abc import Sequence
from typing import Any

from genloom.errors import GenloomError
from genloom.media.music.score import TICKS_PER_QUARTER, Score

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c", "#8c6d1f")
BLACK_KEYS = frozenset((1, 3, 6, 8, 10))
PITCH_HEIGHT, QUARTER_WIDTH, MARGIN, CAPTION_HEIGHT = 6, 24, 8, 18  # pixels
MAX_WIDTH = 4000


def draw_roll(score: Score, suffix: str = ".png") -> bytes:
    """Return the piano roll of a score as PNG."""
    if suffix != ".png":
        raise GenloomError("music.bad_save_suffix", suffix=suffix)
    return to_png(draw_image(score))


def draw_rolls(scores: Sequence[Score], captions: Sequence[str]) -> bytes:
    """Return the rolls one below the other, each under its caption, as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    images = [draw_image(score) for score in scores]
    heights = [image.height + CAPTION_HEIGHT * bool(caption) for image, caption in zip(images, captions, strict=True)]
    canvas = Image.new("RGB", (max(image.width for image in images), sum(heights)), "white")
    draw, font, top = ImageDraw.Draw(canvas), ImageFont.load_default(12), 0
    for image, caption, height in zip(images, captions, heights, strict=True):
        draw.text((MARGIN, top + 2), caption[:160], "#333333", font)
        canvas.paste(image, (0, top + height - image.height))
        top += height
    return to_png(canvas)


def draw_image(score: Score) -> Any:
    """Draw the roll: at most 4,000 pixels wide, so that a long piece has narrower quarters."""
    from PIL import Image, ImageDraw

    pitches = [note.pitch for part in score.parts for note in part.notes] or [60]
    low, high = min(pitches) - 2, max(pitches) + 2
    end = max(score.end, TICKS_PER_QUARTER)
    scale = min(QUARTER_WIDTH / TICKS_PER_QUARTER, (MAX_WIDTH - 2 * MARGIN) / end)
    width, height = round(end * scale) + 2 * MARGIN, (high - low + 1) * PITCH_HEIGHT + 2 * MARGIN
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)

    def find_top(pitch: int) -> int:
        return MARGIN + (high - pitch) * PITCH_HEIGHT

    for pitch in range(low, high + 1):
        if pitch % 12 in BLACK_KEYS:
            draw.rectangle((MARGIN, find_top(pitch), width - MARGIN, find_top(pitch) + PITCH_HEIGHT - 1), "#f2f2f2")
    for number, (onset, _) in enumerate(score.bars):
        x = MARGIN + round(onset * scale)
        draw.line((x, MARGIN, x, height - MARGIN), "#999999" if number % 4 == 0 else "#d9d9d9")
    for index, part in enumerate(score.parts):
        for note in part.notes:
            left, right = (MARGIN + round(tick * scale) for tick in (note.onset, note.end))
            top = find_top(note.pitch)
            draw.rectangle((left, top, max(right - 2, left + 1), top + PITCH_HEIGHT - 2), COLOURS[index % len(COLOURS)])
    return image


def to_png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
