"""The part of evaluate's report on training data that a model copied, and on data that could not be searched."""

from typing import Any

from genloom.cli.training_sources import TrainingSources
from genloom.trust.copied_spans import CopyReport
from genloom.trust.near_copies import NearCopyReport


def format_copied_spans(sources: TrainingSources, copied_spans: CopyReport | None) -> list[str]:
    """Return lines on the longest spans copied from training text; None means that nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if copied_spans is None:
        return ["Copied from its training text: unknown", *missing_lines]
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
    """Return spans and baseline as JSON values; null if nothing could be searched."""
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
    """Return lines on how many samples are near copies of training items; None: nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if near_copies is None:
        return ["Near copies of training data: unknown", *missing_lines]
    if near_copies.threshold is None:
        return ["Near copies of training data: unknown, for lack of held-out data", *missing_lines]
    return [
        f"Near copies of training data, {sources.joined_names}:",
        f"  {near_copies.num_near_copies} of {len(near_copies.matches)} are nearer to a training item than",
        f"  95 % of the {near_copies.num_held_out} held-out ones are (distance below {near_copies.threshold:.3f})",
        *missing_lines,
    ]


def build_near_copies_report(near_copies: NearCopyReport | None) -> dict[str, Any]:
    """Return near copies as JSON values; null if nothing could be searched."""
    if near_copies is None:
        return {"near_copies": None, "threshold": None, "held": 0, "nearest": None}
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
