"""Parts of a data set's card that several media share."""

from collections import Counter

from genloom.collect.options import Options
from genloom.text_format import format_markdown_table


def describe_held_out(options: Options, noun: str, basis: str) -> list[str]:
    """Return sentences on the purpose of the splits; `basis` decides the split of a document."""
    split_names = [f"`{name}`" for name, share in (("val", options.val), ("test", options.test)) if share]
    if not split_names:
        return ["Every document is in `train`, which models learn from; nothing is held out for evaluation."]
    are = "are" if len(split_names) > 1 else "is"
    return [
        f"Models learn from `train`; {' and '.join(split_names)} {are} held out for evaluation.",
        f"A hash of {basis} and the seed decides whether a {noun} of the collection is held out.",
        "Another collection of the same files may hold out others.",
    ]


def render_shares(counts: Counter[str], title: str, is_ordered: bool = False, plural: str = "documents") -> str:
    """Return a table of the 20 most frequent keys with their shares, or of all keys in their order."""
    total = sum(counts.values())
    rows = list(counts.items()) if is_ordered else counts.most_common(20)
    return format_markdown_table(
        (title, plural, "share"), [(k.replace("|", "/"), f"{n:,}", f"{n / total:.1%}") for k, n in rows]
    )
