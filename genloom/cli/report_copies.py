"""How evaluate tells what a model copied from what it learned from, and what of that could not be searched."""

from typing import Any

from genloom.cli.training_sources import TrainingSources
from genloom.trust.copied_spans import CopyReport
from genloom.trust.near_copies import NearCopyReport


def format_copied_spans(sources: TrainingSources, copied_spans: CopyReport | None) -> list[str]:
    """What samples of text have in common with training text; of None, that nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if copied_spans is None:
        return ["Copied from its training text: that cannot be told", *missing_lines]
    longest = max(copied_spans.spans, key=lambda copy: copy.length)
    lines = [
        f"Copied from its training text, {sources.joined_names}:",
        f"  {longest.length} characters in a row at most",
    ]
    if longest.length:
        lines.append(f"  {longest.text!r} from {longest.source} ({longest.licence})")
    if copied_spans.baseline is not None:
        lines.append(
            f"  held-out text of the same length shares {copied_spans.baseline.median:.0f} (median) "
            f"to {copied_spans.baseline.maximum} by chance"
        )
    return lines + missing_lines


def build_spans_report(copied_spans: CopyReport | None) -> dict[str, Any]:
    """Spans and baseline as JSON values; null where nothing could be searched."""
    if copied_spans is None:
        return {"spans": None, "baseline": None}
    spans = [
        {"length": c.length, "text": c.text, "source": c.source, "licence": c.licence, "offset": c.offset}
        for c in copied_spans.spans
    ]
    baseline = copied_spans.baseline
    return {
        "spans": spans,
        "baseline": None
        if baseline is None
        else {"median": baseline.median, "percentile_95": baseline.percentile_95, "maximum": baseline.maximum},
    }


def format_near_copies(sources: TrainingSources, near_copies: NearCopyReport | None) -> list[str]:
    """How many samples are near copies of training items; of None, that nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if near_copies is None:
        return ["What did it copy? That cannot be told", *missing_lines]
    if near_copies.threshold is None:
        return ["What did it copy? Nothing is held out that would tell a copy from chance", *missing_lines]
    return [
        f"What did it copy from {sources.joined_names}?",
        f"  {near_copies.num_near_copies} of {len(near_copies.matches)} lie nearer to a training item than 95 % of the",
        f"  {near_copies.num_held_out} held-out ones do (distance below {near_copies.threshold:.3f})",
        *missing_lines,
    ]


def build_near_copies_report(near_copies: NearCopyReport | None) -> dict[str, Any]:
    """Near copies as JSON values; null where nothing could be searched."""
    if near_copies is None:
        return {"near_copies": None, "threshold": None, "num_held_out": 0, "nearest": None}
    nearest = [
        [{"distance": m.distance, "source": m.item.source, "licence": m.item.licence} for m in matches]
        for matches in near_copies.matches
    ]
    near_copy_rate = near_copies.num_near_copies / len(near_copies.matches)
    return {
        "near_copies": near_copy_rate,
        "threshold": near_copies.threshold,
        "held": near_copies.num_held_out,
        "nearest": nearest,
    }
