"""How evaluate tells what a model copied from what it learned from, and what of that could not be searched."""

from typing import Any

from genloom.cli.learned import Learned
from genloom.trust.copied import Copied
from genloom.trust.lookalike import Lookalikes


def copied_lines(learned: Learned, found: Copied | None) -> list[str]:
    """What samples of text have in common with training text; of None, that nothing could be searched."""
    gone = [f"  {each}" for each in learned.gone]
    if found is None:
        return ["Copied from its training text: that cannot be told", *gone]
    longest = max(found.copies, key=lambda copy: copy.length)
    lines = [
        f"Copied from its training text, {learned.names}:",
        f"  {longest.length} characters in a row at most",
    ]
    if longest.length:
        lines.append(f"  {longest.text!r} from {longest.source} ({longest.licence})")
    if found.baseline is not None:
        lines.append(
            f"  held-out text of the same length shares {found.baseline.median:.0f} (median) "
            f"to {found.baseline.longest} by chance"
        )
    return lines + gone


def spans_report(found: Copied | None) -> dict[str, Any]:
    """Spans and baseline as JSON values; null where nothing could be searched."""
    if found is None:
        return {"spans": None, "baseline": None}
    spans = [
        {"length": c.length, "text": c.text, "source": c.source, "licence": c.licence, "offset": c.offset}
        for c in found.copies
    ]
    base = found.baseline
    return {
        "spans": spans,
        "baseline": None if base is None else {"median": base.median, "high": base.high, "longest": base.longest},
    }


def lookalike_lines(learned: Learned, found: Lookalikes | None) -> list[str]:
    """How many samples are near copies of training items; of None, that nothing could be searched."""
    gone = [f"  {each}" for each in learned.gone]
    if found is None:
        return ["What did it copy? That cannot be told", *gone]
    if found.threshold is None:
        return ["What did it copy? Nothing is held out that would tell a copy from chance", *gone]
    return [
        f"What did it copy from {learned.names}?",
        f"  {found.near_copies} of {len(found.matches)} lie nearer to a training item than 95 % of the",
        f"  {found.held} held-out ones do (distance below {found.threshold:.3f})",
        *gone,
    ]


def lookalikes_report(found: Lookalikes | None) -> dict[str, Any]:
    """Near copies as JSON values; null where nothing could be searched."""
    if found is None:
        return {"near_copies": None, "threshold": None, "held": 0, "nearest": None}
    nearest = [
        [{"distance": m.distance, "source": m.item.source, "licence": m.item.licence} for m in matches]
        for matches in found.matches
    ]
    share = found.near_copies / len(found.matches)
    return {"near_copies": share, "threshold": found.threshold, "held": found.held, "nearest": nearest}
