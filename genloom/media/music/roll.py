"""Piano rolls: pitch against time, in systems one below the other, a colour for each part, lines at the bars."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from genloom.media.music.controls import name_program
from genloom.media.music.score import TICKS_PER_QUARTER, Score
from genloom.media.pictures import to_png, wrap_text

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c", "#8c6d1f")
BLACK_KEYS = frozenset((1, 3, 6, 8, 10))
PITCH_HEIGHT, QUARTER_WIDTH, MARGIN, LABEL_WIDTH, LINE_HEIGHT = 6, 24, 8, 28, 16  # pixels
MAX_WIDTH, MAX_SYSTEMS = 1200, 24
MIN_SHEET_WIDTH, MAX_CAPTION = 480, 400  # pixels; characters
System = tuple[int, int]  # its first bar, and that after its last


def draw_roll(score: Score) -> bytes:
    """Return the piano roll of a score as PNG."""
    return to_png(draw_image(score))


def draw_rolls(scores: Sequence[Score], captions: Sequence[str]) -> bytes:
    """Return the rolls one below the other, each under its caption, as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    images, font = [draw_image(score) for score in scores], ImageFont.load_default(12)
    width = max(MIN_SHEET_WIDTH, *(image.width for image in images))
    texts = [wrap_text(caption[:MAX_CAPTION], width - 2 * MARGIN, font) for caption in captions]
    heights = [image.height + LINE_HEIGHT * len(lines) for image, lines in zip(images, texts, strict=True)]
    canvas = Image.new("RGB", (width, sum(heights)), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for image, lines, height in zip(images, texts, heights, strict=True):
        for number, line in enumerate(lines):
            draw.text((MARGIN, top + 2 + LINE_HEIGHT * number), line, "#333333", font)
        canvas.paste(image, (0, top + height - image.height))
        top += height
    return to_png(canvas)


def list_edges(score: Score) -> list[int]:
    """Return the tick of every bar line, the last one included."""
    bars = score.bars
    if not bars:
        return [0, 4 * TICKS_PER_QUARTER]
    return [onset for onset, _ in bars] + [bars[-1][0] + bars[-1][1].bar_ticks]


def break_systems(edges: Sequence[int], max_ticks: float) -> list[System]:
    """Return as many bars for each system as fit, at least one."""
    systems, first = [], 0
    while first < len(edges) - 1:
        last = max(bisect_right(edges, edges[first] + max_ticks) - 1, first + 1)
        systems.append((first, last))
        first = last
    return systems


def draw_image(score: Score) -> Any:
    """Draw the roll, at most 1,200 pixels wide; a piece of very many bars has narrower quarters."""
    from PIL import Image, ImageDraw, ImageFont

    edges, room = list_edges(score), MAX_WIDTH - LABEL_WIDTH - MARGIN
    scale = QUARTER_WIDTH / TICKS_PER_QUARTER
    while len(systems := break_systems(edges, room / scale)) > MAX_SYSTEMS:
        scale /= 1.25
    pitches = [note.pitch for part in score.parts for note in part.notes] or [60]
    low, high = min(pitches) - 2, max(pitches) + 2
    roll_height = (high - low + 1) * PITCH_HEIGHT
    height = roll_height + LINE_HEIGHT + MARGIN
    width = LABEL_WIDTH + MARGIN + round(max(edges[last] - edges[first] for first, last in systems) * scale) + 1
    legend = list_legend(score)
    image = Image.new("RGB", (max(width, 240), LINE_HEIGHT + MARGIN + height * len(systems)), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    left = MARGIN
    for colour, name in legend:
        right = left + 14 + round(draw.textlength(name, font))
        if right > image.width:
            draw.text((left, 4), "…", "#333333", font)
            break
        draw.rectangle((left, 7, left + 8, 15), colour)
        draw.text((left + 12, 4), name, "#333333", font)
        left = right + 10

    def find_place(tick: int, system: int) -> int:
        return LABEL_WIDTH + round((tick - edges[systems[system][0]]) * scale)

    def find_top(pitch: int, system: int) -> int:
        return 2 * LINE_HEIGHT + MARGIN + height * system + (high - pitch) * PITCH_HEIGHT

    for number, (first, last) in enumerate(systems):
        end = find_place(edges[last], number)
        for pitch in range(low, high + 1):
            top = find_top(pitch, number)
            if pitch % 12 in BLACK_KEYS:
                draw.rectangle((LABEL_WIDTH, top, end, top + PITCH_HEIGHT - 1), "#f2f2f2")
            if pitch % 12 == 0:
                draw.text((4, top - 4), f"C{pitch // 12 - 1}", "#777777", font)
        step = max(round(24 / max(edges[1] * scale, 1)), 1)  # bars between two numbers
        for bar in range(first, last + 1):
            x, top = find_place(edges[bar], number), find_top(high, number)
            draw.line((x, top, x, top + roll_height), "#999999" if bar % 4 == 0 else "#d9d9d9")
            if bar < last and (bar - first) % step == 0:
                draw.text((x + 2, top - LINE_HEIGHT + 2), str(bar + 1), "#777777", font)
    begins = [edges[first] for first, _ in systems]
    for index, part in enumerate(score.parts):
        colour = COLOURS[index % len(COLOURS)]
        for note in part.notes:
            for system in range(bisect_right(begins, note.onset) - 1, bisect_right(begins, note.end - 1)):
                onset, end = max(note.onset, begins[system]), min(note.end, edges[systems[system][1]])
                x, right, top = find_place(onset, system), find_place(end, system), find_top(note.pitch, system)
                draw.rectangle((x + 1, top, max(right - 1, x + 1), top + PITCH_HEIGHT - 2), colour)
    return image


def list_legend(score: Score) -> list[tuple[str, str]]:
    """Return the colour and the name of each part."""
    return [
        (COLOURS[index % len(COLOURS)], (part.name or name_program(part.program))[:40])
        for index, part in enumerate(score.parts)
    ]
