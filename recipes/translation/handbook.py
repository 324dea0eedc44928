"""Pairs of sentences from the Debian Administrator's Handbook, whose translations are packaged page by page.

Pages of two languages have the same files. Their blocks are aligned by length (Gale and Church 1993), and the sentences
of two blocks are paired where there are equally many.
"""

import math
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

from genloom.assistant.tasks.sentences import split_sentences

BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "dt", "dd", "td", "th"}
SKIPPED = {"pre", "script", "style", "nav", "head"}
PARA_CLASSES = {"para", "title", "simpara", "formalpara"}
_SKIP_COST = 4.0  # of a block without a partner
_SPREAD = 0.18  # of the logarithm of the ratio of lengths of two translations


class BlockReader(HTMLParser):
    """Collects the text of the blocks of a page, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self.text, self.depth_skipped = "", 0
        self.stack: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = set((dict(attrs).get("class") or "").split())
        is_block = tag in BLOCKS or (tag == "div" and bool(classes & PARA_CLASSES))
        if is_block:
            self.flush_text()
        if tag in SKIPPED:
            self.depth_skipped += 1
        if tag == "div":
            self.stack.append((tag, is_block))

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED:
            self.depth_skipped = max(self.depth_skipped - 1, 0)
        is_block = tag in BLOCKS
        if tag == "div" and self.stack:
            is_block = self.stack.pop()[1]
        if is_block:
            self.flush_text()

    def handle_data(self, data: str) -> None:
        if not self.depth_skipped:
            self.text += data

    def flush_text(self) -> None:
        """End the block that is being read."""
        if text := " ".join(self.text.split()):
            self.blocks.append(text)
        self.text = ""


def read_blocks(page: str) -> list[str]:
    """Return the texts of the blocks of a page of HTML."""
    reader = BlockReader()
    reader.feed(page)
    reader.flush_text()
    return reader.blocks


def align_texts(sources: Sequence[str], targets: Sequence[str]) -> list[tuple[int, int]]:
    """Return the indices of texts that are translations of each other, in order, by their lengths."""
    rows, columns = len(sources), len(targets)
    infinite = float("inf")
    costs = [[infinite] * (columns + 1) for _ in range(rows + 1)]
    moves = [[""] * (columns + 1) for _ in range(rows + 1)]
    costs[0][0] = 0.0
    for row in range(rows + 1):
        for column in range(columns + 1):
            if row and column:
                ratio = math.log((len(targets[column - 1]) + 5) / (len(sources[row - 1]) + 5))
                cost = costs[row - 1][column - 1] + (ratio / _SPREAD) ** 2 / 2
                if cost < costs[row][column]:
                    costs[row][column], moves[row][column] = cost, "pair"
            for move, previous in (("source", (row - 1, column)), ("target", (row, column - 1))):
                if min(previous) < 0:
                    continue
                cost = costs[previous[0]][previous[1]] + _SKIP_COST
                if cost < costs[row][column]:
                    costs[row][column], moves[row][column] = cost, move
    pairs, row, column = list[tuple[int, int]](), rows, columns
    while row or column:
        move = moves[row][column]
        if move == "pair":
            pairs.append((row - 1, column - 1))
        row -= move in ("pair", "source")
        column -= move in ("pair", "target")
    return pairs[::-1]


def iter_sentence_pairs(source_page: str, target_page: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of two pages that correspond; whole blocks where their sentences are not equally many."""
    sources, targets = read_blocks(source_page), read_blocks(target_page)
    for source_index, target_index in align_texts(sources, targets):
        source, target = sources[source_index], targets[target_index]
        source_sentences, target_sentences = split_sentences(source), split_sentences(target)
        if len(source_sentences) == len(target_sentences):
            yield from zip(source_sentences, target_sentences, strict=True)
        else:
            yield source, target
