"""Numbers as people read them on a card: counts with their nouns, sizes, tables of shares."""

from collections import Counter

from genloom.collect.options import Options


def format_size(count: int) -> str:
    """A number of bytes for people: "1.1 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def format_count(n: int, noun: str) -> str:
    """The number with its noun: "1 file", "1,200 files"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def describe_held_out(options: Options, noun: str, basis: str) -> list[str]:
    """What the splits are for, in sentences."""
    split_names = [f"`{name}`" for name, share in (("val", options.val), ("test", options.test)) if share]
    if not split_names:
        return ["All is in `train`, which models learn from; nothing is held back to judge them."]
    are = "are" if len(split_names) > 1 else "is"
    return [
        f"`train` is what models learn from; {' and '.join(split_names)} {are} held back to judge them.",
        f"Which {noun} goes where follows from {basis} alone.",
    ]


def render_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ("---",) * len(header), *rows])


def render_shares(counts: Counter[str], title: str, is_ordered: bool = False, noun: str = "document") -> str:
    """A table of the most frequent, or of all in their order, with the share of each."""
    total = sum(counts.values())
    rows = list(counts.items()) if is_ordered else counts.most_common(20)
    return render_table(
        (title, f"{noun}s", "share"), [(k.replace("|", "/"), f"{n:,}", f"{n / total:.1%}") for k, n in rows]
    )
