"""The part of a report on the spans of training text that samples copied, and on data that could not be searched."""

from typing import Any

from genloom.evaluate.training_sources import TrainingSources
from genloom.text_format import format_count
from genloom.trust.copied_spans import CopyReport


def format_copied_spans(sources: TrainingSources, copied_spans: CopyReport | None) -> list[str]:
    """Return lines on the longest spans copied from training text; None means that nothing could be searched."""
    missing_lines = [f"  {missing_source}" for missing_source in sources.missing]
    if copied_spans is None:
        return ["Copied from its training text: unknown", *missing_lines]
    longest = max(copied_spans.spans, key=lambda copy: copy.length)
    lines = [
        f"Copied from its training text, {sources.joined_names}:",
        f"  {format_count(longest.length, 'character')} in a row at most",
    ]
    if longest.length:
        lines.append(f"  {longest.text!r} from {longest.source} ({longest.licence})")
    if copied_spans.baseline is not None:
        lines.append(
            f"  held-out text of the same length shares {copied_spans.baseline.median:.0f} (median) "
            f"to {copied_spans.baseline.maximum} by chance"
        )
    return lines + missing_lines


def copied_spans_to_json(sources: TrainingSources, copied_spans: CopyReport | None) -> dict[str, Any]:
    """Return spans and baseline as JSON values; null if nothing could be searched."""
    if copied_spans is None:
        return {**sources.to_json(), "spans": None, "baseline": None}
    spans = [
        {"length": c.length, "text": c.text, "source": c.source, "licence": c.licence, "offset": c.offset}
        for c in copied_spans.spans
    ]
    baseline = copied_spans.baseline
    return {
        **sources.to_json(),
        "spans": spans,
        "baseline": None
        if baseline is None
        else {"median": baseline.median, "percentile_95": baseline.percentile_95, "maximum": baseline.maximum},
    }
