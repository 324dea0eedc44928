"""Pictures of sounds: the wave above the spectrogram, with seconds and kilohertz, and several on one sheet.

Shape letters: T frames, M bands, H W pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import compute_mel_decibels, to_mel
from genloom.media.pictures import to_png, wrap_text

WAVE_HEIGHT, BANDS, LEFT, BOTTOM, RIGHT, MARGIN, LINE_HEIGHT = 56, 128, 34, 18, 20, 6, 18  # pixels
PIXELS_PER_SECOND, MIN_WIDTH, MAX_WIDTH = 240, 240, 1200
RANGE_DB = 80.0  # of the spectrogram below its loudest place
TOP_HZ = 20_000.0
TICKS_KHZ = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16)
# Colours from silence to the loudest place, equally far apart for the eye, in black and white too.
COLOURS = np.array(
    [(0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100), (251, 135, 97),
     (254, 194, 135), (252, 253, 191)], np.float32,
)  # fmt: skip
WAVE_COLOUR, INK, FAINT = "#0072b2", "#333333", "#cccccc"
MARK_WIDTH = 46  # pixels of a mark of time
MAX_CAPTION = 400  # characters


def draw_sound(sound: Sound) -> bytes:
    """Return the picture of a sound as PNG."""
    return to_png(draw_sound_image(sound))


def draw_sounds(sounds: Sequence[Sound], captions: Sequence[str]) -> bytes:
    """Return the pictures one below the other, each under its caption, as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    images, font = [draw_sound_image(sound) for sound in sounds], ImageFont.load_default(12)
    width = max(MIN_WIDTH + LEFT, *(image.width for image in images))
    texts = [wrap_text(caption[:MAX_CAPTION], width - 2 * MARGIN, font) for caption in captions]
    heights = [image.height + LINE_HEIGHT * len(lines) for image, lines in zip(images, texts, strict=True)]
    canvas = Image.new("RGB", (width, sum(heights)), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for image, lines, height in zip(images, texts, heights, strict=True):
        for number, line in enumerate(lines):
            draw.text((MARGIN, top + 2 + LINE_HEIGHT * number), line, INK, font)
        canvas.paste(image, (0, top + height - image.height))
        top += height
    return to_png(canvas)


def draw_sound_image(sound: Sound) -> Any:
    """Return the wave above the spectrogram, as an image of Pillow."""
    from PIL import Image, ImageDraw, ImageFont

    width = int(np.clip(sound.seconds * PIXELS_PER_SECOND, MIN_WIDTH, MAX_WIDTH))
    canvas = Image.new("RGB", (LEFT + width + RIGHT, MARGIN + WAVE_HEIGHT + MARGIN + BANDS + BOTTOM), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(10)
    draw_wave(draw, sound, width)
    top, highest = MARGIN + WAVE_HEIGHT + MARGIN, min(TOP_HZ, sound.rate / 2)
    canvas.paste(Image.fromarray(paint_spectrogram(sound, width, highest)), (LEFT, top))
    for khz in TICKS_KHZ:
        if 1000 * khz < 0.95 * highest:
            share = (to_mel(1000 * khz) - to_mel(20.0)) / (to_mel(highest) - to_mel(20.0))
            y = top + BANDS - 1 - round(float(share) * (BANDS - 1))
            draw.line((LEFT - 4, y, LEFT - 1, y), INK)
            if khz >= 0.5:
                draw.text((LEFT - 6, y), f"{khz:g}k", INK, font, anchor="rm")
    step = choose_step(sound.seconds, width)
    for number in range(int(sound.seconds / step) + 1):
        x = LEFT + min(round(number * step / sound.seconds * width), width - 1)
        draw.line((x, top + BANDS, x, top + BANDS + 3), INK)
        draw.text((x, top + BANDS + 4), f"{number * step:g} s", INK, font, anchor="la" if number == 0 else "ma")
    return canvas


def draw_wave(draw: Any, sound: Sound, width: int) -> None:
    """Draw the highest and lowest samples of every column."""
    middle, samples = MARGIN + WAVE_HEIGHT // 2, sound.samples
    edges = np.linspace(0, sound.frames, width + 1).astype(int)
    draw.line((LEFT, middle, LEFT + width, middle), FAINT)
    for x, (begin, end) in enumerate(pairwise(edges)):
        part = samples[:, begin : max(end, begin + 1)]
        if part.size:
            high, low = (round(float(each) * (WAVE_HEIGHT // 2 - 1)) for each in (part.max(), part.min()))
            draw.line((LEFT + x, middle - high, LEFT + x, middle - low), WAVE_COLOUR)


def paint_spectrogram(sound: Sound, width: int, highest: float) -> np.ndarray:
    """Return the colours of the levels, uint8 (H, W, 3); low frequencies are at the bottom."""
    levels = compute_mel_decibels(sound, BANDS, floor=-120.0, highest=highest)
    columns = np.linspace(0, len(levels) - 1, width)
    low = np.floor(columns).astype(int)
    share = (columns - low)[:, None]
    wide = levels[low] * (1 - share) + levels[np.minimum(low + 1, len(levels) - 1)] * share
    position = ((wide - wide.max()) / RANGE_DB + 1).clip(0, 1) * (len(COLOURS) - 1)
    below = np.minimum(position.astype(int), len(COLOURS) - 2)
    part = (position - below)[..., None]
    colours = COLOURS[below] * (1 - part) + COLOURS[below + 1] * part
    return np.ascontiguousarray(np.rint(colours).astype(np.uint8).transpose(1, 0, 2)[::-1])


def choose_step(seconds: float, width: int) -> float:
    """Return the distance of the marks of time, which need some place each."""
    steps = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
    return next((step for step in steps if seconds / step <= width / MARK_WIDTH), 600)


def draw_characters(sound: Sound, columns: int, rows: int = 6) -> list[str]:
    """Return the wave's levels in one line of blocks, and the spectrogram in rows of shades."""
    edges = np.linspace(0, sound.frames, columns + 1).astype(int)
    peaks = np.array([np.abs(sound.samples[:, a : max(b, a + 1)]).max(initial=0) for a, b in pairwise(edges)])
    blocks = " ▁▂▃▄▅▆▇█"
    wave = "".join(blocks[int(np.ceil(8 * min(peak, 1)))] for peak in peaks)
    levels = compute_mel_decibels(sound, 4 * rows, floor=-120.0)
    levels = levels[np.linspace(0, len(levels) - 1, columns).round().astype(int)].reshape(columns, rows, 4).mean(2)
    shades = ((levels - levels.max()) / 60 + 1).clip(0, 1) * 4
    return [
        wave,
        *("".join(" ░▒▓█"[round(float(shades[x, row]))] for x in range(columns)) for row in range(rows - 1, -1, -1)),
    ]
