"""Describe a data set of pictures for people."""

import re
from functools import partial

from genloom.collect import captioned
from genloom.collect.options import Options, Report
from genloom.collect.text_table import describe_held_out

DROP_REASONS = {
    "exact copy": "the same as another picture",
    "near-duplicate": "nearly the same as another picture",
}


def describe_splits(report: Report, options: Options) -> str:
    """Return how the splits were made, and how different the held-out pictures are from the rest."""
    if options.near_duplicates:
        twin_sentence = "Near-duplicates were removed, so that no held-out picture has a near-duplicate in `train`."
    else:
        twin_sentence = "Only exact copies were removed: held-out pictures may have near-duplicates in `train`."
    sentences = describe_held_out(options, "picture", "its pixels")
    return " ".join(
        [
            *sentences,
            *([twin_sentence] if options.val or options.test else []),
            "Pictures are stored losslessly, as PNG.",
        ]
    )


def normalize_change(change: str) -> str:
    """Return a change or warning of one picture without its numbers, so that it can be counted."""
    return re.sub(r" from .*$|: .*$| \(.*$|(?<= )\d+ (?=frames)", "", change)


build_metadata = captioned.build_metadata
summary = partial(captioned.summarize, noun="picture")
describe_changes = partial(captioned.describe_changes, verb="converted")
render_sections = partial(captioned.render_sections, plural="pictures")
